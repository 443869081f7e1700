"""A training's checkpoint: TensorFlow variables and a JSON state, replaced together or not at all."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_STATE = "state.json"
_ROWS_AT_A_TIME = 4096


def digest(*arrays: Any) -> str:
    """SHA-256 of arrays, or of what is like one: their dtypes, shapes and values, read a part at a time."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype} {array.shape} ".encode())
        for start in range(0, array.shape[0], _ROWS_AT_A_TIME):
            sha.update(np.ascontiguousarray(array[start : start + _ROWS_AT_A_TIME]).tobytes())
    return sha.hexdigest()


class Checkpoints:
    """
    The latest checkpoint of one training in a folder of its own.

    The variables are written under a new name first; then ``state.json``, which names them, is replaced in one step;
    then older files are removed. A process killed anywhere in between leaves the old checkpoint or the new one.
    """

    def __init__(
        self, folder: str | Path, variables: dict[str, list[tf.Variable]], fingerprint: dict[str, Any]
    ) -> None:
        """
        :param folder: made when first saved to.
        :param variables: what is saved and restored, by name.
        :param fingerprint: JSON values that tell this training from others.
        """
        self.folder = Path(folder)
        self._checkpoint = tf.train.Checkpoint(**variables)
        self._fingerprint = json.loads(json.dumps(fingerprint, default=np.generic.item))  # as it will be read
        self._number = 0

    def restore(self) -> dict[str, Any] | None:
        """
        Set the variables to the saved ones.

        :return: the saved state; None where the folder has none.
        :raises ValueError: where the checkpoint is another training's, saying in what they differ.
        """
        path = self.folder / _STATE
        if not path.exists():
            return None
        saved = json.loads(path.read_text(encoding="utf-8"))
        differing = [
            f"{name} (there {saved['fingerprint'].get(name)}, here {value})"
            for name, value in self._fingerprint.items()
            if saved["fingerprint"].get(name) != value
        ]
        if differing:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} holds the checkpoint of another training; they differ in "
                f"{', '.join(differing)}: take another folder, or delete this one."
            )
        self._number = saved["number"]
        self._checkpoint.read(self._prefix(self._number)).assert_consumed()
        return saved["state"]

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by the variables as they are and ``state``, JSON values."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = self._number + 1
        self._checkpoint.write(self._prefix(number))
        content = {"number": number, "fingerprint": self._fingerprint, "state": state}
        temporary = self.folder / f"{_STATE}.tmp"
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(temporary, self.folder / _STATE)
        self._number = number
        kept = Path(self._prefix(number)).name + "."
        for file in self.folder.glob("variables-*"):
            if file.is_file() and not file.name.startswith(kept):
                file.unlink(missing_ok=True)

    def _prefix(self, number: int) -> str:
        return str(self.folder / f"variables-{number}")
