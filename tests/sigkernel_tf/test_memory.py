"""How much memory this process may use: the machine's, or what a container leaves it."""

import os
from pathlib import Path

import pytest

from sigkernel_tf import _memory

V1_UNLIMITED = "9223372036854771712"


def limits(folder: Path, membership: str, files: dict[str, str]) -> list[int]:
    """The limits for a process whose groups ``membership`` names, where these files are mounted."""
    (folder / "cgroup").write_text(membership)
    for name, text in files.items():
        path = folder / "mounted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return sorted(_memory.cgroup_limits(folder / "cgroup", folder / "mounted"))


@pytest.mark.parametrize(("membership", "files", "expected"), [
    # Version 2: the process' own group, the groups above it, no limit.
    ("0::/a/b\n", {"a/b/memory.max": "2000", "a/memory.max": "max"}, [2000]),
    ("0::/a/b\n", {"a/b/memory.max": "3000", "a/memory.max": "1000", "memory.max": "4000"}, [1000, 3000, 4000]),
    ("0::/\n", {"memory.max": "5000", "other/memory.max": "10"}, [5000]),
    ("0::/a\n", {"a/memory.max": "max"}, []),
    # Version 1: one line for each controller, a number that stands for no limit.
    ("5:cpu,cpuacct:/c\n4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "700", "cpu/c/memory.max": "1"}, [700]),
    ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": V1_UNLIMITED}, [int(V1_UNLIMITED)]),
    # Inside a container the name may be the host's, and only the container's own group is mounted.
    ("4:memory:/docker/f00\n", {"memory/memory.limit_in_bytes": "800"}, [800]),
    # Both versions at once, as systemd mounts them.
    ("4:memory:/a\n0::/b\n", {"memory/a/memory.limit_in_bytes": "700", "unified/b/cgroup.procs": ""}, [700]),
    # No group of this process has files.
    ("0::/a\n", {}, []), ("", {"memory.max": "5000"}, []),
])  # fmt: skip
def test_limits_of_control_groups(membership, files, expected, tmp_path):
    assert limits(tmp_path, membership, files) == expected


def test_a_system_without_control_groups_has_no_limits(tmp_path):
    assert _memory.cgroup_limits(tmp_path / "no such file", tmp_path) == []


@pytest.fixture
def asked_anew():
    """The answer is kept for the life of a process: these tests ask again, and leave no answer of theirs behind."""
    _memory.memory.cache_clear()
    yield
    _memory.memory.cache_clear()


@pytest.mark.parametrize(("found", "smallest"), [
    ([], None), ([int(V1_UNLIMITED)], None), ([1234], 1234), ([10**30, 1234, 5678], 1234),
])  # fmt: skip
def test_memory_is_the_smaller_of_the_machines_and_the_limits(found, smallest, asked_anew, monkeypatch):
    monkeypatch.setattr(_memory, "cgroup_limits", lambda *_: found)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert _memory.memory() == (smallest or machine)
