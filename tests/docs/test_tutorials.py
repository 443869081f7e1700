"""The tutorials run as scripts, are all listed, and their links lead to pages."""

import re
import runpy
from pathlib import Path

import matplotlib
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.py"))


def test_every_tutorial_is_listed() -> None:
    index, site = (DOCS / "tutorials" / "index.md").read_text(), (DOCS.parent / "mkdocs.yml").read_text()
    assert len(TUTORIALS) == 7
    for tutorial in TUTORIALS:
        assert f"]({tutorial.name})" in index
        assert f"- tutorials/{tutorial.name}\n" in site


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_links_lead_to_pages(tutorial: Path) -> None:
    """Notebooks are linked as the site has them, a folder for each page: mkdocs does not look at these links."""
    for link in re.findall(r"\]\((\.[^)]*)\)", tutorial.read_text()):
        assert link.endswith("/")
        page = (tutorial.with_suffix("") / link).resolve()
        assert page.with_suffix(".md").is_file() or page.with_suffix(".py").is_file(), link


@pytest.mark.slow
@pytest.mark.parametrize(
    "tutorial",
    [pytest.param(path, marks=pytest.mark.ci if path.stem == "which_words_matter" else []) for path in TUTORIALS],
    ids=lambda path: path.stem,
)
def test_a_tutorial_runs(tutorial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(tutorial))
    matplotlib.pyplot.close("all")
    assert not list(tmp_path.iterdir())  # a tutorial leaves nothing behind
