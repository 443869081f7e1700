"""
Decides whether the build compiles CUDA, by which nvcc and for which GPUs.

The variables of the environment that decide:

- ``SIGKERNEL_TF_CUDA`` is unset: for the GPUs of this machine. Without a GPU, or without an nvcc, for the CPU only.
- ``SIGKERNEL_TF_CUDA=0``: for the CPU only.
- ``SIGKERNEL_TF_CUDA=1``: for every GPU that is supported; the build stops where there is no nvcc.
- ``SIGKERNEL_TF_CUDA=available``: for every GPU that is supported where there is an nvcc, or else for the CPU only.
- ``SIGKERNEL_TF_CUDA=pypi``: as 1, by the nvcc that pip installs.
- ``SIGKERNEL_TF_CUDA_ARCHS=80,90``: for these compute capabilities only, and as 1 where ``SIGKERNEL_TF_CUDA`` is unset.

An nvcc is looked for in ``$CUDA_HOME/bin``, ``$CUDA_PATH/bin``, ``/usr/local/cuda/bin`` and ``$PATH``, in this
order: what is in the path may be a script that calls the nvcc of a toolkit elsewhere, whose libraries are needed, too.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = (75, 80, 86, 89, 90, 100, 120)
CHOICES = ("", "0", "1", "available", "pypi")
_DRIVER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class CudaChoice:
    """What to compile CUDA with and for, and one line that says so to the user. No nvcc: for the CPU only."""

    nvcc: Path | None
    archs: tuple[int, ...]
    reason: str


def choose_cuda(
    environment: Mapping[str, str], *, nvcc_from_pypi: Callable[[], Path] | None = None, driver: Path = _DRIVER
) -> CudaChoice:
    """
    The choice for ``environment``, which holds the variables above and the ``PATH`` of ``nvcc`` and ``nvidia-smi``.

    :param nvcc_from_pypi: finds the nvcc that pip installed, for ``SIGKERNEL_TF_CUDA=pypi``.
    :param driver: the folder where NVIDIA's driver lists GPUs; asked only where there is no ``nvidia-smi``.
    :raises ValueError: where a variable has a value that means nothing, or an nvcc is asked for and there is none.
    """
    wanted, archs = environment.get("SIGKERNEL_TF_CUDA", ""), _archs(environment.get("SIGKERNEL_TF_CUDA_ARCHS", ""))
    if wanted not in CHOICES:
        raise ValueError(f"SIGKERNEL_TF_CUDA must be 0, 1, available or pypi, or unset; got {wanted!r}")
    if wanted == "0":
        return CudaChoice(None, (), "building for the CPU only, as SIGKERNEL_TF_CUDA=0 asks")
    if not wanted and not archs:
        return _for_this_machine(environment, driver)
    nvcc = nvcc_from_pypi() if wanted == "pypi" and nvcc_from_pypi is not None else find_nvcc(environment)
    if nvcc is None:
        if wanted == "available":
            return CudaChoice(None, (), "building for the CPU only: there is no nvcc")
        name = "SIGKERNEL_TF_CUDA" if wanted else "SIGKERNEL_TF_CUDA_ARCHS"
        raise ValueError(
            f"{name}={environment[name]} asks for CUDA, but there is no nvcc in CUDA_HOME, /usr/local/cuda or PATH: "
            "install NVIDIA's CUDA toolkit, set SIGKERNEL_TF_CUDA=pypi, which takes the compiler from PyPI, or "
            "SIGKERNEL_TF_CUDA=0, which builds for the CPU only"
        )
    known = known_archs(nvcc)
    if unknown := set(archs) - known:
        raise ValueError(
            f"SIGKERNEL_TF_CUDA_ARCHS names {', '.join(map(str, sorted(unknown)))}, for which {nvcc} does not compile: "
            f"take some of {', '.join(map(str, sorted(known)))}"
        )
    archs = archs or tuple(arch for arch in SUPPORTED if arch in known)
    if not archs:
        raise ValueError(
            f"{nvcc} --list-gpu-code names none of sm_{SUPPORTED[0]} to sm_{SUPPORTED[-1]}: set CUDA_HOME to a newer "
            "CUDA, or SIGKERNEL_TF_CUDA=0 to build for the CPU only"
        )
    return CudaChoice(nvcc, archs, _with_cuda(nvcc, archs))


def find_nvcc(environment: Mapping[str, str]) -> Path | None:
    """NVIDIA's compiler on this machine, or None."""
    homes = [str(Path(environment[name]) / "bin") for name in ("CUDA_HOME", "CUDA_PATH") if environment.get(name)]
    found = shutil.which("nvcc", path=os.pathsep.join([*homes, "/usr/local/cuda/bin", environment.get("PATH", "")]))
    return None if found is None else Path(found)


def known_archs(nvcc: Path) -> set[int]:
    """The compute capabilities that this nvcc compiles for."""
    listed = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=False).stdout
    return {int(arch) for arch in re.findall(r"\bsm_(\d+)\b", listed)}


def capabilities(environment: Mapping[str, str]) -> set[int]:
    """The compute capabilities of this machine's GPUs, by NVIDIA's own tool; empty where there is none."""
    tool = shutil.which("nvidia-smi", path=environment.get("PATH", ""))
    if tool is None:
        return set()
    command = [tool, "--query-gpu=compute_cap", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {int(major + minor) for major, minor in re.findall(r"^\s*(\d+)\.(\d)\s*$", done.stdout, re.MULTILINE)}


def _for_this_machine(environment: Mapping[str, str], driver: Path) -> CudaChoice:
    gpus, nvcc = capabilities(environment), find_nvcc(environment)
    listed = driver.is_dir() and any(driver.iterdir())  # GPUs whose capabilities are not known
    if not gpus and not listed:
        return CudaChoice(None, (), "building for the CPU only: this machine has no NVIDIA GPU")
    if nvcc is None:
        return CudaChoice(
            None,
            (),
            "building for the CPU only: there is a GPU but no nvcc (SIGKERNEL_TF_CUDA=pypi brings one)",
        )
    known = known_archs(nvcc)
    archs = {arch for arch in SUPPORTED if arch in known} if not gpus else {_nearest(gpu, known) for gpu in gpus} - {0}
    if not archs:
        names = ", ".join(f"sm_{gpu}" for gpu in sorted(gpus))
        return CudaChoice(None, (), f"building for the CPU only: {nvcc} does not compile for this machine's {names}")
    return CudaChoice(nvcc, tuple(sorted(archs)), _with_cuda(nvcc, tuple(sorted(archs))))


def _nearest(gpu: int, known: set[int]) -> int:
    """The GPU itself, or the newest that nvcc knows below it, whose PTX the driver compiles; 0: there is none."""
    return max((arch for arch in known if SUPPORTED[0] <= arch <= gpu), default=0)


def _archs(text: str) -> tuple[int, ...]:
    parts = [part for part in re.split(r"[,; ]+", text) if part]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"SIGKERNEL_TF_CUDA_ARCHS must be compute capabilities such as 80,90; got {text!r}")
    return tuple(sorted({int(part) for part in parts}))


def _with_cuda(nvcc: Path, archs: tuple[int, ...]) -> str:
    return f"building with CUDA for {', '.join(f'sm_{arch}' for arch in archs)} and PTX, by {nvcc}"
