"""Scripts run in Python processes of their own, for what a process can set but once."""

import subprocess
import sys
import textwrap


def printed_with_threads(script: str, threads: tuple[int, ...] = (1, 3)) -> set[str]:
    """What ``script`` prints with each number of threads, which it takes as its first argument."""
    return {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(number)], check=True, capture_output=True, text=True
        ).stdout
        for number in threads
    }
