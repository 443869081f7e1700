"""
Checks and times the CUDA kernels of this pack on this machine's GPU: ``python run.py``.

Every part runs in a process of its own, so that one that fails, or takes too long, leaves the others' results alone.
One table is printed and ``device_check.json`` written. The exit status is 0 where everything passed.
"""

import argparse
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import accuracy, edges, repeats, timing
from .cases import Case, load
from .driver import DTYPES, DeviceProperties, Driver
from .peer import Peer
from .report import Row, as_json, table

PACK = Path(__file__).resolve().parent.parent
LIBRARY = "libdevice_check.so"
WHOLE_RUN = 290  # seconds, of all parts together
OF_THE_PACK = "the pack"


@dataclass(frozen=True)
class Part:
    """One kind of check. ``seconds``: the longest that it may take on a GPU."""

    seconds: int
    rows: Callable[["Context"], Iterator[Row]]


@dataclass(frozen=True)
class Context:
    driver: Driver
    device: DeviceProperties
    cases: dict[str, Case]
    every: int
    has_peer: bool
    folder: Path  # for files that must be unpacked

    @property
    def is_small(self) -> bool:
        return bool(self.device.is_emulated)

    def peer(self) -> Peer | None:
        wheels = sorted(PACK.glob("pysiglib_cuda-*.whl"))
        return None if self.is_small or not self.has_peer or not wheels else Peer(self.driver, wheels[0], self.folder)


def _times(context: Context) -> Iterator[Row]:
    return timing.of_kernels(context.driver, context.peer(), context.cases, context.is_small)


def _signature_times(context: Context) -> Iterator[Row]:
    return timing.of_signatures(context.driver, context.peer(), context.is_small)


def _of(function: Callable[[Driver, dict[str, Case]], Iterator[Row]]) -> Callable[[Context], Iterator[Row]]:
    return lambda context: function(context.driver, context.cases)


def _lines(dtype: str, rule: str) -> Callable[[Context], Iterator[Row]]:
    return lambda context: accuracy.of_lines(context.driver, context.cases, context.every, dtype, rule)


PARTS = {
    **{f"{dtype}-{rule}": Part(30, _lines(dtype, rule)) for dtype in DTYPES for rule in accuracy.RULES},
    "pairings": Part(30, _of(accuracy.of_sets)),
    "signatures": Part(20, _of(accuracy.of_signatures)),
    "repeats": Part(45, _of(repeats.of_kernels)),
    "edges": Part(45, _of(edges.of_edges)),
    "times": Part(90, _times),
    "signature-times": Part(30, _signature_times),
}
SANITIZER = "compute-sanitizer"
TOOLS = ("memcheck", "racecheck")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("device_check.json"), help="where the results go")
    parser.add_argument("--every", type=int, default=1, help="check only every n-th line of the table of kernels")
    parser.add_argument("--parts", help=f"only some of {','.join([*PARTS, SANITIZER])}, with commas between")
    parser.add_argument("--multiprocessors", type=int, default=0, help="deal threads as on a GPU of so many")
    parser.add_argument("--without-peer", action="store_true", help="do not time pySigLib")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # what a process of its own does
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        return run_one(options)
    names = options.parts.split(",") if options.parts else [*PARTS, SANITIZER]
    if unknown := set(names) - {*PARTS, SANITIZER}:
        parser.error(f"--parts must name some of {','.join([*PARTS, SANITIZER])}; got {','.join(sorted(unknown))}")
    return run_all(options, names)


def run_one(options: argparse.Namespace) -> int:
    """One part, whose rows are printed as JSON, one a line, as they come."""
    driver = Driver(options.library, options.multiprocessors)
    device = driver.device()
    context = Context(driver, device, load(PACK), options.every, not options.without_peer, options.library.parent)
    for row in PARTS[options.part].rows(context):
        print(json.dumps(as_json([row])[0]), flush=True)
    driver.wait()
    return 0


def run_all(options: argparse.Namespace, names: list[str]) -> int:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as unpacked:
        library = unpack(Path(unpacked))
        device = described(library)
        limit = None if device.get("is_emulated") else begun + WHOLE_RUN
        rows = [Row(OF_THE_PACK, "the GPU", device["text"], "error" not in device, device)]
        for name in names if "error" not in device else []:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += (
                sanitized(library, options, limit) if name == SANITIZER else in_a_process(name, library, options, limit)
            )
    is_good = all(row.is_good is not False for row in rows)
    seconds = time.monotonic() - begun
    options.json.write_text(
        json.dumps({"passed": is_good, "seconds": seconds, "device": device, "rows": as_json(rows)}, indent=1)
    )
    failed = sum(row.is_good is False for row in rows)
    print(table(rows))
    print(
        f"\n{'Everything passed' if is_good else f'{failed} lines FAILED'}, in {seconds:.0f} seconds; "
        f"more is in {options.json}."
    )
    return 0 if is_good else 1


def unpack(folder: Path) -> Path:
    """The library, which the pack holds compressed."""
    packed = PACK / f"{LIBRARY}.xz"
    library = folder / LIBRARY
    library.write_bytes(lzma.decompress(packed.read_bytes()))
    return library


def described(library: Path) -> dict:
    """The GPU, asked for in a process of its own: this one starts others, and never touches it."""
    code = (
        "import json, sys; from pathlib import Path; from check.driver import Driver;"
        "d = Driver(Path(sys.argv[1])).device();"
        "print(json.dumps({n: getattr(d, n) if n != 'name' else d.name.decode() for n, _ in d._fields_}))"
    )
    done = subprocess.run([sys.executable, "-c", code, library], cwd=PACK, capture_output=True, text=True, check=False)
    if done.returncode:
        what = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
        return {"error": what, "text": what}
    device = json.loads(done.stdout)
    text = "{name}, {multiprocessors} multiprocessors, compute capability {major}.{minor}, ".format(**device)
    text += f"driver for CUDA {device['driver'] // 1000}.{device['driver'] % 1000 // 10}"
    text += ", so that times mean nothing" if device["is_emulated"] else ""
    return {**device, "text": text}


def in_a_process(
    name: str,
    library: Path,
    options: argparse.Namespace,
    limit: float | None,
    before: tuple[str, ...] = (),
    every: int = 0,
) -> list[Row]:
    """The rows of one part as far as it came, and one more where it did not come to its end."""
    command = [
        *before, sys.executable, str(PACK / "run.py"), "--part", name, "--library", str(library),
        "--every", str(every or options.every), "--multiprocessors", str(options.multiprocessors),
        *(["--without-peer"] if options.without_peer else []),
    ]  # fmt: skip
    seconds = None if limit is None else max(min(PARTS[name].seconds, limit - time.monotonic()), 1)
    rows, is_late = [], threading.Event()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    said: list[str] = []

    def stop() -> None:
        is_late.set()
        os.killpg(process.pid, signal.SIGKILL)  # with what it has started itself

    timer = None if seconds is None else threading.Timer(seconds, stop)
    if timer is not None:
        timer.start()
    for line in process.stdout or []:
        if line.startswith("{"):
            rows.append(Row(**json.loads(line)))
        elif line.strip():
            said.append(line.rstrip())
    status = process.wait()
    if timer is not None:
        timer.cancel()
    if is_late.is_set():
        rows.append(Row(OF_THE_PACK, f"{name} did not end", f"stopped after {seconds:.0f} seconds", False))
    elif status:
        what = said[-1] if said else f"exit status {status}"
        rows.append(Row(OF_THE_PACK, f"{name} did not end", what, False, {"said": said[-40:]}))
    return rows


def sanitized(library: Path, options: argparse.Namespace, limit: float | None) -> list[Row]:
    """A few kernels under NVIDIA's sanitizer, where it is found."""
    homes = [os.environ.get("CUDA_HOME", ""), "/usr/local/cuda"]
    places = [
        *(os.path.join(home, "bin") for home in homes if home),
        *(os.path.join(home, SANITIZER) for home in homes if home),
    ]
    tool = shutil.which(SANITIZER, path=os.pathsep.join([os.environ.get("PATH", ""), *places]))
    if tool is None:
        return [Row(OF_THE_PACK, SANITIZER, "not found on this machine", None)]
    found = []
    for name in TOOLS:
        before = (tool, "--tool", name, "--error-exitcode", "86", "--target-processes", "all")
        rows = in_a_process("double-series", library, options, limit, before, every=37)
        wrong = [row for row in rows if row.is_good is False]
        found.append(
            Row(
                OF_THE_PACK,
                f"{SANITIZER}, {name}",
                wrong[0].found if wrong else "clean",
                not wrong,
                {"rows": as_json(wrong)},
            )
        )
    return found
