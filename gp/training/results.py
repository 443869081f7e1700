"""What is seen during training, and returned at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PHASES = (1, 2, 3)


@dataclass(frozen=True)
class MonitorPoint:
    """
    What was seen at one look during training.

    :param iteration: steps done so far, all phases counted.
    :param phase: 1, 2 or 3.
    :param elbo: mean of the minibatches' bounds since the look before, in nats (plus the log prior of parameters with
        one).
    :param validation_nlpp: NLPP of the validation split, in nats; None in phase 3, which trains on it.
    :param recorded: what the caller's ``record`` returned.
    """

    iteration: int
    phase: int
    elbo: float
    validation_nlpp: float | None
    recorded: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingResult:
    """
    What happened in training; the trained parameters are in the model.

    :param history: all looks, in order.
    :param best_iteration: where the validation NLPP was lowest: phase 3 has the hyperparameters of that point.
    :param seconds_per_iteration: mean wall time of a minibatch step; tracing and monitoring are left out. NaN where no
        step could be timed.
    """

    history: tuple[MonitorPoint, ...]
    best_iteration: int
    seconds_per_iteration: float


def phase_start(history: Sequence[MonitorPoint], phase: int) -> int:
    """The iteration at which a phase begins: where the one before has ended, of which the history has the end."""
    return max((point.iteration for point in history if point.phase < phase), default=0)


def is_over(history: Sequence[MonitorPoint], phase: int, iterations: int, patience: int | None) -> bool:
    """
    Whether a phase has ended: by its number of iterations, or early.

    :param iterations: of a phase that does not end early.
    :param patience: so many points in a row without a new lowest validation NLPP of the phase end it; None: never.
    """
    points = [point for point in history if point.phase == phase]
    if any(point.phase > phase for point in history):
        return True
    if not points:
        return False
    if points[-1].iteration >= phase_start(history, phase) + iterations:
        return True
    scores = [point.validation_nlpp for point in points if point.validation_nlpp is not None]
    return patience is not None and bool(scores) and len(scores) - 1 - scores.index(min(scores)) >= patience
