"""Builds the compiled operations with CMake; everything else about the package is in pyproject.toml."""

import importlib.metadata
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "build_backend"))  # a backend that runs this file does not put its folder there

import cmake_build  # noqa: E402


def write_version(library: Path) -> None:
    """Writes, beside the library, the release of TensorFlow that it was built with and loads under."""
    version = importlib.metadata.version("tensorflow")
    (library.parent / "_built_with_tensorflow.txt").write_text(version + "\n")


class CMakeBuild(build_ext):
    """Writes ``sigkernel_tf/_ops.so`` and, beside it, the release of TensorFlow it was built with."""

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + ".so"  # no CPython ABI in it, hence none in its name

    def build_extension(self, ext: Extension) -> None:
        library = Path(self.get_ext_fullpath(ext.name)).resolve()
        library.parent.mkdir(parents=True, exist_ok=True)
        library.unlink(missing_ok=True)  # a process that has loaded the old one keeps it
        shutil.copy2(cmake_build.build(), library)
        write_version(library)

    def copy_extensions_to_source(self) -> None:
        """For an editable installation, whose library stands in the source tree: setuptools copies nothing else."""
        super().copy_extensions_to_source()
        for ext in self.extensions:
            write_version(ROOT / self.get_ext_filename(ext.name))

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
