"""In docs/comparison.md each "yes" leads to an example, and each "no" has a reason."""

import doctest
import inspect
import operator
import re
import unicodedata
from pathlib import Path

import pytest

import sigkernel_tf as sk

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "comparison.md").read_text()
# The cells of the column "here", by the feature. In the last table, on where it runs, a page is enough of an example.
_FEATURES, _WHERE_IT_RUNS = PAGE.split("## Where it runs\n")


def cells_here(text: str) -> dict[str, str]:
    rows = [line.removeprefix("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in rows if len(row) == 9 and row[1] != "here"}


HERE, WHERE_IT_RUNS = cells_here(_FEATURES), cells_here(_WHERE_IT_RUNS)


def slug(heading: str) -> str:
    """The anchor that mkdocs makes of a heading."""
    ascii_only = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


def section(link: str) -> str:
    """The text that a link leads to: a section with those below it, or a page."""
    page, _, anchor = link.partition("#")
    text = (DOCS / page).read_text() if page else PAGE
    if not anchor:
        return text
    parts = re.split(r"^(#+) (.*)\n", text, flags=re.MULTILINE)
    for i in range(1, len(parts), 3):
        if slug(parts[i + 1]) == anchor:
            below = [parts[i + 2]]
            for j in range(i + 3, len(parts), 3):
                if len(parts[j]) <= len(parts[i]):
                    break
                below.append(parts[j + 2])
            return "".join(below)
    raise AssertionError(f"{page} has no heading for #{anchor}")


def has_an_example(name: str) -> bool:
    found = operator.attrgetter(name)(sk)
    return bool(doctest.DocTestParser().get_examples(inspect.getdoc(found) or ""))


def test_the_rows_are_read() -> None:
    assert len(HERE) + len(WHERE_IT_RUNS) > 100


@pytest.mark.parametrize("feature", [*HERE, *WHERE_IT_RUNS])
def test_a_yes_has_an_example_and_a_no_a_reason(feature: str) -> None:
    cell = HERE.get(feature) or WHERE_IT_RUNS[feature]
    texts = [section(link) for link in re.findall(r"\]\(([^)]+)\)", cell)]  # every link leads somewhere
    if cell.startswith("no"):
        assert re.match(r"no\b[^:]*: .{15}", cell), f"{feature}: a no needs a reason, got: {cell}"
    elif feature in WHERE_IT_RUNS:
        assert texts, f"{feature}: needs a link to a page, got: {cell}"
    else:
        named = re.findall(r"docstring of `([\w.]+)`", cell)
        assert any("```python" in text for text in texts) or any(map(has_an_example, named)), (
            f"{feature}: needs a link to an example or the name of a docstring with one, got: {cell}"
        )
