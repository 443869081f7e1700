"""The loop that the caller shares with the threads of a pool."""

import shutil
import subprocess
from pathlib import Path

import pytest
from core_objects import CORE


def test_every_item_is_visited_once_by_any_number_of_threads_early_late_or_never(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    program = tmp_path / "shared_loop"
    source = Path(__file__).parent / "shared_loop.cc"
    command = ["g++", "-std=c++17", "-O1", "-pthread", f"-I{CORE.parent}", str(source), "-o", str(program)]
    subprocess.run(command, check=True)
    ran = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "40\n")
