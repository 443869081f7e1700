"""Builds the compiled operations with CMake; everything else about the package is in pyproject.toml."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "build_backend"))  # a backend that runs this file does not put its folder there

from sigkernel_tf_build import CUDA_REQUIREMENTS  # noqa: E402


def tensorflow_folder() -> Path:
    """Where TensorFlow's headers and library are, without the seconds that importing it takes."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("building sigkernel-tf needs TensorFlow: pip install 'tensorflow>=2.21,<2.22'")
    return Path(next(iter(spec.submodule_search_locations)))


def build_environment() -> dict[str, str]:
    """CMake and Ninja as PyPI installs them, ahead of any on the machine: this environment's bin may not be in PATH."""
    import cmake
    import ninja

    return {**os.environ, "PATH": os.pathsep.join([cmake.CMAKE_BIN_DIR, ninja.BIN_DIR, os.environ.get("PATH", "")])}


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


class CMakeBuild(build_ext):
    """Writes ``sigkernel_tf/_ops.so`` and, beside it, the release of TensorFlow it was built with."""

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + ".so"  # no CPython ABI in it, hence none in its name

    def build_extension(self, ext: Extension) -> None:
        library = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = Path(self.build_temp).resolve()
        library.parent.mkdir(parents=True, exist_ok=True)
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            "cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DTENSORFLOW_DIR={tensorflow_folder()}",
            f"-DSIGKERNEL_TF_OUTPUT_DIR={library.parent}",
        ]  # fmt: skip
        if os.environ.get("SIGKERNEL_TF_CUDA") == "pypi":
            configure.append(f"-DSIGKERNEL_TF_NVCC={nvcc_from_pypi()}")
        environment = build_environment()
        subprocess.run(configure, check=True, env=environment)
        subprocess.run(["cmake", "--build", str(build)], check=True, env=environment)
        version = importlib.metadata.version("tensorflow")
        (library.parent / "_built_with_tensorflow.txt").write_text(version + "\n")

    def get_outputs(self) -> list[str]:
        outputs = super().get_outputs()
        return outputs + [str(Path(o).parent / "_built_with_tensorflow.txt") for o in outputs]


class PlatformWheel(bdist_wheel):
    """The library works under every Python that TensorFlow supports: one wheel for all of them."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        return "py3", "none", platform


if sys.platform != "linux":
    raise RuntimeError("sigkernel-tf builds on Linux x86_64 only, for now")

setup(
    ext_modules=[Extension("sigkernel_tf._ops", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "bdist_wheel": PlatformWheel},
)
