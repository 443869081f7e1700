"""Whether what is asked for fits in memory, which is checked before anything is allocated; it needs no TensorFlow."""

import functools
import math
import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

_MOST_WORDS = 2**31 - 1


@functools.cache  # the operations ask at each call
def memory() -> int:
    """The memory in bytes that this process may use: the machine's, or a container's limit where that is smaller."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *cgroup_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def cgroup_limits(membership: Path, root: Path) -> list[int]:
    """
    The memory limits in bytes that Linux control groups set for this process, as containers and batch systems do.

    A group's limit holds for all groups below it, so those of the process' own group and of all groups above it are
    returned. Inside a container the group may be named as the host sees it while only the part below the container's
    own group is mounted: names that are not found are passed over.

    :param membership: the file that names the groups of this process, a line ``number:controllers:group`` each.
    :param root: the folder where the groups are mounted.
    """
    limits = []
    for line in _text(membership).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            folder, file = root, "memory.max"  # version 2
        elif "memory" in controllers.split(","):
            folder, file = root / "memory", "memory.limit_in_bytes"  # version 1
        else:
            continue
        own = PurePosixPath(group.strip("/"))
        texts = [_text(folder / above / file).strip() for above in (own, *own.parents)]
        limits += [int(text) for text in texts if text.isdecimal()]  # version 2 writes "max" for no limit
    return limits


def _text(path: Path) -> str:
    """What a file holds; nothing where there is no such file or it may not be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def known_product(sizes: Iterable[Any]) -> int:
    """The product of the sizes that are known: None, or a symbol while a function is traced, counts as 1."""
    return math.prod(int(size) if isinstance(size, (int, np.integer)) else 1 for size in sizes)


def check_fits(count: Decimal, cause: str, bytes_each: int | Decimal, rows: int = 1, holder: str = "signature") -> None:
    """
    Refuses words that do not fit in memory.

    :param count: the number of words.
    :param cause: the arguments that ask for so many words, for the error.
    :param bytes_each: the memory that one word takes, on average.
    :param rows: how many times the words are held at once: for each path, or with ``stream`` for each time step.
    :param holder: what has so many words, for the error.
    :raises ValueError: where the words of one row, or those of all rows, do not fit in memory.
    """
    available = memory()
    if count > _MOST_WORDS or count * bytes_each > available:
        raise ValueError(
            f"{cause} makes {count:.5g} words, {count * bytes_each:.5g} bytes for each {holder}; there may be at most "
            f"{_MOST_WORDS} words, and this process may use {available} bytes of memory: lower it."
        )
    if count * bytes_each * rows > available:
        raise ValueError(
            f"{cause} makes {count:.5g} words, {count * bytes_each * rows:.5g} bytes for all {rows} {holder}s; this "
            f"process may use {available} bytes of memory: lower it, or take fewer paths at a time."
        )
