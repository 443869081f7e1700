"""Every public name is in the API reference, and has an example, which runs."""

import doctest
import importlib
import inspect
import re
import types
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import sigkernel_tf as sk
import sigkernel_tf.gp

API = Path(__file__).resolve().parents[2] / "docs" / "api"
ENTRY = re.compile(r"^::: ([\w.]+)\n    options:\n      heading: \"([\w.]+)\"", re.MULTILINE)


def named(heading: str) -> Any:
    """What a heading of the reference names: sigkernel_tf.HEADING."""
    found = sk
    for part in heading.split("."):
        found = getattr(found, part)
    return found


PATHS = sk.paths.__name__
ENTRIES = [entry for page in sorted(API.glob("*.md")) for entry in ENTRY.findall(page.read_text())]
HEADINGS = [heading for _, heading in ENTRIES]
PUBLIC = [
    *(name for name in sk.__all__ if not isinstance(getattr(sk, name), types.ModuleType)),
    *(f"gp.{name}" for name in sigkernel_tf.gp.__all__),
    *(
        f"paths.{n}"
        for n, v in vars(sk.paths).items()
        if n[0] != "_" and getattr(v, "__module__", "") == sk.paths.__name__
    ),
    *(f"static_kernels.{name}" for name in ("linear", "rbf", "matern12", "matern32", "matern52", "rational_quadratic")),
    "static_kernels.increments",
]
WITH_DOCSTRINGS = [name for name in HEADINGS if inspect.isclass(named(name)) or inspect.isroutine(named(name))]


def test_every_public_name_has_one_entry() -> None:
    assert sorted(HEADINGS) == sorted(PUBLIC)
    assert set(HEADINGS) - set(WITH_DOCSTRINGS) == {"Solver"}  # which is two classes


@pytest.mark.parametrize(("place", "heading"), ENTRIES)
def test_an_entry_shows_what_its_heading_says(place: str, heading: str) -> None:
    module, _, name = place.rpartition(".")
    assert getattr(importlib.import_module(module), name) is named(heading)


@pytest.mark.parametrize("name", WITH_DOCSTRINGS)
def test_every_public_name_has_an_example(name: str) -> None:
    assert doctest.DocTestParser().get_examples(inspect.getdoc(named(name)) or ""), f"{name} has no example (>>>)."


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the examples may use, as the reference's first page says."""
    matplotlib.use("Agg")
    found: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", (API / "index.md").read_text(), flags=re.DOTALL)), found)
    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow, pytest.mark.ci] if name.startswith("gp.") else [])
        for name in WITH_DOCSTRINGS
    ],
)
def test_the_examples_run(name: str, names: dict[str, Any]) -> None:
    text = inspect.getdoc(named(name)) or ""
    example = doctest.DocTestParser().get_doctest(text, dict(names), name, None, 0)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=report.append)
    matplotlib.pyplot.close("all")
    assert result.failed == 0, "".join(report)
