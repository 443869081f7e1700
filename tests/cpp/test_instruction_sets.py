"""Nothing that is compiled for an instruction set may reach machines that lack it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from core_objects import INSTRUCTION_SETS, build_core

pytestmark = [pytest.mark.slow, pytest.mark.ci]


def symbols_of(compiled: Path) -> set[str]:
    """The names by which the linker may take this file's functions and data for those of another file."""
    listed = subprocess.run(["nm", compiled], capture_output=True, text=True, check=True).stdout
    return {words[-1] for words in map(str.split, listed.splitlines()) if len(words) == 3 and words[1] in "TWVuDBR"}


def test_no_function_compiled_for_an_instruction_set_replaces_another(tmp_path: Path) -> None:
    """Without optimisation, so that every inline function that is used is there to be seen."""
    if shutil.which("g++") is None or shutil.which("nm") is None:
        pytest.skip("needs g++ and nm")
    found = {compiled.stem: symbols_of(compiled) for compiled in build_core(tmp_path, ["-std=gnu++17", "-O0"])}
    needing_more = [name for name, flags in INSTRUCTION_SETS.items() if flags]
    with_flags = [name for name in found if name.split("_")[-2] in needing_more]
    assert len(with_flags) == 4
    for name in with_flags:
        assert any("loops_of" in symbol for symbol in found[name])
        for other in found.keys() - {name}:
            assert found[name] & found[other] == set(), f"{name} and {other}"
