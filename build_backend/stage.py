"""
Runs the stages of a build, and prints one line for each with the seconds that it took.

``python build_backend/stage.py TITLE COMMAND [ARGUMENT ...] [--and TITLE COMMAND [ARGUMENT ...]] ...``

Stages joined by ``--and`` run side by side. What a stage prints goes to ``build/logs``; where the stage fails, this is
shown. ``VERBOSE=1`` in the environment shows everything at once. This script needs nothing but Python 3.10, since the
first stage makes the environment that all others run in.
"""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

LOGS = Path(__file__).resolve().parent.parent / "build" / "logs"
BETWEEN = "--and"
OURS = "sigkernel_tf: "  # lines that begin so are shown; they are meant for whoever builds
# Lines that say what went wrong, which pip and setuptools bury under their own.
TELLING = re.compile(r"^\s*sigkernel_tf: |\berror: |\bfatal ?: |^ERROR: ")


def main(arguments: list[str]) -> int:
    """Runs the stages; returns 0, or the exit status of the first that failed."""
    stages = split(arguments)
    if not stages or any(len(stage) < 2 for stage in stages):
        print(__doc__, file=sys.stderr)
        return 2
    if os.environ.get("VERBOSE", "0") not in ("", "0"):
        return next((status for status in map(run_aloud, stages) if status), 0)
    status = 0
    with ThreadPoolExecutor(len(stages)) as pool:
        if len(stages) == 1:
            print(f"{stages[0][0]} ... ", end="", flush=True)
        running = {pool.submit(run, title, command): title for title, *command in stages}
        for done in as_completed(running):
            failed, seconds, log = done.result()
            title = f"{running[done]} ... " if len(stages) > 1 else ""
            print(f"{title}{f'FAILED after {seconds:.0f} s' if failed else f'{seconds:.0f} s'}", flush=True)
            printed = log.read_text(errors="replace")
            if failed:
                telling = [line for line in printed.splitlines() if TELLING.search(line)][:10]
                again = "\n".join(["", "What tells most:", *telling, ""]) if telling else ""
                print(f"{printed}\n{again}{running[done]} failed; all it printed is in {log}", flush=True)
                status = status or failed
            else:
                print(
                    *(f"  {line}\n" for line in printed.splitlines() if line.startswith(OURS)),
                    sep="",
                    end="",
                    flush=True,
                )
    return status


def split(arguments: list[str]) -> list[list[str]]:
    """The stages, each a title and a command."""
    stages: list[list[str]] = [[]]
    for argument in arguments:
        if argument == BETWEEN:
            stages.append([])
        else:
            stages[-1].append(argument)
    return stages


def run(title: str, command: list[str]) -> tuple[int, float, Path]:
    """The command's exit status, the seconds it took, and the file that holds all it printed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") + ".log")
    start = time.monotonic()
    with log.open("wb") as file:
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    return status, time.monotonic() - start, log


def run_aloud(stage: list[str]) -> int:
    """The same with everything shown, one stage after the other."""
    title, *command = stage
    print(f"{title}: {' '.join(command)}", flush=True)
    start = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    print(f"{title} ... {time.monotonic() - start:.0f} s", flush=True)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", flush=True)
        sys.exit(130)
