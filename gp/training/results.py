"""What a training reports: its history of evaluations, and the result at its end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

PHASES = (1, 2, 3)


@dataclass(frozen=True)
class MonitorPoint:
    """
    One evaluation during training.

    >>> result = train(model, (rows, Y), TrainingOptions(iterations=2, batch_size=10, progress=False))
    >>> [point.phase for point in result.history]
    [1, 2, 3]

    :param iteration: the number of steps so far, in all phases.
    :param phase: 1, 2 or 3.
    :param elbo: the mean of the minibatches' bounds since the evaluation before, in nats. It includes the log prior of
        parameters that have a prior.
    :param validation_nlpp: the NLPP of the validation split, in nats; None in phase 3, which trains on these series.
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

    >>> result = train(model, (rows, Y), TrainingOptions(iterations=2, batch_size=10, progress=False))
    >>> result.history[-1].iteration
    6

    :param history: all evaluations, in order.
    :param best_iteration: the iteration with the lowest validation NLPP, whose hyperparameters phase 3 uses.
    :param seconds_per_iteration: the mean wall time of a minibatch step, without tracing and evaluations. NaN where no
        step could be timed.
    """

    history: tuple[MonitorPoint, ...]
    best_iteration: int
    seconds_per_iteration: float


def phase_start(history: Sequence[MonitorPoint], phase: int) -> int:
    """The iteration at which a phase begins: the last one that the history has of the phases before it."""
    return max((point.iteration for point in history if point.phase < phase), default=0)


def is_over(history: Sequence[MonitorPoint], phase: int, iterations: int, patience: int | None) -> bool:
    """
    Whether a phase has ended: by its number of iterations, or early.

    :param iterations: the length of a phase that does not end early.
    :param patience: the number of evaluations in a row without a new lowest validation NLPP of the phase that end it.
        None: only ``iterations`` ends it.
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


def recorded_numbers(record: Callable[[], Mapping[str, float]] | None) -> dict[str, float]:
    """What the caller's ``record`` returns now, checked."""
    if record is None:
        return {}
    found = record()
    try:
        return {str(name): float(value) for name, value in found.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise TypeError(
            f"record must return numbers by name, got {found!r}: for instance {{'accuracy': 0.9}}."
        ) from error
