"""
Compiles ``_ops.so`` with CMake and Ninja, in a folder that is kept, so that a second build compiles only what changed.

``python build_backend/cmake_build.py core`` compiles all that needs no TensorFlow, while pip is still installing it.
"""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from cuda_choice import choose_cuda

ROOT = Path(__file__).resolve().parent.parent
# Of one release: mixed ones do not work together.
CUDA_REQUIREMENTS = [
    f"nvidia-{name}==13.0.*" for name in ("cuda-nvcc", "nvvm", "cuda-crt", "cuda-runtime", "cuda-cccl")
]


def build_folder() -> Path:
    """One folder for each version of Python, whose environments hold different releases of TensorFlow."""
    return ROOT / "build" / f"cmake-py{sys.version_info.major}.{sys.version_info.minor}"


def tensorflow_folder() -> Path | None:
    """Where TensorFlow's headers and library are, without the seconds that importing it takes; None: not installed."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def nvcc_from_pypi() -> Path:
    """NVIDIA's compiler as PyPI installs it, for SIGKERNEL_TF_CUDA=pypi."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or [] if spec is not None else []:
        for nvcc in sorted(Path(folder).glob("cu*/bin/nvcc")):
            nvcc.chmod(nvcc.stat().st_mode | 0o111)  # a wheel may lose it
            return nvcc
    raise RuntimeError(
        "SIGKERNEL_TF_CUDA=pypi needs NVIDIA's compiler from PyPI: pip install " + " ".join(CUDA_REQUIREMENTS)
    )


def build(target: str = "_ops") -> Path:
    """
    Compiles what changed and returns the library's path.

    :param target: ``"_ops"``, the library; ``"core"``, all its parts that need no TensorFlow; or ``"device_check"``,
        what ``make device-check-pack`` packs.
    :raises RuntimeError: where TensorFlow is needed and not installed.
    """
    tensorflow = tensorflow_folder()
    if tensorflow is None:
        if target == "_ops":
            raise RuntimeError("building sigkernel-tf needs TensorFlow: pip install 'tensorflow>=2.21,<2.22'")
        tensorflow = Path(sysconfig.get_path("purelib")) / "tensorflow"  # where pip will put it
    folder = build_folder()
    command, environment = configure(folder, tensorflow)
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, check=True, env=environment)
    built = subprocess.run(["cmake", "--build", str(folder), "--target", target], check=False, env=environment)
    if built.returncode:
        sys.exit("sigkernel_tf: compiling failed; what the compiler says stands above")
    return folder / ("libdevice_check.so" if target == "device_check" else "_ops.so")


def configure(folder: Path, tensorflow: Path) -> tuple[list[str], dict[str, str]]:
    """CMake's command, which names every choice anew since CMake keeps those of the last build, and its environment."""
    import cmake
    import ninja

    # As PyPI installs them, ahead of any on the machine: this environment's bin may not be in PATH.
    path = os.pathsep.join([cmake.CMAKE_BIN_DIR, ninja.BIN_DIR, os.environ.get("PATH", "")])
    try:
        choice = choose_cuda(os.environ, nvcc_from_pypi=nvcc_from_pypi)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"sigkernel_tf: {error}")  # without the traceback, under which it would be lost
    print(f"sigkernel_tf: {choice.reason}", flush=True)
    command = [
        "cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja",
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}",  # that of the last build may have been a temporary one
        f"-DTENSORFLOW_DIR={tensorflow}",
        f"-DSIGKERNEL_TF_NVCC={choice.nvcc or ''}",
        f"-DSIGKERNEL_TF_CUDA_ARCHS={';'.join(map(str, choice.archs))}",
    ]  # fmt: skip
    return command, {**os.environ, "PATH": path}


if __name__ == "__main__":
    build(*sys.argv[1:])
