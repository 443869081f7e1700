"""Files that are replaced in one step and checked when they are read: JSON with its own digest, and NumPy's .npz."""

import hashlib
import json
import os
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_DIGEST = "sha256"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    The path of a new file, which takes the place of ``path`` in one step when the block ends.

    After an error the new file is deleted, and ``path`` is what it was. The new file has a name that no one else uses,
    so that two processes which write to ``path`` at once leave a whole file of one of them.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file by a JSON object and its digest, which :func:`read_json` compares."""
    text = json.dumps({**content, _DIGEST: _digest(content)}, indent=1)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """
    The JSON object in a file. A file without a digest, which a user may have written, is taken as it is.

    :raises OSError: where the file cannot be opened, as where there is none.
    :raises ValueError: where it holds something else, or another object than the one that was written.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it holds no JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: expected a JSON object, got a {type(content).__name__}.")
    digest = content.pop(_DIGEST, None)
    if digest is not None and digest != _digest(content):
        raise ValueError(f"{path} is damaged: its content is not the one that its SHA-256 was taken of.")
    return content


def _digest(content: dict[str, Any]) -> str:
    as_read = json.loads(json.dumps(content))  # where keys are text, and tuples are lists
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 digest of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            sha.update(part)
    return sha.hexdigest()


def write_arrays(path: Path, **arrays: Any) -> None:
    """Replace a file by a compressed .npz of these arrays."""
    with replacing(path) as temporary, temporary.open("wb") as file:  # closed before it takes its place
        np.savez_compressed(file, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """
    The arrays of an .npz file, once all their checksums are found right. Nothing is unpickled.

    :raises OSError: where the file cannot be opened, as where there is none.
    :raises ValueError: where it is no .npz file or is damaged; the message names the file and the fault.
    """
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
                if damaged is not None:
                    raise ValueError(f"the checksum of {damaged} differs")
                names = archive.namelist()
                if len(names) != _num_members(file, len(names)):
                    raise ValueError("its directory has lost some of its members")
                return {name.removesuffix(".npy"): _array(archive, name) for name in names}
        except Exception as error:  # of damaged files, zipfile, zlib and NumPy raise errors of many kinds
            fault = str(error) or type(error).__name__
            raise ValueError(f"{path} is no .npz file of arrays, or is damaged ({fault}).") from error


def _num_members(file: BinaryIO, otherwise: int) -> int:
    """The number of members by the last record of a zip archive, which zipfile does not compare with its directory."""
    file.seek(-22, os.SEEK_END)
    record = file.read()
    number = int.from_bytes(record[10:12], "little")
    # There is no such record at this place where the archive has a comment; 65535 stands for this number or more.
    return number if record.startswith(b"PK\5\6") and number < 65535 else otherwise


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
