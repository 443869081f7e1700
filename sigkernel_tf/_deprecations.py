"""
What will be removed, and the warning that says so: docs/install.md states the policy.

A test refuses a version in which something listed here should be gone, and ``build_backend/public_names.py`` a release
that lacks what the last one had, unless it was listed here then.
"""

import warnings
from typing import NamedTuple


class Deprecation(NamedTuple):
    """The version that no longer has it, and what to use in its place."""

    removed_in: str
    instead: str


# By the name within sigkernel_tf, with a dot before an argument: "mmd", "gp.train", "mmd.block_size".
DEPRECATED: dict[str, Deprecation] = {}


def warn_deprecated(name: str, *, stacklevel: int = 3) -> None:
    """
    Warns that ``name``, a key of ``DEPRECATED``, is used. By default the warning shows the caller's caller.

    It is a FutureWarning, which Python shows to users, too.
    """
    removed_in, instead = DEPRECATED[name]
    warnings.warn(
        f"sigkernel_tf.{name} is deprecated and will not be in version {removed_in}: {instead}",
        FutureWarning,
        stacklevel=stacklevel,
    )
