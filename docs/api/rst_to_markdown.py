"""
Makes Markdown of the docstrings, which are reStructuredText, for the site's API pages; an extension of griffe.

Only what our docstrings use is translated: roles, code blocks, formulas, doctests, and the bars that RST escapes.
"""

import re
from typing import Any

import griffe

# What formulas have in LaTeX, as it is read.
_SYMBOLS = {
    r"\,": " ",
    r"\bigl": "",
    r"\bigr": "",
    r"\le": "≤",
    r"\sum": "Σ",
    r"\cdot": "·",
    r"\max": "max",
    r"\approx": "≈",
}
_ROLE = re.compile(r":(?:func|class|meth|mod|attr|exc):`~?([\w.]+)`")
_BLOCK = re.compile(r"^( *)\.\. (code-block:: python|math::)(.*)\n((?:\n|\1 +.*\n?)*)", re.MULTILINE)
_LITERAL = re.compile(r"^( *)(\S.*):: *\n\n((?:\1 {4}.*\n?|\n)+)", re.MULTILINE)
_DOCTEST = re.compile(r"^( *)>>> (?:.*\n?)(?:\1\S.*\n?)*", re.MULTILINE)


def markdown(text: str) -> str:
    """The Markdown of a docstring."""
    text = _DOCTEST.sub(_fenced_doctest, text)
    text = _BLOCK.sub(_fenced_block, text)
    text = _LITERAL.sub(lambda found: f"{found[1]}{found[2]}:\n\n{_fence('python', found[1], found[3])}", text)
    return _ROLE.sub(r"`\1`", text).replace(r"\|", "|")


def _fence(language: str, indent: str, lines: str) -> str:
    body = [line.strip("\n") for line in lines.strip("\n").split("\n")]
    margin = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
    return "\n".join([f"{indent}```{language}", *(indent + line[margin:] for line in body), f"{indent}```", ""])


def _fenced_block(found: re.Match[str]) -> str:
    lines = found[3].strip() + "\n" + found[4]
    if found[2].startswith("code"):
        return _fence("python", found[1], lines)
    lines = re.sub(r"\\mathrm\{(.*?)\}", r"\1", lines)
    for name, symbol in _SYMBOLS.items():
        lines = lines.replace(name, symbol)
    return _fence("text", found[1], lines)


def _fenced_doctest(found: re.Match[str]) -> str:
    return _fence("pycon", found[1], re.sub(r"  # doctest: .*", "", found[0]))


class RstToMarkdown(griffe.Extension):
    """Translates each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
