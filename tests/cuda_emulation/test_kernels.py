"""The CUDA kernels' own source, run on the host and compared with the CPU core."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from core_objects import CORE
from cuda_emulation.emulation import HERE, assert_went_well, build, build_core_once, kernels_in, run

PROGRAMS = {
    "goursat": CORE / "goursat" / "cuda" / "goursat_cuda.cu",
    "signature": CORE / "signature" / "signature_cuda.cu",
}
Programs = Callable[[str, str], Path]
programs = pytest.mark.parametrize("name", PROGRAMS)
one_in_ci = pytest.mark.parametrize("name", ["goursat", pytest.param("signature", marks=pytest.mark.ci)])


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """``program(mode, name)`` is a driver, built once for all test processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def make(mode: str, name: str) -> Path:
        made = folder / f"{mode}_{name}"
        made.mkdir(exist_ok=True)
        with (made / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            driver = HERE / f"drive_{name}.cc"
            done = made / f"{mode}_{driver.stem}"
            if done.exists():
                return done
            return build(mode, [PROGRAMS[name]], [driver], made, build_core_once(folder / "core"))

    return make


@pytest.mark.slow
@pytest.mark.ci
@programs
@pytest.mark.parametrize("dtype", ["double", "float"])
def test_every_kernel_agrees_with_the_cpu(name: str, dtype: str, program: Programs, tmp_path: Path) -> None:
    driver, launched = program("plain", name), tmp_path / "launched"
    assert_went_well(run(driver, dtype, EMULATION_LAUNCHED=str(launched)))
    addresses = {int(line, 16) for line in launched.read_text().split()}
    compiled = {address: kernel for address, kernel in kernels_in(driver).items() if dtype in kernel}
    assert len(compiled) >= {"goursat": 25, "signature": 4}[name]
    assert sorted(kernel for address, kernel in compiled.items() if address not in addresses) == []


@pytest.mark.slow
@pytest.mark.ci
@programs
def test_kernels_agree_with_the_cpu_in_every_order(name: str, program: Programs) -> None:
    for order in (0, -1, 2, 3):
        assert_went_well(run(program("plain", name), "small", order=order))


def test_gradients_take_the_memory_that_they_need(tmp_path: Path) -> None:
    assert_went_well(run(build("plain", [], [HERE / "drive_memory.cc"], tmp_path)))


@pytest.mark.slow
@pytest.mark.ci
def test_long_paths_agree_with_the_cpu(program: Programs) -> None:
    assert_went_well(run(program("plain", "goursat"), "long"))


@pytest.mark.slow
@one_in_ci
def test_kernels_are_clean_under_sanitizers(name: str, program: Programs) -> None:
    assert_went_well(run(program("sanitized", name), "small"))


@pytest.mark.slow
@pytest.mark.parametrize("every", [pytest.param("9", marks=pytest.mark.ci), "1"])
def test_every_instantiation_is_clean_under_sanitizers(every: str, program: Programs) -> None:
    """Each line of instantiations.h: the emulation is told of misaligned and foreign memory."""
    assert_went_well(run(program("sanitized", "goursat"), "instantiations", "0", every))


@pytest.mark.slow
@one_in_ci
def test_kernels_do_not_race(name: str, program: Programs) -> None:
    for order in (1, -1):
        assert_went_well(run(program("races", name), "small", order=order))
