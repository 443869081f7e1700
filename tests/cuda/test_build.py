"""The library built with CUDA: what it links to, registers, and compiles to. No GPU is needed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

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


def configure(folder: Path, **environment: str) -> str:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs cmake")
    command = [
        cmake,
        "-S",
        str(ROOT),
        "-B",
        str(folder),
        "-DTENSORFLOW_DIR=/nowhere",
        f"-DSIGKERNEL_TF_OUTPUT_DIR={folder}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return done.stdout + done.stderr


def test_a_build_without_cuda_says_so_once(tmp_path: Path) -> None:
    assert configure(tmp_path, SIGKERNEL_TF_CUDA="0").count("for the CPU only") == 1


def test_targets_can_be_narrowed(tmp_path: Path) -> None:
    toolkit = tmp_path / "toolkit"
    for folder in ("bin", "lib64"):
        (toolkit / folder).mkdir(parents=True)
    nvcc = toolkit / "bin" / "nvcc"
    nvcc.write_text("#!/bin/sh\n")
    nvcc.chmod(0o755)
    (toolkit / "lib64" / "libcudart_static.a").touch()
    said = configure(tmp_path / "build", CUDA_HOME=str(toolkit), SIGKERNEL_TF_CUDA_ARCHS="80,90", SIGKERNEL_TF_CUDA="1")
    assert re.search(r"building with CUDA, by .*nvcc, for 80;90", said)


def kernels_in(log: str) -> list[tuple[str, str, int, int]]:
    """What ptxas said: (kernel, target, bytes of stack, bytes spilled)."""
    entry = re.compile(
        r"Compiling entry function '(\w+)' for '(sm_\d+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores",
        re.DOTALL,
    )
    return [(name, target, int(stack), int(spilled)) for name, target, stack, spilled in entry.findall(log)]


def may_spill(name: str) -> bool:
    """Backward kernels beyond degree 8 in double, and beyond 12 at all: that of refined pairs has degree 16."""
    if "backward_refined_kernel" in name:
        return True
    degree = re.search(r"PowerSeriesILi(\d+)E", name)
    if degree is None or "backward_kernel" not in name:
        return False
    is_double = re.search(r"EEEdLi", name) is not None
    return int(degree[1]) > (8 if is_double else 12)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["goursat/cuda/goursat_cuda", "signature/signature_cuda"])
def test_no_kernel_spills_registers(source: str, tmp_path: Path) -> None:
    skip_without_cuda()
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    targets = [f"-gencode=arch=compute_{t},code=sm_{t}" for t in TARGETS]
    command = [nvcc, "-c", "-O3", "-std=c++17", "--expt-relaxed-constexpr", "--threads", "2", "-Xptxas=-v", *targets]
    command += [
        "-I",
        str(ROOT / "csrc"),
        str(ROOT / "csrc" / "core" / f"{source}.cu"),
        "-o",
        str(tmp_path / "kernels.o"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = kernels_in(done.stdout + done.stderr)
    assert {target for _, target, _, _ in found} == {f"sm_{t}" for t in TARGETS}
    if source.endswith("goursat_cuda"):
        assert any(may_spill(name) for name, _, _, _ in found)
        assert sum("forward_kernel" in name for name, _, _, _ in found) >= 2 * 7 * len(TARGETS)
    assert [k for k in found if (k[2] > 0 or k[3] > 0) and not may_spill(k[0])] == []
