"""The requirements that are read from pyproject.toml, one version everywhere, and what a release demands."""

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest
import release
from requirements import requirements

import sigkernel_tf

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "build-system": {"requires": ["cmake", "tensorflow>=2"]},
    "project": {
        "name": "sigkernel-tf",
        "dependencies": ["tensorflow>=2", "numpy<2"],
        "optional-dependencies": {
            "experiments": ["pandas"],
            "test": ["pytest", "sigkernel-tf[experiments]", "numpy<2"],
        },
    },
}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("build", ["cmake", "tensorflow>=2"]),
        ("tools", ["cmake"]),
        ("experiments", ["cmake", "tensorflow>=2", "numpy<2", "pandas"]),
        ("test", ["cmake", "tensorflow>=2", "numpy<2", "pytest", "pandas"]),
    ],
)
def test_requirements_of_a_group(group: str, expected: list[str]) -> None:
    assert requirements(SETTINGS, group) == expected


def test_an_unknown_extra_is_refused() -> None:
    with pytest.raises(KeyError, match="tests"):
        requirements(SETTINGS, "tests")


def test_one_version_everywhere() -> None:
    version = release.version_of(ROOT)
    assert sigkernel_tf.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(rf"^## \[(Unreleased|{re.escape(version)})\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.search(r'^dynamic = \["version"\]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_the_installed_package_has_that_version() -> None:
    try:
        installed = importlib.metadata.version("sigkernel-tf")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from a source tree that is not installed")
    assert installed == sigkernel_tf.__version__


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository that is ready to release 1.2.0."""
    (tmp_path / "sigkernel_tf").mkdir()
    (tmp_path / "sigkernel_tf" / "_version.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.0] - 2025-01-31\n\n### Added\n- All.\n")
    (tmp_path / "CITATION.cff").write_text("title: sigkernel-tf\nversion: 1.2.0\nauthors:\n")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "--initial-branch=main"], ["add", "."], [*identity, "commit", "--message=all"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_a_tree_that_is_ready(tree: Path) -> None:
    assert release.version_of(tree) == "1.2.0"
    assert release.faults_of(tree, "1.2.0") == []


def test_what_keeps_a_tree_from_release(tree: Path) -> None:
    subprocess.run(["git", "tag", "v1.2.0"], cwd=tree, check=True)
    subprocess.run(["git", "switch", "--create", "other"], cwd=tree, check=True, capture_output=True)
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    (tree / "CITATION.cff").write_text("version: 1.1.0\n")
    faults = release.faults_of(tree, "1.2.0")
    assert len(faults) == 5
    for fault, word in zip(
        faults, ("commit", "branch main", "tag v1.2.0", "CHANGELOG.md", "CITATION.cff"), strict=True
    ):
        assert word in fault
