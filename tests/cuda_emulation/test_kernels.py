"""The CUDA kernels' own source, run on the host and compared with the CPU core."""

from pathlib import Path

import pytest
from cuda_emulation.emulation import CORE, HERE, assert_went_well, build, build_core, run


@pytest.fixture(scope="module")
def core_objects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return tuple(build_core(tmp_path_factory.mktemp("core")))


PROGRAMS = {"goursat": "goursat_cuda.cu", "signature": "signature_cuda.cu"}
programs = pytest.mark.parametrize("name", [n for n in PROGRAMS if (HERE / f"drive_{n}.cc").exists()])


def build_driver(mode: str, name: str, folder: Path, objects: tuple[Path, ...]) -> Path:
    return build(mode, [CORE / PROGRAMS[name]], [HERE / f"drive_{name}.cc"], folder, objects)


@programs
def test_kernels_agree_with_the_cpu_in_every_order(name: str, tmp_path: Path, core_objects: tuple[Path, ...]) -> None:
    program = build_driver("plain", name, tmp_path, core_objects)
    assert_went_well(run(program, "all"))
    for order in (0, -1, 2, 3):
        assert_went_well(run(program, "small", order=order))


@pytest.mark.slow
@programs
def test_kernels_are_clean_under_sanitizers(name: str, tmp_path: Path, core_objects: tuple[Path, ...]) -> None:
    assert_went_well(run(build_driver("sanitized", name, tmp_path, core_objects), "small"))


@pytest.mark.slow
@programs
def test_kernels_do_not_race(name: str, tmp_path: Path, core_objects: tuple[Path, ...]) -> None:
    program = build_driver("races", name, tmp_path, core_objects)
    for order in (1, -1):
        assert_went_well(run(program, "small", order=order))
