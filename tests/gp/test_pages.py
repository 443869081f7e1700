"""The examples of the README and of the pages run as they stand there."""

import re
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "page",
    [
        "docs/install.md",
        "docs/why.md",
        "docs/gallery.md",
        "docs/kernels.md",
        "docs/training.md",
        "docs/signatures.md",
        "docs/two_sample.md",
        pytest.param("docs/layers.md", marks=pytest.mark.slow),
        pytest.param("README.md", marks=pytest.mark.slow),
    ],
)
def test_the_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    assert examples
    exec("\n".join(examples), {})


def test_the_script_of_a_page_is_the_example() -> None:
    example = (ROOT / "examples" / "train_on_workers.py").read_text()
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "distributed.md").read_text(), flags=re.DOTALL)[0]
    assert example.split('"""\n\n', 1)[1] == shown


def test_the_tests_that_hold_the_promises_are_there() -> None:
    """Within one cell a file without a folder lies in the folder that was named before it."""
    page = (ROOT / "docs" / "reliability.md").read_text()
    named = 0
    for line in page.splitlines():
        folder = ""
        for name in re.findall(r"`((?:\w+/)?\w+\.(?:py|cc))`", line):
            folder = name.rpartition("/")[0] or folder
            assert (ROOT / "tests" / folder / name.rpartition("/")[2]).is_file(), f"{name} in: {line}"
            named += 1
    assert named > 50
