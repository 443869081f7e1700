"""One thread for small matrices, which gain little from several and are slow with them where others use the cores."""

import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager:
    """A context in which BLAS has one thread."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> ThreadpoolController:
    """Finding the libraries takes ten milliseconds, and fits of calibrations come by the hundred."""
    return ThreadpoolController()
