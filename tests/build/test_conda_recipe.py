"""conda-forge's recipe asks for what pyproject.toml asks for, at the same version."""

import re
from pathlib import Path
from typing import Any

import pytest
import release
import requirements

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = requirements.tomllib.loads(requirements.PYPROJECT.read_text())
PROJECT = SETTINGS["project"]


@pytest.fixture(scope="module", name="recipe")
def read_recipe() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "conda" / "recipe" / "recipe.yaml").read_text())


def bounds(lines: list[str]) -> dict[str, set[str]]:
    """The bounds of each requirement; those for other Pythons than conda's left out."""
    found: dict[str, set[str]] = {}
    for line in lines:
        name, limits = re.fullmatch(r"([\w-]+)\s*([^;]*?)\s*(?:;.*)?", line).groups()  # type: ignore[union-attr]
        found.setdefault(name.lower(), set()).update(filter(None, limits.split(",")))
    return found


def test_name_version_and_licence(recipe: dict[str, Any]) -> None:
    assert recipe["package"]["name"] == PROJECT["name"]
    assert recipe["context"]["version"] == release.version_of(ROOT)
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["about"]["summary"] == PROJECT["description"]


def test_it_runs_with_what_the_package_asks_for(recipe: dict[str, Any]) -> None:
    run = bounds(recipe["requirements"]["run"])
    assert run.pop("python") == {">=3.10", "<3.13"}  # those for which GPflow is asked for
    assert {line.partition(";")[2].strip() for line in PROJECT["dependencies"]} == {"", "python_version < '3.13'"}
    assert run == bounds(PROJECT["dependencies"])


def test_it_is_built_with_what_the_build_asks_for(recipe: dict[str, Any]) -> None:
    asked = recipe["requirements"]["build"] + recipe["requirements"]["host"]
    found = bounds([line for line in asked if not line.startswith("${{")])
    assert {name: limits for name, limits in found.items() if name not in ("python", "pip")} == bounds(
        SETTINGS["build-system"]["requires"]
    )
