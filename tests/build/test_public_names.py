"""No release breaks a program without having said so a release before."""

import subprocess
from pathlib import Path

import public_names as names
import pytest

from sigkernel_tf import _deprecations
from sigkernel_tf._deprecations import DEPRECATED, Deprecation, warn_deprecated
from sigkernel_tf._version import __version__

ROOT = Path(__file__).resolve().parents[2]


def test_the_list_is_that_of_the_package() -> None:
    assert names.FILE.read_text().splitlines() == names.public_names(), (
        "the public names have changed: announce what is to go in _deprecations.py, say it in CHANGELOG.md, and run "
        "python build_backend/public_names.py"
    )


def git(*arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return None if done.returncode else done.stdout


def test_the_last_release_is_not_broken() -> None:
    tag = git("describe", "--tags", "--abbrev=0", "--match=v*")
    released = None if tag is None else git("show", f"{tag.strip()}:build_backend/public_names.txt")
    if released is None:
        pytest.skip("there is no release yet that has a list of names")
    assert names.broken(released.splitlines(), names.public_names(), __version__) == []


def test_what_breaks_a_release() -> None:
    released = ["f", "f.x", "f.y  # not in 0.3.0", "g  # not in 0.4.0", "h"]
    assert names.broken(released, released, "0.3.0") == []
    assert names.broken(released, ["f", "f.x", "g  # not in 0.4.0", "h", "new"], "0.3.0") == []
    assert names.broken(released, ["f", "g"], "0.3.0") == ["f.x", "h"]
    assert names.broken(released, ["f", "f.x", "f.y", "h"], "0.3.0") == ["g"]  # promised until 0.4.0
    assert names.broken(released, ["f", "f.x", "h"], "0.10.0") == []


def test_nothing_is_kept_beyond_its_version() -> None:
    now = names.version_tuple(__version__)
    overdue = [name for name, (version, _) in DEPRECATED.items() if names.version_tuple(version) <= now]
    assert overdue == [], f"version {__version__} should no longer have {overdue}"


def test_the_warning_names_version_and_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_deprecations.DEPRECATED, "gp.fit", Deprecation("0.3.0", "call gp.train."))
    expected = r"sigkernel_tf\.gp\.fit is deprecated and will not be in version 0\.3\.0: call gp\.train\."
    with pytest.warns(FutureWarning, match=expected):
        warn_deprecated("gp.fit")
