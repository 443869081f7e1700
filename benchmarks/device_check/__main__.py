"""
Makes the folder that checks and times the CUDA kernels on a machine with a GPU, Python, numpy and a driver.

``python -m benchmarks.device_check --out FOLDER``; ``--emulated`` makes one that runs without a GPU. Which nvcc
compiles, and for which GPUs, is chosen as ever: see build_backend/cuda_choice.py.
"""

import argparse
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .check.cases import save
from .check.driver import Driver
from .check.main import LIBRARY
from .questions import make_cases
from .reference import compile_reference

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CSRC = ROOT / "csrc"
EMULATION = ROOT / "tests" / "cuda_emulation"
KERNELS = (CSRC / "core/goursat/cuda/goursat_cuda.cu", CSRC / "core/signature/signature_cuda.cu")
PEER = "pysiglib-cuda==4.0.0"
PEER_SHA256 = "5bf82c1a0d3fc6ad06c870fb2626e119e4dc5a6c427e0df2ddbe2dda4b230363"
MOST_BYTES = 40 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/device_check"), help="the folder that is made anew")
    parser.add_argument("--emulated", action="store_true", help="kernels that run on the host, without pySigLib")
    parser.add_argument("--every", type=int, default=1, help="answers for every n-th line of the table of kernels only")
    parser.add_argument("--without-peer", action="store_true", help="leave pySigLib out, which is fetched from PyPI")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        library = emulated_library(Path(scratch)) if options.emulated else cuda_library()
        make(options.out, library, every=options.every, is_small=options.emulated)
    if not options.emulated and not options.without_peer:
        fetch_peer(options.out)
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    if size > MOST_BYTES:
        sys.exit(
            f"{options.out} has {size / 2**20:.1f} MB, more than {MOST_BYTES >> 20}: "
            "name fewer GPUs in SIGKERNEL_TF_CUDA_ARCHS"
        )
    print(
        f"{options.out} has {size / 2**20:.1f} MB. Take it to a machine with a GPU and run there: "
        f"python {options.out.name}/run.py"
    )


def make(folder: Path, library: Path, *, every: int, is_small: bool) -> None:
    """The folder, but for pySigLib's wheel."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "check", folder / "check", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "run.py", folder)
    (folder / f"{LIBRARY}.xz").write_bytes(lzma.compress(library.read_bytes(), preset=9))
    with tempfile.TemporaryDirectory() as scratch:
        program = compile_reference(Path(scratch))
        save(make_cases(Driver(library).lines(), program, every=every, is_small=is_small), folder)


def cuda_library() -> Path:
    """For the GPUs that are chosen, by CMake."""
    build = [sys.executable, str(ROOT / "build_backend" / "cmake_build.py"), "device_check"]
    subprocess.run(build, check=True, cwd=ROOT)
    return ROOT / "build" / f"cmake-py{sys.version_info.major}.{sys.version_info.minor}" / LIBRARY


def emulated_library(folder: Path, kernels: tuple[Path, ...] = KERNELS) -> Path:
    """The same library, whose kernels run on the host: see tests/cuda_emulation."""
    flags = [
        "-std=gnu++17", "-O1", "-fPIC", "-fvisibility=hidden", "-Wno-unknown-pragmas", "-DSIGKERNEL_CUDA_EMULATION",
        f"-I{EMULATION}", f"-I{CSRC}", f"-I{HERE}",
    ]  # fmt: skip

    def compile_one(source: Path) -> Path:
        made = folder / f"{source.stem}.o"
        if not made.exists():
            subprocess.run(["g++", *flags, "-x", "c++", "-c", str(source), "-o", str(made)], check=True)
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, [*kernels, HERE / "peak.cu", HERE / "driver.cc"]))
    library = folder / LIBRARY
    subprocess.run(["g++", "-shared", "-Wl,-Bsymbolic", *map(str, objects), "-o", str(library)], check=True)
    return library


def fetch_peer(folder: Path) -> None:
    """pySigLib's wheel from PyPI, as it was when its functions were looked at."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
        PEER,
    ]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("pysiglib_cuda-*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != PEER_SHA256:
        wheel.unlink()
        sys.exit(
            f"{wheel.name} from PyPI has the hash {found}, not {PEER_SHA256}: look at what changed before it is run"
        )


if __name__ == "__main__":
    main()
