"""Errors of code that TensorFlow traces."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_errors() -> Iterator[None]:
    """
    Lets an error that was raised while tracing through as it was raised.

    AutoGraph puts an account of all calls in front of the message, and raises that in its place.
    """
    try:
        yield
    except Exception as error:
        raised = error.__context__
        if raised is not None and hasattr(raised, "ag_error_metadata"):
            raise raised from None
        raise
