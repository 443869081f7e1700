"""Timing of competing functions in one process, and the memory that a function takes."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

_PAUSE, _WARM_UP, _TIMED = 0.05, 0.05, 0.1  # seconds


# CPU seconds of the process: what a function takes that runs on one thread, whatever else the machine does.
one_thread_clock = time.process_time


def alternately(
    functions: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """
    The median seconds of each function, measured in turn so that the machine's varying speed affects all of them alike.

    A turn begins with a pause in which the threads of the previous function come to rest, because they spin for a while
    and wait for more work. Then the function is called again and again, as in training. The first calls, in which its
    own threads wake up, are not timed; the mean of the others is the result of the turn.

    :param functions: functions without arguments; what they return is dropped.
    :param repeats: the number of turns of each function.
    :param clock: tells the time in seconds.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, times in zip(functions, seconds, strict=True):
            time.sleep(_PAUSE)
            _mean_seconds(function, _WARM_UP, clock)
            times.append(_mean_seconds(function, _TIMED, clock))
    return [statistics.median(times) for times in seconds]


def _mean_seconds(function: Callable[[], object], at_least: float, clock: Callable[[], float]) -> float:
    calls, start = 0, clock()
    while (elapsed := clock() - start) < at_least:
        function()
        calls += 1
    return elapsed / calls


def fastest(functions: Sequence[Callable[[], object]]) -> Callable[[], object]:
    """The fastest of several functions that do the same."""
    return (
        functions[0]
        if len(functions) == 1
        else min(zip(alternately(functions, 3), range(len(functions)), functions, strict=True))[2]
    )


def peak_memory(setup: str, statement: str) -> float:
    """
    The megabytes by which ``statement`` raises the peak of resident memory in a process of its own.

    :param setup: Python code that runs before memory is measured; it should run something small of the same kind.
    :param statement: the Python code that is measured.
    """
    script = "\n".join(
        [
            setup,
            "def resident(name):",
            "    lines = open('/proc/self/status').read().splitlines()",
            "    return next(int(line.split()[1]) for line in lines if line.startswith(name))",
            "open('/proc/self/clear_refs', 'w').write('5')",  # the peak starts anew
            "before = resident('VmRSS')",
            statement,
            "print((resident('VmHWM') - before) / 1024)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])
