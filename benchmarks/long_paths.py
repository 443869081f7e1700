"""
One pair of very long paths: the sweep of this library beside PowerSig's local Neumann series, on a CPU.

``python -m benchmarks.long_paths --environment FOLDER`` prints CPU time, memory and error of each. FOLDER is a virtual
environment with ``powersig`` and ``jax``; without it only this library is measured. Each runs in a process of its own.
The paths are walks along one axis of a plane, which must be swept, but whose kernel is known: it is that of their end
points, I0(2 √p) or J0(2 √−p) with the product p of these.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_ROOT = Path(__file__).resolve().parents[1]


def walks(length: int) -> np.ndarray:
    """Two walks [2, L, 2] along the first axis, of about unit reach, and with end points of one sign."""
    steps = np.random.default_rng(1).normal(size=(2, length - 1)) / np.sqrt(length)
    steps += (1.0 - steps.sum(axis=1, keepdims=True)) / (length - 1)
    paths = np.zeros((2, length, 2))
    paths[:, 1:, 0] = steps.cumsum(axis=1)
    return paths


def ours(length: int) -> Callable[[], float]:
    """The kernel by ``PowerSeries``, ready to be called."""
    import sigkernel_tf as sk

    X, Y = walks(length)
    sk.signature_kernel(X[None, :3], Y[None, :3])  # so that what is loaded once does not count
    return lambda: float(sk.signature_kernel(X, Y))


def powersig(length: int, order: int) -> Callable[[], float]:
    """PowerSig's kernel by JAX, compiled for this length and ready to be called."""
    from powersig.jax.algorithm import PowerSigJax  # isort: skip  (configures JAX before it is imported)
    import jax.numpy as jnp

    X, Y = (jnp.asarray(path) for path in walks(length))
    solver = PowerSigJax(order=order)
    compiled = PowerSigJax.compute_signature_kernel.lower(solver, X, Y).compile()
    return lambda: float(compiled(X, Y))


def resident_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def measured(method: str, length: int) -> dict[str, float]:
    """What one call in this process takes, and how far its result is from the closed form."""
    name, _, order = method.partition(":")
    call = ours(length) if name == "ours" else powersig(length, int(order))
    before, start = resident_mb("VmRSS"), time.process_time()
    value = call()
    seconds = time.process_time() - start
    p = float(np.prod(walks(length)[:, -1, 0]))
    exact = sum(p**n / float(np.prod(np.arange(1, n + 1, dtype=float))) ** 2 for n in range(30))
    return {"seconds": seconds, "memory": max(resident_mb("VmHWM") - before, 0.0), "error": abs(value / exact - 1.0)}


def in_a_process(python: Path, method: str, length: int, limit: float) -> dict[str, Any] | str:
    """The same in a process of its own, or why it has no result."""
    command = [str(python), "-m", "benchmarks.long_paths", "--measure", method, "--lengths", str(length)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return f"more than {limit:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_paths", description=__doc__)
    parser.add_argument("--environment", type=Path, help="a virtual environment that holds powersig and jax")
    parser.add_argument("--lengths", default="1000,10000", help="default: %(default)s")
    parser.add_argument("--orders", default="8,16", help="of PowerSig's series (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for each (default: %(default).0f)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    lengths = [int(length) for length in options.lengths.split(",")]
    if options.measure:
        print(json.dumps(measured(options.measure, lengths[0])))
        return
    methods = [("ours", Path(sys.executable))]
    if options.environment is not None:
        methods += [
            (f"powersig:{order}", options.environment / "bin" / "python") for order in options.orders.split(",")
        ]
    print("| L | method | CPU time, s | memory, MB | relative error |\n|---|---|---|---|---|")
    for length in lengths:
        for method, python in methods:
            found = in_a_process(python, method, length, options.limit)
            name = "`PowerSeries()`" if method == "ours" else f"PowerSig, order {method.partition(':')[2]}"
            told = (
                f"{found} | |"
                if isinstance(found, str)
                else (f"{found['seconds']:.2f} | {found['memory']:.0f} | {found['error']:.0e}")
            )
            print(f"| {length} | {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
