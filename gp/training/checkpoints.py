"""The checkpoint of a training: TensorFlow variables and a JSON state, always replaced together."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from ..data.checked_files import file_digest, read_json, write_json
from .fingerprint import differences
from .folder_lock import locked

_STATE = "state.json"
_Parsed = TypeVar("_Parsed")


class Checkpoints:
    """
    The latest checkpoint of one training, in a folder of its own.

    The variables are written under a new name first. Then ``state.json``, which names them, is replaced in one step.
    Older files are removed last. A process that is killed in between leaves the old checkpoint or the new one.

    ``state.json`` also holds the digests of the variables' files and of itself, so that damage is seen before anything
    is restored.
    """

    def __init__(
        self,
        folder: str | Path,
        variables: dict[str, list[tf.Variable]],
        fingerprint: dict[str, Any],
        values: Callable[[], str],
    ) -> None:
        """
        :param folder: it is made by :meth:`locked`.
        :param variables: what is saved and restored, by name.
        :param fingerprint: JSON values that tell this training from others.
        :param values: returns a digest of the model's present values. A training is resumed if these are the values
            that it began with, or the values that were saved, which an interrupted model still has.
        :raises ValueError: where the folder is a file.
        """
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"checkpoint_dir must be a folder, got the file {str(folder)!r}: take another name.")
        self._checkpoint = tf.train.Checkpoint(**variables)
        self._fingerprint = json.loads(json.dumps(fingerprint, default=np.generic.item))  # as it will be read
        self._values, self._start = values, values()
        self._number = 0

    def locked(self) -> AbstractContextManager[None]:
        """
        Keep other trainings out of the folder, which is made where it does not exist, from here to the block's end.

        :raises ValueError: where another training is using it.
        """
        return locked(self.folder)

    def restore(self, parse: Callable[[dict[str, Any]], _Parsed]) -> _Parsed | None:
        """
        Set the variables to the saved ones.

        :param parse: turns the saved state, JSON values, into what the caller needs.
        :return: what ``parse`` returns; None where there is no checkpoint.
        :raises ValueError: where the checkpoint is damaged, or another training's; the message says how they differ.
            No variable has changed then.
        """
        path = self.folder / _STATE
        if not path.exists():
            return None
        try:
            saved = read_json(path)
            there, files, number = dict(saved["fingerprint"]), dict(saved["files"]), int(saved["number"])
            start, values, state = saved["start"], saved["values"], parse(saved["state"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(_STATE, error) from error
        differing = differences(self._fingerprint, there)  # an option that is None may be younger than the checkpoint
        if self._start not in (start, values):
            differing.append("the values that the model's parameters start from")
        if differing:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} holds the checkpoint of another training; they differ in "
                f"{', '.join(differing)}: take another folder, delete this one, or build the model as it was."
            )
        self._check(files)
        self._checkpoint.read(self._prefix(number)).assert_consumed()
        self._number, self._start = number, start
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by the variables as they are and ``state``, JSON values."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._number += 1  # before it is used: a save that is interrupted does not write over the last one's files
        prefix = self._prefix(self._number)
        self._checkpoint.write(prefix)
        kept = sorted(self.folder.glob(f"{Path(prefix).name}.*"))
        content = {
            "number": self._number,
            "fingerprint": self._fingerprint,
            "start": self._start,
            "values": self._values(),
            "files": {file.name: file_digest(file) for file in kept},
            "state": state,
        }
        write_json(self.folder / _STATE, content)
        for file in (*self.folder.glob("variables-*"), *self.folder.glob(f"{_STATE}.*.tmp")):
            if file.is_file() and file not in kept:
                file.unlink(missing_ok=True)

    def _check(self, files: dict[str, str]) -> None:
        """:raises ValueError: where one of the variables' files is not what was written."""
        for name, digest in files.items():
            path = self.folder / name
            if not path.is_file():
                raise self._damaged(name, "The file is missing.")
            if file_digest(path) != digest:
                raise self._damaged(name, "Its content is not the one that its SHA-256 was taken of.")

    def _damaged(self, name: str, fault: object) -> ValueError:
        fault = f"It has no {fault}." if isinstance(fault, KeyError) else fault
        return ValueError(
            f"checkpoint_dir={str(self.folder)!r} holds a damaged {name}: delete the folder, or take another one. "
            f"{fault}"
        )

    def _prefix(self, number: int) -> str:
        return str(self.folder / f"variables-{number}")
