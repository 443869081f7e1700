"""The host emulation of CUDA itself: what it runs rightly, and that it catches the mistakes it is there for."""

import subprocess
from pathlib import Path

import pytest
from cuda_emulation.emulation import HERE, MODES, assert_went_well, build, run

ORDERS = (0, -1, 1, 2)

# What finds each seeded fault of faults.cu, in which mode.
FAULTS = {
    1: ("a dropped barrier", "races", "race:"),
    2: ("a dropped warp barrier", "races", "race:"),
    3: ("an off-by-one bound", "sanitized", "heap-buffer-overflow"),
    4: ("a sum that is not atomic", "races", "race:"),
    5: ("a counter raised before the value is written", "races", "race:"),
    6: ("a barrier that not all threads reach", "plain", "emulation:"),
    7: ("a shuffle that not all named lanes reach", "plain", "emulation:"),
    8: ("too little shared memory", "plain", "behind the 128 bytes of shared memory"),
}


def build_faults(mode: str, fault: int, folder: Path) -> Path:
    return build(mode, [HERE / "faults.cu"], [], folder, defines=(f"-DFAULT={fault}",))


@pytest.mark.parametrize("mode", MODES)
def test_a_right_kernel_passes_in_every_order(mode: str, tmp_path: Path) -> None:
    program = build_faults(mode, 0, tmp_path)
    for order in ORDERS:
        assert_went_well(run(program, order=order))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: FAULTS[fault][0])
def test_a_seeded_fault_is_caught(fault: int, tmp_path: Path) -> None:
    _, mode, says = FAULTS[fault]
    done = run(build_faults(mode, fault, tmp_path))
    assert done.returncode != 0
    assert says in done.stdout + done.stderr


def test_too_little_shared_memory_is_an_error_for_the_address_sanitizer_too(tmp_path: Path) -> None:
    done = run(build_faults("sanitized", 8, tmp_path))
    assert done.returncode != 0
    assert "use-after-poison" in done.stderr


def test_a_launch_that_a_gpu_refuses_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "refused.cu"
    source.write_text(
        """
        #include <cstdio>
        #include "core/device/launch.cuh"
        __global__ void nothing_kernel() {}
        int main() {
          sigkernel::CudaDevice device;
          for (const auto& [threads, shared] : {std::pair<int, int>{2048, 0}, {32, 200 << 10}}) {
            try {
              sigkernel::launch("nothing_kernel", nothing_kernel, 1, threads, shared, device);
              return 1;
            } catch (const sigkernel::CudaError& error) {
              std::puts(error.what());
            }
          }
        }
        """
    )
    done: subprocess.CompletedProcess = run(build("plain", [source], [], tmp_path))
    assert done.returncode == 0
    assert "2048 threads" in done.stdout
    assert done.stdout.count("nothing_kernel") == 2


def test_threads_that_launch_one_kernel_leave_each_other_their_shared_memory(tmp_path: Path) -> None:
    """One has asked for 60 KB and is about to launch, when another launches the kernel with 50 KB."""
    source = tmp_path / "opted_in.cu"
    source.write_text(
        """
        #include <cstdio>
        #include "core/device/launch.cuh"
        __global__ void nothing_kernel() {}
        int main() {
          sigkernel::CudaDevice device;
          sigkernel::launch("nothing_kernel", nothing_kernel, 1, 32, 60 << 10, device);
          sigkernel::launch("nothing_kernel", nothing_kernel, 1, 32, 50 << 10, device);
          cudaLaunchConfig_t config = {};
          config.dynamicSmemBytes = 60 << 10;
          config.blockDim = dim3(32);
          return cudaLaunchKernelEx(&config, nothing_kernel) == cudaSuccess ? 0 : 1;
        }
        """
    )
    assert run(build("plain", [source], [], tmp_path)).returncode == 0


def test_a_driver_that_is_too_old_is_named(tmp_path: Path) -> None:
    source = tmp_path / "old_driver.cu"
    source.write_text(
        """
        #include <cstdio>
        #include "core/device/launch.cuh"
        __global__ void nothing_kernel() {}
        int main() {
          try {
            sigkernel::launch("nothing_kernel", nothing_kernel, 1, 32, 0, sigkernel::CudaDevice());
          } catch (const sigkernel::CudaError& error) {
            std::puts(error.what());
          }
        }
        """
    )
    said = run(build("plain", [source], [], tmp_path), EMULATION_DRIVER="12040").stdout
    assert "knows CUDA up to 12.4" in said
    assert "CUDA 13, which needs driver 580 or newer" in said
    assert "Update the driver" in said
