"""What the site makes of docstrings. Skipped where griffe is missing, which comes with the extra [docs]."""

import inspect
import runpy
from pathlib import Path
from typing import Any

import pytest

import sigkernel_tf as sk
import sigkernel_tf.gp

pytest.importorskip("griffe")
markdown = runpy.run_path(str(Path(__file__).resolve().parents[2] / "docs" / "api" / "rst_to_markdown.py"))["markdown"]


def test_what_is_translated() -> None:
    text = "As :func:`~sk.mmd` has\n\\|x\\|:\n\n>>> f()  # doctest: +SKIP\n1\n\n.. math:: a \\cdot b\n\n    c\n\n:param x: as::\n\n    y\n"
    expected = "As `sk.mmd` has\n|x|:\n\n```pycon\n>>> f()\n1\n```\n\n```text\na · b\n\n    c\n```\n\n:param x: as:\n\n```python\ny\n```\n"
    assert [line for line in markdown(text).split("\n") if line] == [line for line in expected.split("\n") if line]


@pytest.mark.parametrize("named", [getattr(module, n) for module in (sk, sigkernel_tf.gp) for n in module.__all__])
def test_nothing_of_rst_is_left(named: Any) -> None:
    text = markdown(inspect.getdoc(named) or "")
    for mark in (":func:", ":class:", ":meth:", ":mod:", "\n.. ", "\\|"):
        assert mark not in text
    assert text.count("```") % 2 == 0
