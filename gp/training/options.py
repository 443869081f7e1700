"""How to train."""

import math
import numbers
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .._checks import as_positive_int
from .optimizers import OPTIMIZERS, LearningRate

# What decides no number of the result, and so may differ when a training is resumed.
_WITHOUT_EFFECT = ("checkpoint_dir", "progress", "tensorboard_dir")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """
    How to train. Everything but ``checkpoint_dir``, ``tensorboard_dir`` and ``progress`` can change the result.

    :param iterations: minibatch steps in each of the three phases: there are three times as many in all, or fewer with
        patience.
    :param batch_size: series in a minibatch; at most as many as are trained on beside the validation split.
    :param optimizer: nadam (the paper's) or adam, Keras' both.
    :param learning_rate: the optimizer's: a number, or a schedule from ``keras.optimizers.schedules``, which the
        variational parameters follow from the first step and the hyperparameters from the beginning of phase 2.
    :param natural_gradient: where given, q_mu and q_sqrt take natural gradient steps of this length, in (0, 1], not the
        optimizer's.
    :param validation_fraction: part of the training data held out in phases 1 and 2, strictly between 0 and 1.
    :param monitor_every: steps between two looks at the validation split; each phase also ends with one. Checkpoints
        are saved then.
    :param patience: ends phases 1 and 2 early, each after so many looks in a row without a new lowest NLPP of the
        phase.
    :param seed: decides the validation split and the minibatches.
    :param checkpoint_dir: folder for the checkpoint; where it holds one of the same training, that is resumed. None:
        nothing is saved.
    :param tensorboard_dir: folder for TensorBoard: bound, NLPP, what is recorded, and the hyperparameters, at every
        look.
    :param progress: whether to show a progress bar, on standard error.
    :raises TypeError: and
    :raises ValueError: for a value outside its range, naming it.
    """

    iterations: int = 5000
    batch_size: int = 50
    optimizer: str = "nadam"
    learning_rate: LearningRate = 1e-3
    natural_gradient: float | None = None
    validation_fraction: float = 0.2
    monitor_every: int = 250
    patience: int | None = None
    seed: int = 0
    checkpoint_dir: str | Path | None = None
    tensorboard_dir: str | Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("iterations", "batch_size", "monitor_every"):
            as_positive_int(getattr(self, name), name)
        if self.patience is not None:
            as_positive_int(self.patience, "patience")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)):
            raise TypeError(f"seed must be an int, got {self.seed!r}: for instance seed=0.")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}.")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if not isinstance(self.learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            _check_is_number("learning_rate", self.learning_rate, " or a Keras LearningRateSchedule")
            if not 0.0 < self.learning_rate < math.inf:
                raise ValueError(
                    f"learning_rate must be positive and finite, got {self.learning_rate}: for instance 1e-3."
                )
        _check_is_number("validation_fraction", self.validation_fraction)
        if not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(
                f"validation_fraction must lie strictly between 0 and 1, got {self.validation_fraction}: "
                "for instance 0.2 holds out a fifth of the training data."
            )
        if self.natural_gradient is not None:
            _check_is_number("natural_gradient", self.natural_gradient, " or None")
            if not 0.0 < self.natural_gradient <= 1.0:
                raise ValueError(
                    f"natural_gradient must lie in (0, 1], got {self.natural_gradient}: for minibatches 0.1, say."
                )

    def as_fingerprint(self) -> dict[str, Any]:
        """JSON values of all that decides a result."""
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in _WITHOUT_EFFECT}
        if isinstance(self.learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            schedule = type(self.learning_rate).__name__
            try:
                values["learning_rate"] = {"schedule": schedule, **self.learning_rate.get_config()}
            except NotImplementedError as error:
                raise ValueError(
                    f"learning_rate, the schedule {schedule}, must have get_config(), which tells it from others in a "
                    "checkpoint: give it one, or leave checkpoint_dir out."
                ) from error
        return values


def _check_is_number(name: str, value: Any, otherwise: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number{otherwise}, got {value!r}.")
