"""Digests of arrays, which tell data from other data."""

import hashlib
from typing import Any

import numpy as np

from .._chunks import row_parts


def digest(*arrays: Any) -> str:
    """The SHA-256 digest of arrays, or of what is like one: of dtypes, shapes and values, read a part at a time."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype} {array.shape} ".encode())
        if hasattr(array, "digest"):  # one that is known without reading
            sha.update(array.digest().encode())
            continue
        for part in row_parts(array):
            sha.update(np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()
