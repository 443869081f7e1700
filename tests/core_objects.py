"""Compiles the C++ core with g++, as CMakeLists.txt does but with a test's own flags."""

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "csrc" / "core"
# The file that is compiled for each of these and each type of number.
INSTRUCTION_SET = CORE / "simd" / "instruction_set.cc"
INSTRUCTION_SETS = {
    "Avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl"],
    "Avx2": ["-mavx2", "-mfma"],
    "Baseline": [],
}


def core_sources() -> Iterator[tuple[str, Path, list[str]]]:
    """What the core consists of: for each object its name, its source and flags of its own."""
    for name, flags in INSTRUCTION_SETS.items():
        for number in ("float", "double"):
            defines = [f"-DSIGKERNEL_INSTRUCTION_SET={name}", f"-DSIGKERNEL_NUMBER={number}"]
            yield f"instruction_set_{name}_{number}", INSTRUCTION_SET, [*flags, *defines]
    for source in sorted(CORE.rglob("*.cc")):
        if source != INSTRUCTION_SET:
            yield f"{source.parent.name}_{source.stem}", source, []


def build_core(folder: Path, flags: Sequence[str], *, processes: int = 2) -> tuple[Path, ...]:
    """The core's objects, compiled with ``flags`` into ``folder``. Those that are there already are kept."""

    def build_one(of_core: tuple[str, Path, list[str]]) -> Path:
        name, source, own_flags = of_core
        made = folder / f"{name}.o"
        if not made.exists():
            command = ["g++", *flags, *own_flags, f"-I{ROOT / 'csrc'}", "-c", str(source), "-o", str(made)]
            subprocess.run(command, check=True)
        return made

    with ThreadPoolExecutor(processes) as pool:
        return tuple(pool.map(build_one, core_sources()))
