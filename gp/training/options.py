"""The options of a training, checked."""

import math
import numbers
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from sigkernel_tf._arguments import as_bool, as_int

from .optimizers import OPTIMIZERS, LearningRate

# These options change no number of the result, and so may differ when a training is resumed.
_WITHOUT_EFFECT = ("checkpoint_dir", "progress", "tensorboard_dir")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """
    The options of :func:`~sigkernel_tf.gp.train`.

    All of them but ``checkpoint_dir``, ``tensorboard_dir`` and ``progress`` can change the result.

    >>> TrainingOptions(iterations=100, learning_rate=0.01, batch_size=10, progress=False).iterations
    100

    :param iterations: the number of minibatch steps in each of the three phases. The whole training has three times as
        many, or fewer where ``patience`` ends a phase early.
    :param batch_size: the number of series in a minibatch; at most the number of series outside the validation split.
    :param optimizer: "nadam", as in the paper, or "adam"; both are Keras'.
    :param learning_rate: of the optimizer: a number, or a schedule from ``keras.optimizers.schedules``. The variational
        parameters follow the schedule from the first step, the hyperparameters from the beginning of phase 2.
    :param natural_gradient: the length, in (0, 1], of the natural gradient steps by which q_mu and q_sqrt are trained.
        None: the optimizer trains them.
    :param validation_fraction: the part of the training data that is held out in phases 1 and 2, strictly between 0
        and 1.
    :param validation_size: the most series that are held out, so that of many millions the evaluations do not take
        longer than the steps. None: all that ``validation_fraction`` says.
    :param monitor_every: the number of steps between two evaluations on the validation split. Each phase also ends
        with one. A checkpoint is saved at each.
    :param patience: the number of evaluations in a row without a new lowest NLPP of the phase after which phase 1 or 2
        ends early. None: no phase ends early.
    :param seed: decides the validation split and the minibatches.
    :param checkpoint_dir: the folder for the checkpoint. A checkpoint of the same training that is already there is
        resumed. Each training needs a folder of its own. None: nothing is saved.
    :param tensorboard_dir: a folder for TensorBoard, which shows the bound, the NLPP, the values of ``record`` and the
        hyperparameters at each evaluation. None: nothing is written.
    :param progress: whether to show a progress bar, on standard error.
    :raises TypeError: for a value of another type, naming the option.
    :raises ValueError: for a value outside its range, naming the option.
    """

    iterations: int = 5000
    batch_size: int = 50
    optimizer: str = "nadam"
    learning_rate: LearningRate = 1e-3
    natural_gradient: float | None = None
    validation_fraction: float = 0.2
    validation_size: int | None = None
    monitor_every: int = 250
    patience: int | None = None
    seed: int = 0
    checkpoint_dir: str | Path | None = None
    tensorboard_dir: str | Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name, smallest in (
            ("iterations", 1),
            ("batch_size", 1),
            ("monitor_every", 1),
            ("patience", 1),
            ("validation_size", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value is not None or name not in ("patience", "validation_size"):
                object.__setattr__(self, name, as_int(value, name, smallest))
        object.__setattr__(self, "progress", as_bool(self.progress, "progress"))
        for name in ("checkpoint_dir", "tensorboard_dir"):
            check_is_folder(name, getattr(self, name))
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}.")
        self._check_numbers()
        for name in ("learning_rate", "natural_gradient", "validation_fraction"):
            if isinstance(
                getattr(self, name), np.generic
            ):  # JSON, in which a checkpoint keeps them, has no NumPy numbers
                object.__setattr__(self, name, float(getattr(self, name)))

    def _check_numbers(self) -> None:
        if not isinstance(self.learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            check_is_number("learning_rate", self.learning_rate, " or a Keras LearningRateSchedule")
            if not 0.0 < self.learning_rate < math.inf:
                raise ValueError(
                    f"learning_rate must be positive and finite, got {self.learning_rate}: for instance 1e-3."
                )
        check_is_number("validation_fraction", self.validation_fraction)
        if not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(
                f"validation_fraction must lie strictly between 0 and 1, got {self.validation_fraction}: "
                "for instance 0.2 holds out a fifth of the training data."
            )
        if self.natural_gradient is not None:
            check_is_number("natural_gradient", self.natural_gradient, " or None")
            if not 0.0 < self.natural_gradient <= 1.0:
                raise ValueError(f"natural_gradient must lie in (0, 1], got {self.natural_gradient}: for instance 0.1.")

    def as_fingerprint(self) -> dict[str, Any]:
        """The options that decide a result, as JSON values, by which a checkpoint is told from others."""
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in _WITHOUT_EFFECT}
        if isinstance(self.learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            schedule = type(self.learning_rate).__name__
            try:
                config = self.learning_rate.get_config()
                config = {
                    key: value.item() if isinstance(value, np.generic) else value for key, value in config.items()
                }
                values["learning_rate"] = {"schedule": schedule, **config}
            except NotImplementedError as error:
                raise ValueError(
                    f"learning_rate, the schedule {schedule}, must have get_config(), which tells it from others in a "
                    "checkpoint: give it one, or leave checkpoint_dir out."
                ) from error
        return values


def check_is_folder(name: str, value: Any) -> None:
    """:raises TypeError: for an option that is neither a path nor None."""
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path or None, got {value!r}: for instance {name}='run'.")


def check_is_number(name: str, value: Any, otherwise: str = "") -> None:
    """:raises TypeError: for an option that is no real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number{otherwise}, got {value!r}.")
