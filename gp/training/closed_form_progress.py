"""How far a fit in closed form has come, as its checkpoint keeps it, and the length of its next step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .closed_form_options import FitPass


@dataclass(frozen=True)
class Progress:
    """How far a fit has come, as JSON values."""

    round: int = 0
    moves_left: int = 0
    """How often hyperparameters are still to move."""
    by_softmax: bool = False
    """Whether ``Softmax`` takes the place of the likelihood, to begin with."""
    elbo_before: float | None = None
    """The bound before the hyperparameters' last move, with the log prior of those that have one."""
    attempts: int = 0
    """Steps that were tried in this round."""
    successes: int = 0
    """Steps in a row that raised the bound."""
    step: float = 1.0
    rough: bool = True
    """Whether products in float32 and clipped curvatures will do."""
    converged: bool = False
    passes: tuple[FitPass, ...] = ()

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Progress":
        return cls(**{**saved, "passes": tuple(FitPass(**each) for each in saved["passes"])})


def next_step(steps: Sequence[float]) -> float:
    """
    The length of the next step on some of the rows, after steps of these lengths: 2 / (n + 2).

    n is the number of steps that had the full length; one that was halved does not count, and at most twice its length
    is tried next. q(u) is thus a mean over the sites of all steps, in which each weighs as much as its number: the
    sites of the first steps, which were found far from the end, are soon forgotten.
    """
    n = 0
    for step in steps:
        n += step >= 2.0 / (n + 2.0)
    return min(2.0 / (n + 2.0), 2.0 * steps[-1] if steps else 1.0)
