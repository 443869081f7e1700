"""The examples of the README and of the pages run as they stand there."""

import re
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "page",
    [
        "docs/kernels.md",
        "docs/training.md",
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
