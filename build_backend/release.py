"""
The two ends of ``make release``: what must hold before the tests are worth running, and the tag when all has passed.

``python build_backend/release.py check | tag``. Nothing is pushed or uploaded.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"


def main(arguments: list[str]) -> int:
    """Runs a command; returns the exit status."""
    if arguments not in (["check"], ["tag"]):
        print(__doc__, file=sys.stderr)
        return 2
    version = version_of(ROOT)
    faults = faults_of(ROOT, version)
    for fault in faults:
        print(f"not ready to release {version}: {fault}", file=sys.stderr)
    if faults:
        return 1
    if arguments == ["check"]:
        print(f"sigkernel-tf {version}: clean tree on {BRANCH}, a new version, and the changelog has its section")
        return 0
    git(ROOT, "tag", "--annotate", f"v{version}", "--message", f"sigkernel-tf {version}")
    print(
        f"Tagged v{version} on this machine. What is left to do, once you have looked at dist/:\n"
        f"  git push origin {BRANCH} v{version}\n"
        f"  python -m twine upload dist/cpu/*.whl dist/*.tar.gz\n"
        f"  hand out dist/*.whl, with CUDA, beside the release\n"
        f"  then start an [Unreleased] section in CHANGELOG.md"
    )
    return 0


def version_of(root: Path) -> str:
    """The version that sigkernel_tf/_version.py holds."""
    found = re.search(r'^__version__ = "(.*)"$', (root / "sigkernel_tf" / "_version.py").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError('sigkernel_tf/_version.py must hold a line __version__ = "..."')
    return found[1]


def faults_of(root: Path, version: str) -> list[str]:
    """What keeps this tree from being released as ``version``, each with its cure; empty: nothing does."""
    faults = []
    if git(root, "status", "--porcelain"):
        faults.append("the tree has changes that are not committed: commit or stash them")
    if git(root, "branch", "--show-current") != BRANCH:
        faults.append(f"this is not the branch {BRANCH}: git switch {BRANCH}")
    if git(root, "tag", "--list", f"v{version}"):
        faults.append(f"the tag v{version} is there already: raise the version in sigkernel_tf/_version.py")
    if not re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", (root / "CHANGELOG.md").read_text(), re.MULTILINE
    ):
        faults.append(f"CHANGELOG.md has no line `## [{version}] - YYYY-MM-DD`: make it of the [Unreleased] section")
    if f"\nversion: {version}\n" not in (root / "CITATION.cff").read_text():
        faults.append(f"CITATION.cff names another version: write `version: {version}` there")
    return faults


def git(root: Path, *arguments: str) -> str:
    """What git prints."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
