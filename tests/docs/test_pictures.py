"""The pictures of the pages are those that the scripts beside them draw."""

import runpy
from pathlib import Path
from typing import Any

import matplotlib
import pytest

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SCRIPTS = ("draw_gallery.py", "draw_why.py")


@pytest.fixture(autouse=True)
def without_a_screen() -> None:
    matplotlib.use("Agg")


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(PICTURES / name))


def test_every_picture_has_its_script() -> None:
    drawn = {picture for name in SCRIPTS for picture in script(name)["PICTURES"]}
    assert {file.stem for file in PICTURES.glob("*.png")} == drawn
    assert {file.name for file in PICTURES.glob("*.py")} == set(SCRIPTS)


def test_pictures_are_small() -> None:
    for file in PICTURES.glob("*.png"):
        assert file.stat().st_size < 80_000, file


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_pictures_are_drawn(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # and back
    drawing = script(name)
    drawing["main"](tmp_path)
    assert {file.stem for file in tmp_path.glob("*.png")} == set(drawing["PICTURES"])
