"""The folder that checks the CUDA kernels elsewhere: its answers, and a whole run of it on the host."""

import itertools
import json
import lzma
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks.device_check import __main__ as pack
from benchmarks.device_check.check.report import Errors, Row, table
from benchmarks.device_check.reference import Question, answers, compile_reference

X = np.array([[0.0, 0.25], [0.5, -0.25], [1.0, 0.75]])
Y = np.array([[0.25, 0.5], [-0.5, 1.0], [0.75, 0.0], [1.0, 0.5]])


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    return compile_reference(tmp_path_factory.mktemp("reference"))


def by_differences(program: Path, question: Question, at: np.ndarray) -> np.ndarray:
    """The gradient of k by ``at``, one of the question's own arrays."""
    step, moved = 2.0**-18, []
    for place in np.ndindex(at.shape):
        for sign in (1, -1):
            copy = at.copy()
            copy[place] += sign * step
            arrays = {"X": copy if at is question.X else question.X, "Y": copy if at is question.Y else question.Y}
            moved.append(
                Question(question.what, **arrays, static_kernel=question.static_kernel, variance=question.variance)
            )
    k = np.array([answer["k"] for answer in answers(program, moved)])
    return ((k[::2] - k[1::2]) / (2 * step)).reshape(at.shape)


def test_a_kernel_of_one_cell_is_a_bessel_function(program: Path) -> None:
    p = 0.625
    (answer,) = answers(program, [Question("series", np.array([[p]]), None, "given")])
    assert answer["k"] == pytest.approx(np.i0(2 * p**0.5), rel=1e-15)
    terms = [float(Fraction(5, 8) ** k * (k + 1)) / float(np.prod(np.arange(1, k + 2.0))) ** 2 for k in range(30)]
    assert answer["dX"][0, 0] == pytest.approx(sum(terms), rel=1e-15)  # of sum p^k / (k!)²


def test_differences_are_the_scheme_in_exact_fractions(program: Path) -> None:
    p = np.array([[0.5, -0.25], [1.5, 0.75], [0.125, 2.0]])
    u: dict[tuple[int, int], Fraction] = {}
    for i, j in itertools.product(range(4), range(3)):
        u[i, j] = Fraction(1)
        if i > 0 and j > 0:
            q = Fraction(p[i - 1, j - 1])
            u[i, j] = (u[i, j - 1] + u[i - 1, j]) * (1 + q / 2 + q * q / 12) - u[i - 1, j - 1] * (1 - q * q / 12)
    (answer,) = answers(program, [Question("differences", p, None, "given")])
    assert answer["k"] == float(u[3, 2])


@pytest.mark.parametrize("static_kernel", ["linear", "rbf"])
@pytest.mark.parametrize("what", ["series", "differences"])
def test_gradients_are_differences(what: str, static_kernel: str, program: Path) -> None:
    question = Question(what, X, Y, static_kernel, 1.25)
    (answer,) = answers(program, [question])
    np.testing.assert_allclose(answer["dX"], by_differences(program, question, question.X), atol=1e-8)
    np.testing.assert_allclose(answer["dY"], by_differences(program, question, Y), atol=1e-8)


def test_the_gradient_of_theorem_4_1_tends_to_the_kernels_own(program: Path) -> None:
    exact, fine = answers(program, [Question("series", X, Y), Question("theorem_4_1", X, Y, dyadic_order=6)])
    np.testing.assert_allclose(fine["dX"], exact["dX"], atol=2e-4)
    np.testing.assert_allclose(fine["dY"], exact["dY"], atol=2e-4)


def test_signatures_shuffle_and_have_the_gradient_of_an_area(program: Path) -> None:
    """The product of two words is the sum of their shuffles; of the Lévy area the gradient is known."""
    weights = np.zeros(7)
    weights[4], weights[5] = 0.5, -0.5  # of the words 12 and 21
    (answer,) = answers(program, [Question("signature", X, weights, depth=2)])
    _, one, two, _, one_two, two_one, _ = answer["words"]
    assert one * two == pytest.approx(one_two + two_one, rel=1e-15)
    before, after = np.roll(X, 1, axis=0), np.roll(X, -1, axis=0)  # the area is closed by its chord
    area = np.stack([after[:, 1] - before[:, 1], before[:, 0] - after[:, 0]], axis=1) / 2
    np.testing.assert_allclose(answer["d_paths"], area, atol=1e-14)


def test_a_number_that_is_none_is_a_failure() -> None:
    errors = Errors()
    errors.add("a kernel", "k", float("nan"), 300.0)
    rows = list(errors.rows("part", "group"))
    assert [row.is_good for row in rows] == [False, False]
    assert "FAIL" in table([*rows, Row("part", "else", "", True)])


def test_a_library_that_does_not_load_is_said_and_fails(tmp_path: Path) -> None:
    """As on a machine without a GPU: one line, JSON, and an exit status."""
    folder = tmp_path / "pack"
    shutil.copytree(pack.HERE / "check", folder / "check")
    shutil.copy(pack.HERE / "run.py", folder)
    (folder / f"{pack.LIBRARY}.xz").write_bytes(lzma.compress(b"no library"))
    done = run(folder)
    assert done.returncode == 1
    assert "FAIL the GPU" in done.stdout
    assert not json.loads((folder / "device_check.json").read_text())["passed"]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(folder / "run.py"), "--json", str(folder / "device_check.json"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)


EVERY = 37  # of the table's lines; tests/cuda_emulation runs them all


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pack that runs on the host, and the folder of its objects."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    folder, objects = tmp_path_factory.mktemp("device_check") / "pack", tmp_path_factory.mktemp("objects")
    pack.make(folder, pack.emulated_library(objects), every=EVERY, is_small=True)
    return folder, objects


def rows_of(folder: Path) -> list[dict]:
    return json.loads((folder / "device_check.json").read_text())["rows"]


@pytest.mark.slow
def test_the_pack_runs_from_end_to_end_on_the_host(emulated: tuple[Path, Path]) -> None:
    folder, _ = emulated
    done = run(folder, "--every", str(EVERY))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(folder)
    parts = {row["part"] for row in rows}
    assert len(parts) == 8, parts
    for said in ("series of degree", "theorem_4_1", "lengths 1 and 2", "empty batches", "NaN", "Gram", "streams"):
        assert any(said in row["what"] + row["found"] for row in rows), said
    assert sum(file.stat().st_size for file in folder.rglob("*")) < pack.MOST_BYTES


@pytest.mark.slow
def test_a_fault_in_a_kernel_fails_its_own_lines_only(emulated: tuple[Path, Path]) -> None:
    """Signatures whose factor 1 / n is one off: the rest passes, and the exit status says that not all did."""
    folder, objects = emulated
    source = pack.KERNELS[1].read_text()
    right, wrong = "algebra.inverse[n - level];", "algebra.inverse[n - level + 1];"
    assert source.count(right) == 1
    faulty = objects / "faulty_signature.cu"
    faulty.write_text(source.replace(right, wrong))
    library = pack.emulated_library(objects, (pack.KERNELS[0], faulty))
    (folder / f"{pack.LIBRARY}.xz").write_bytes(lzma.compress(library.read_bytes()))
    done = run(folder, "--every", str(EVERY), "--parts", "double-differences,signatures,edges")
    assert done.returncode == 1
    assert "FAIL" in done.stdout
    good = {row["part"]: row["is_good"] for row in rows_of(folder) if not row["what"].startswith("  ")}
    assert [part for part, is_good in good.items() if not is_good] == [
        "signatures against quadruple precision, in epsilons"
    ]


@pytest.mark.slow
def test_a_part_that_dies_leaves_the_others_results(emulated: tuple[Path, Path]) -> None:
    """A file of answers that lacks a case: the part that needs it ends, and the next one is run."""
    folder, _ = emulated
    done = run(folder, "--every", str(EVERY - 1), "--parts", "double-series,pairings")
    assert done.returncode == 1
    assert "double-series did not end" in done.stdout
    assert any(row["is_good"] and "pairing: gram" in row["what"] for row in rows_of(folder))
