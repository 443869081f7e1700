"""The checkpoint of a training: TensorFlow variables and a JSON state, always replaced together."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_STATE = "state.json"


class Checkpoints:
    """
    The latest checkpoint of one training, in a folder of its own.

    The variables are written under a new name first. Then ``state.json``, which names them, is replaced in one step.
    Older files are removed last. A process that is killed in between leaves the old checkpoint or the new one.
    """

    def __init__(
        self,
        folder: str | Path,
        variables: dict[str, list[tf.Variable]],
        fingerprint: dict[str, Any],
        values: Callable[[], str],
    ) -> None:
        """
        :param folder: it is made when the first checkpoint is saved.
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

    def restore(self) -> dict[str, Any] | None:
        """
        Set the variables to the saved ones.

        :return: the saved state; None where there is no checkpoint.
        :raises ValueError: where the checkpoint is damaged, or another training's; the message says how they differ.
        """
        path = self.folder / _STATE
        if not path.exists():
            return None
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            there, number, state = saved["fingerprint"], saved["number"], saved["state"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} holds a damaged {_STATE}: delete the folder, or take another one."
            ) from error
        here = self._fingerprint
        differing = [
            f"{name} (there {there.get(name)}, here {here.get(name)})"
            for name in {**here, **there}  # in their order
            if name not in here or name not in there or here[name] != there[name]
        ]
        if self._start not in (saved.get("start"), saved.get("values")):
            differing.append("the values that the model's parameters start from")
        if differing:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} holds the checkpoint of another training; they differ in "
                f"{', '.join(differing)}: take another folder, delete this one, or build the model as it was."
            )
        self._number, self._start = number, saved["start"]
        self._checkpoint.read(self._prefix(self._number)).assert_consumed()
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by the variables as they are and ``state``, JSON values."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = self._number + 1
        self._checkpoint.write(self._prefix(number))
        content = {
            "number": number,
            "fingerprint": self._fingerprint,
            "start": self._start,
            "values": self._values(),
            "state": state,
        }
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
