"""Whether a build compiles CUDA, and for which GPUs: where nvcc and nvidia-smi are scripts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cuda_choice import SUPPORTED, CudaChoice, choose_cuda

Choose = Callable[..., CudaChoice]


def program(path: Path, prints: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nprintf '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choose:
    """The choice on a machine with these GPUs and an nvcc for these targets; None: there is no such program."""
    which = shutil.which

    def choice(gpus: str | None = None, targets: tuple[int, ...] | None = SUPPORTED, **environment: str) -> CudaChoice:
        if gpus is not None:
            program(tmp_path / "bin" / "nvidia-smi", gpus)
        if targets is not None:
            program(tmp_path / "bin" / "nvcc", "".join(f"sm_{target}\\n" for target in targets))
        # Whatever the machine that runs this has in /usr/local/cuda is not looked at.
        monkeypatch.setattr(
            "shutil.which", lambda name, path: which(name, path=path.replace("/usr/local/cuda/bin", ""))
        )
        path = f"{tmp_path / 'bin'}"
        return choose_cuda({"PATH": path, **environment}, driver=tmp_path / "driver", nvcc_from_pypi=lambda: from_pypi)

    from_pypi = program(tmp_path / "pypi" / "nvcc", "sm_75\\nsm_90\\nsm_103\\n")
    return choice


def test_without_a_gpu_nothing_is_compiled_for_one(choose: Choose) -> None:
    choice = choose()
    assert choice.nvcc is None
    assert choice.archs == ()
    assert choice.reason == "building for the CPU only: this machine has no NVIDIA GPU"


def test_a_tool_that_finds_no_gpu(choose: Choose) -> None:
    assert choose("No devices were found\\n").nvcc is None


@pytest.mark.parametrize(
    ("gpus", "archs"), [("9.0\\n", (90,)), ("8.6\\n8.6\\n", (86,)), ("12.0\\n7.5\\n", (75, 120)), (" 10.0 \\n", (100,))]
)
def test_unasked_the_gpus_of_this_machine_are_compiled_for(choose: Choose, gpus: str, archs: tuple[int, ...]) -> None:
    choice = choose(gpus)
    assert choice.nvcc is not None
    assert choice.archs == archs


def test_a_gpu_newer_than_nvcc_gets_the_newest_that_it_knows(choose: Choose) -> None:
    assert choose("12.1\\n", targets=(75, 90, 120)).archs == (120,)  # the driver compiles its PTX


def test_a_gpu_older_than_all_that_is_supported(choose: Choose) -> None:
    choice = choose("6.1\\n")
    assert choice.nvcc is None
    assert "does not compile for this machine's sm_61" in choice.reason


def test_a_gpu_without_an_nvcc_is_left_alone_in_one_line(choose: Choose) -> None:
    choice = choose("9.0\\n", targets=None)
    assert choice.nvcc is None
    assert "there is a GPU but no nvcc" in choice.reason
    assert "\n" not in choice.reason


def test_a_driver_without_its_tool_gets_all_targets(choose: Choose, tmp_path: Path) -> None:
    (tmp_path / "driver" / "0000:01:00.0").mkdir(parents=True)
    assert choose().archs == SUPPORTED


@pytest.mark.parametrize("wanted", ["1", "available"])
def test_all_targets_on_request(choose: Choose, wanted: str) -> None:
    assert choose(SIGKERNEL_TF_CUDA=wanted).archs == SUPPORTED
    assert choose("9.0\\n", SIGKERNEL_TF_CUDA=wanted).archs == SUPPORTED
    assert choose(targets=(75, 87, 90), SIGKERNEL_TF_CUDA=wanted).archs == (75, 90)  # all of ours that it knows


@pytest.mark.parametrize("environment", [{"SIGKERNEL_TF_CUDA": "1"}, {"SIGKERNEL_TF_CUDA_ARCHS": "90"}])
def test_a_request_that_cannot_be_met(choose: Choose, environment: dict[str, str]) -> None:
    (name,) = environment
    with pytest.raises(ValueError, match=rf"{name}=\d+ asks for CUDA, but there is no nvcc .* SIGKERNEL_TF_CUDA=0"):
        choose(targets=None, **environment)


def test_available_is_content_with_the_cpu(choose: Choose) -> None:
    assert choose(targets=None, SIGKERNEL_TF_CUDA="available").nvcc is None


def test_zero_wins(choose: Choose) -> None:
    choice = choose("9.0\\n", SIGKERNEL_TF_CUDA="0", SIGKERNEL_TF_CUDA_ARCHS="90")
    assert (choice.nvcc, choice.archs) == (None, ())
    assert "SIGKERNEL_TF_CUDA=0" in choice.reason


@pytest.mark.parametrize("text", ["80,90", "90;80", "80 90", "90,80,90,"])
def test_targets_can_be_narrowed_and_imply_cuda(choose: Choose, text: str) -> None:
    assert choose(SIGKERNEL_TF_CUDA_ARCHS=text).archs == (80, 90)
    assert choose(SIGKERNEL_TF_CUDA_ARCHS=text, SIGKERNEL_TF_CUDA="1").archs == (80, 90)


def test_the_compiler_from_pypi(choose: Choose) -> None:
    choice = choose(targets=None, SIGKERNEL_TF_CUDA="pypi")
    assert choice.nvcc is not None
    assert choice.nvcc.parent.name == "pypi"
    assert choice.archs == (75, 90)
    assert choose(SIGKERNEL_TF_CUDA="pypi", SIGKERNEL_TF_CUDA_ARCHS="90").archs == (90,)


def test_a_compiler_for_none_of_ours(choose: Choose) -> None:
    with pytest.raises(ValueError, match="names none of sm_75 to sm_120"):
        choose(targets=(60, 70), SIGKERNEL_TF_CUDA="1")


def test_the_home_of_cuda_comes_before_the_path(choose: Choose, tmp_path: Path) -> None:
    nvcc = program(tmp_path / "toolkit" / "bin" / "nvcc", "sm_80\\n")
    choice = choose(SIGKERNEL_TF_CUDA="1", CUDA_HOME=str(tmp_path / "toolkit"))
    assert (choice.nvcc, choice.archs) == (nvcc, (80,))


@pytest.mark.parametrize(
    ("environment", "error"),
    [
        ({"SIGKERNEL_TF_CUDA": "yes"}, "SIGKERNEL_TF_CUDA must be 0, 1, available or pypi, or unset; got 'yes'"),
        ({"SIGKERNEL_TF_CUDA_ARCHS": "sm_90"}, "must be compute capabilities such as 80,90; got 'sm_90'"),
    ],
)
def test_values_that_mean_nothing(choose: Choose, environment: dict[str, str], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        choose(**environment)


def test_a_target_that_nvcc_does_not_know_is_refused_by_name(choose: Choose) -> None:
    with pytest.raises(ValueError, match=r"ARCHS names 999, for which .*nvcc does not compile: take some of 75, 90"):
        choose(targets=(75, 90), SIGKERNEL_TF_CUDA_ARCHS="90,999")
