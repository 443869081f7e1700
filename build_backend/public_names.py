"""
The public names with their arguments, and what a change of them would break.

``python build_backend/public_names.py`` writes them to public_names.txt beside this file, one a line. What is going to
be removed carries the version that will no longer have it. A test compares the file with the package, and with the same
file in the last release.

The public names are those that the API reference has; a test holds that to be all of them.
"""

import importlib
import inspect
import operator
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().with_suffix(".txt")
_REMOVED_IN = "  # not in "


def public_names() -> list[str]:
    """A line for each public name, argument and method, as "gp.train", "gp.train.options" and "Path.update()"."""
    sk = importlib.import_module("sigkernel_tf")
    deprecated = importlib.import_module("sigkernel_tf._deprecations").DEPRECATED
    lines = sorted({line for name in _in_the_reference() for line in _of_name(name, operator.attrgetter(name)(sk))})
    return [f"{line}{_REMOVED_IN}{deprecated[line].removed_in}" if line in deprecated else line for line in lines]


def _in_the_reference() -> list[str]:
    pages = sorted((FILE.parents[1] / "docs" / "api").glob("*.md"))
    return [
        name for page in pages for name in re.findall(r'^      heading: "([\w.]+)"', page.read_text(), re.MULTILINE)
    ]


def _of_name(name: str, found: Any) -> Iterator[str]:
    yield name
    if inspect.isclass(found) or inspect.isroutine(found):
        for parameter in inspect.signature(found).parameters.values():
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                yield f"{name}.{parameter.name}"
    if inspect.isclass(found):
        yield from (f"{name}.{n}()" for n, v in vars(found).items() if n[0] != "_" and inspect.isroutine(v))


def version_tuple(version: str) -> tuple[int, ...]:
    """1.2.0 as (1, 2, 0)."""
    return tuple(int(part) for part in version.split("."))


def broken(released: Iterable[str], now: Iterable[str], version: str) -> list[str]:
    """
    What a release had, and ``version`` has not, without having been announced for it in that release.

    :param released: the lines of the release.
    :param now: the lines of this tree.
    """
    kept = {line.partition(_REMOVED_IN)[0] for line in now}
    faults = []
    for line in released:
        name, _, removed_in = line.partition(_REMOVED_IN)
        announced = removed_in and version_tuple(removed_in) <= version_tuple(version)
        if name not in kept and not announced:
            faults.append(name)
    return faults


if __name__ == "__main__":
    sys.path.insert(0, str(FILE.parents[1]))
    FILE.write_text("\n".join(public_names()) + "\n")
