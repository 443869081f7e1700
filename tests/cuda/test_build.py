"""The library built with CUDA: what it links to, registers, and compiles to. No GPU is needed."""

import re
import shutil
import subprocess
from pathlib import Path

import cmake_build
import pytest
from tensorflow.python.framework import kernels

from sigkernel_tf import _library

ROOT = Path(__file__).resolve().parents[2]
OPS = (
    "SignatureKernel",
    "SignatureKernelGrad",
    "DirectionalDerivative",
    "SolveGoursat",
    "SolveGoursatGrad",
    "Signature",
    "SignatureGrad",
)
SOURCES = sorted((ROOT / "csrc" / "core").rglob("*_cuda.cu"))
TARGETS = ("75", "80", "86", "89", "90", "100", "120")


def registered(op: str, device: str) -> set[int]:
    _library.ops()
    found = kernels.get_registered_kernels_for_op(f"SigkernelTf{op}").kernel
    return {t for k in found if k.device_type == device for t in k.constraint[0].allowed_values.list.type}


def skip_without_cuda() -> None:
    if not any(registered(op, "GPU") for op in OPS):
        pytest.skip("the library was built without CUDA: no nvcc was found or wanted")


@pytest.mark.parametrize("op", OPS)
def test_every_op_has_a_kernel_for_both_dtypes(op: str) -> None:
    assert registered(op, "CPU") == {1, 2}  # DT_FLOAT, DT_DOUBLE
    skip_without_cuda()
    assert registered(op, "GPU") == {1, 2}


def test_the_cuda_runtime_is_linked_in_whole() -> None:
    """A call left undefined would bind to the stubs that TensorFlow's own library exports, without a word."""
    skip_without_cuda()
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    command = ["nm", "-D", "--undefined-only", str(_library.LIBRARY)]
    undefined = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "malloc" in undefined  # so the list is one
    assert "cuda" not in undefined.lower()


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """Configures a build in ``folder`` as setup.py does, with a toolkit that is made up; returns Ninja's rules."""
    pytest.importorskip("cmake", reason="needs CMake from PyPI")
    pytest.importorskip("ninja", reason="needs Ninja from PyPI")
    toolkit = folder / "toolkit"
    for name in ("bin", "lib64"):
        (toolkit / name).mkdir(parents=True, exist_ok=True)
    nvcc = toolkit / "bin" / "nvcc"
    nvcc.write_text("#!/bin/sh\nprintf 'sm_75\\nsm_80\\nsm_90\\n'  # as it answers --list-gpu-code\n")
    nvcc.chmod(0o755)
    (toolkit / "lib64" / "libcudart_static.a").touch()
    for name in ("SIGKERNEL_TF_CUDA", "SIGKERNEL_TF_CUDA_ARCHS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"CUDA_HOME": str(toolkit), **environment}.items():
        monkeypatch.setenv(name, value)
    command, variables = cmake_build.configure(folder / "cmake", Path("/nowhere/tensorflow"))
    subprocess.run(command, capture_output=True, check=True, env=variables)
    return (folder / "cmake" / "build.ninja").read_text()


def test_another_choice_takes_effect_in_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CMake keeps the choices of the last build, which must not outlive it."""

    def targets(**environment: str) -> set[str]:
        return set(re.findall(r"code=(sm_\d+|compute_\d+)", configure(tmp_path, monkeypatch, **environment)))

    assert targets(SIGKERNEL_TF_CUDA_ARCHS="80,90") == {"sm_80", "sm_90", "compute_90"}
    assert targets(SIGKERNEL_TF_CUDA="1", SIGKERNEL_TF_CUDA_ARCHS="75") == {"sm_75", "compute_75"}
    assert targets(SIGKERNEL_TF_CUDA="0") == set()
    rules = (tmp_path / "cmake" / "build.ninja").read_text()
    assert "solve_goursat_op.cc" in rules  # so they are rules of a whole build
    assert "gpu_kernels.cc" not in rules
    assert "libcudart" not in rules


def kernels_in(log: str) -> list[tuple[str, str, int, int]]:
    """What ptxas said: (kernel, target, bytes of stack, bytes spilled)."""
    entry = re.compile(
        r"Compiling entry function '(\w+)' for '(sm_\d+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores",
        re.DOTALL,
    )
    return [(name, target, int(stack), int(spilled)) for name, target, stack, spilled in entry.findall(log)]


def may_spill(name: str) -> bool:
    """Forward kernels beyond degree 12 in double, backward ones beyond 8 in double and 12 in float, refined ones."""
    if "backward_refined_kernel" in name:
        return True
    degree = re.search(r"PowerSeriesILi(\d+)E", name)
    if degree is None:
        return False
    is_double = re.search(r"EEEdLi", name) is not None
    if "backward_kernel" in name:
        return int(degree[1]) > (8 if is_double else 12)
    return "forward_kernel" in name and is_double and int(degree[1]) > 12


def may_use_the_stack(name: str) -> bool:
    """CUDA's own Bessel functions reduce large arguments there."""
    return may_spill(name) or "one_channel" in name


def assert_no_kernel_spills(log: str, source: str, targets: set[str]) -> None:
    found = kernels_in(log)
    assert {target for _, target, _, _ in found} == targets
    if source == "goursat_cuda":
        assert any(may_spill(name) for name, _, _, _ in found)
        assert sum("forward_kernel" in name for name, _, _, _ in found) >= 2 * 7 * len(targets)
    assert [k for k in found if k[3] > 0 and not may_spill(k[0])] == []
    assert [k for k in found if k[2] > 0 and not may_use_the_stack(k[0])] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_kernel_of_this_build_spills_registers(source: Path) -> None:
    """By what ptxas said when this checkout's library was compiled, for whichever GPUs it was."""
    log = cmake_build.build_folder() / f"{source.stem}.log"
    if not log.exists() or log.stat().st_mtime < max(path.stat().st_mtime for path in source.parent.iterdir()):
        pytest.skip("this checkout's library was not built with CUDA: SIGKERNEL_TF_CUDA=1 make test builds it so")
    text = log.read_text()
    assert_no_kernel_spills(text, source.stem, set(re.findall(r"for '(sm_\d+)'", text)))


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_kernel_spills_registers_on_any_target(source: Path, tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    targets = [f"-gencode=arch=compute_{t},code=sm_{t}" for t in TARGETS]
    command = [nvcc, "-c", "-O3", "-std=c++17", "--expt-relaxed-constexpr", "--threads", "2", "-Xptxas=-v", *targets]
    command += ["-I", str(ROOT / "csrc"), str(source), "-o", str(tmp_path / "kernels.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert_no_kernel_spills(done.stdout + done.stderr, source.stem, {f"sm_{t}" for t in TARGETS})
