"""
Prints requirements from pyproject.toml, one a line, so that pip can install them without building the package.

``python build_backend/requirements.py build | tools | EXTRA ...``: ``build`` is what [build-system] asks for. ``tools``
is that without TensorFlow. An extra comes with what the package itself and its build need.
"""

import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # pip brings the same
    from pip._vendor import tomli as tomllib

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(settings: dict[str, Any], group: str) -> list[str]:
    """
    The requirements of a group, each once and in order.

    :raises KeyError: where pyproject.toml has no such extra.
    """
    build = settings["build-system"]["requires"]
    if group == "build":
        return build
    if group == "tools":
        return [requirement for requirement in build if not requirement.startswith("tensorflow")]
    project = settings["project"]
    found = [*build, *project["dependencies"]]
    for requirement in project["optional-dependencies"][group]:
        extras = re.fullmatch(re.escape(project["name"]) + r"\[(.*)\]", requirement)  # the package's own
        if extras:
            found += [line for extra in extras[1].split(",") for line in requirements(settings, extra.strip())]
        else:
            found.append(requirement)
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    with PYPROJECT.open("rb") as file:
        pyproject = tomllib.load(file)
    print(*dict.fromkeys(line for group in sys.argv[1:] for line in requirements(pyproject, group)), sep="\n")
