"""A lock on a folder, which keeps two trainings from writing to the same one."""

import errno
import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILE = "lock"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_held: set[int] = set()  # the open lock files' descriptors


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """
    Hold a folder's lock, which neither another process nor another thread can then get.

    The system releases the lock when the process ends, in whatever way. The empty file that it is held on stays in the
    folder. A folder that cannot be written to needs no lock; where the file system has no locks, a warning says so.

    :param folder: it is made where it does not exist.
    :raises ValueError: where the lock is held already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(folder)
    try:
        yield
    finally:
        if descriptor in _held:  # a forked child has closed its copy already
            _held.discard(descriptor)
            os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """The descriptor of the open file that the lock is held on; None where there can be no lock."""
    try:
        descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise ValueError(
                f"checkpoint_dir={str(folder)!r} is in use by another training, in this process or in another one: "
                "wait until it has ended, or take another folder."
            ) from error
        warnings.warn(
            f"checkpoint_dir={str(folder)!r} is on a file system without locks ({error}): take care that no two "
            "trainings use it at once.",
            RuntimeWarning,
            stacklevel=5,
        )
        return None
    _held.add(descriptor)
    return descriptor


def _close_inherited() -> None:
    """Close a forked child's copies of the lock files, for which the lock would outlive the process that holds it."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_inherited)
