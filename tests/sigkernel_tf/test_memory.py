"""How much memory a process may use, the machine's or a container's limit, and how much tables of words take."""

import os
import sys
from pathlib import Path

import pytest

import sigkernel_tf as sk
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
    """The answer is kept for the life of a process. A test with this fixture asks again and leaves no answer behind."""
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


def size(words: list[tuple[int, ...]]) -> int:
    """The bytes of a list of words, without its letters, which all words share."""
    return sum(sys.getsizeof(word) + 8 for word in words)


@pytest.mark.parametrize(("table", "arguments"), [
    (sk.words, (1, 1)), (sk.words, (1, 300)), (sk.words, (2, 1000)), (sk.words, (7, 58)),
    (sk.lyndon_words, (2, 12)), (sk.lyndon_words, (5, 3)), (sk.lyndon_words, (30, 1)),
])  # fmt: skip
def test_a_table_of_words_is_counted_by_its_letters(table, arguments, monkeypatch):
    needed = size(table(*arguments))
    monkeypatch.setattr(_memory, "memory", lambda: needed)
    table(*arguments)
    monkeypatch.setattr(_memory, "memory", lambda: needed - 1)
    with pytest.raises(ValueError, match=f"with {arguments[0]} channels makes .* bytes for each list; .* lower it"):
        table(*arguments)


def test_a_deep_table_over_one_channel_is_refused(monkeypatch):
    monkeypatch.setattr(_memory, "memory", lambda: 2**40)
    with pytest.raises(ValueError, match=r"makes 1.0486e\+6 words, 4.3981e\+12 bytes"):
        sk.words(1, 2**20)
    with pytest.raises(ValueError, match=r"at most 2147483647 words"):
        sk.words(2, 10**1000)
