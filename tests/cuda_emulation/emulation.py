"""Builds programs whose CUDA kernels run on the host, which takes only g++, and runs them."""

import fcntl
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from core_objects import ROOT, build_core

HERE = Path(__file__).resolve().parent
INCLUDES = [f"-I{HERE}", f"-I{ROOT / 'csrc'}", "-DSIGKERNEL_CUDA_EMULATION"]
COMMON = ["-std=gnu++17", "-g1", "-pthread", "-no-pie", "-fno-pie", "-Wno-unknown-pragmas"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# plain: fast. sanitized: memory errors and undefined behaviour. races: race_check.cc's hooks in place of libtsan.
MODES = ("plain", "sanitized", "races")


def skip_without_compiler(mode: str, folder: Path) -> None:
    """Some machines have no g++, or not the sanitizers' libraries."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    if mode != "sanitized":
        return
    (folder / "empty.cc").write_text("int main() {}\n")
    command = ["g++", *SANITIZERS, str(folder / "empty.cc"), "-o", str(folder / "empty")]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs g++'s address and undefined behaviour sanitizers")


def build_core_once(folder: Path) -> tuple[Path, ...]:
    """The CPU core's objects, without sanitizers, which it has tests of its own for. Made once in ``folder``."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of another test process
        return build_core(folder, [*COMMON, "-O1"])


def build(
    mode: str,
    kernels: list[Path],
    others: list[Path],
    folder: Path,
    objects: tuple[Path, ...] = (),
    defines: tuple[str, ...] = (),
) -> Path:
    """
    A program of ``kernels`` (.cu) and ``others`` (.cc), in ``mode``, linked with ready ``objects``.

    :param defines: compiler flags for the kernels' files only.
    """
    skip_without_compiler(mode, folder)
    everywhere = [*COMMON, "-O1", *(SANITIZERS if mode == "sanitized" else [])]
    watched = ["-fsanitize=thread"] if mode == "races" else []

    def compile_one(source: Path) -> Path:
        made = folder / f"{mode}_{source.stem}.o"
        is_kernel = source.suffix == ".cu"
        language = ["-x", "c++", *watched, *defines] if is_kernel else []
        subprocess.run(["g++", *everywhere, *INCLUDES, *language, "-c", source, "-o", made], check=True)
        return made

    sources = [*kernels, *others, *([HERE / "race_check.cc"] if mode == "races" else [])]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(compile_one, sources))
    program = folder / f"{mode}_{others[0].stem if others else kernels[0].stem}"
    subprocess.run(["g++", *everywhere, *made, *objects, "-o", program], check=True)
    return program


def run(program: Path, *arguments: str, order: int = 1, **environment: str) -> subprocess.CompletedProcess:
    """Runs ``program`` with its threads in the given order: see cuda_runtime.h."""
    environment = {**os.environ, "EMULATION_ORDER": str(order), **environment}
    command = [str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)


def assert_went_well(done: subprocess.CompletedProcess) -> None:
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[:4000]}"
    assert "all went well" in done.stdout


def kernels_in(program: Path) -> dict[int, str]:
    """The kernels that ``program`` was compiled with, by their addresses."""
    listed = subprocess.run(["nm", "-C", "--defined-only", program], capture_output=True, text=True, check=True).stdout
    kernel = r"sigkernel::(?:\(anonymous namespace\)::)?\w+_kernel<.*"
    found = re.findall(rf"^(\w+) [tTwW] (?:void )?({kernel})$", listed, re.M)
    # The core's functions for the CPU, signature_kernel among them, take a std::function, as no kernel can.
    return {int(address, 16): name for address, name in found if "std::function" not in name}
