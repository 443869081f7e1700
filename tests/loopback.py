"""Processes that are connected on this machine, each of which runs a script of the tests."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def tf_config(addresses: Sequence[str], rank: int) -> str:
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": rank}})


def start(script: str, arguments: Sequence[object], folder: Path, count: int = 2) -> list[subprocess.Popen]:
    """Start a script, a path from this folder, in connected processes; their errors go to files in ``folder``."""
    addresses, started = free_addresses(count), []
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    for rank in range(count):
        environment = {**os.environ, "TF_CONFIG": tf_config(addresses, rank), "PYTHONPATH": path}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        command = [sys.executable, str(ROOT / "tests" / script), *(str(one) for one in arguments)]
        with (folder / f"errors-{rank}.txt").open("w") as errors:
            started.append(
                subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True)
            )
    return started


def finish(started: Sequence[subprocess.Popen], timeout: float = 1200.0) -> tuple[list[dict[str, Any]], list[int]]:
    """What each process reported by :func:`report`, together by name, and their exit codes."""
    try:
        printed = [process.communicate(timeout=timeout)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    lines = [[json.loads(line) for line in text.splitlines() if line.startswith('["')] for text in printed]
    return [dict(pairs) for pairs in lines], [process.returncode for process in started]


def report(name: str, value: Any) -> None:
    print(json.dumps([name, value]), flush=True)


def refused(name: str, call: Callable[[], object]) -> None:
    """Reports the error that a call raises; nothing where it raises none."""
    try:
        call()
    except (TypeError, ValueError, RuntimeError) as error:
        report(name, f"{type(error).__name__}: {error}")
