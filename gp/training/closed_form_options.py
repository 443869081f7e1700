"""The options of a fit in closed form, checked, and what it reports."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sigkernel_tf._arguments import as_bool, as_int

from .options import check_is_folder, check_is_number

_WITHOUT_EFFECT = ("checkpoint_dir", "progress")  # on any number of the result


@dataclass(frozen=True, kw_only=True)
class ClosedFormOptions:
    """
    The options of :func:`~sigkernel_tf.gp.fit_closed_form`.

    >>> ClosedFormOptions(max_passes=20, hyperparameter_rounds=0, progress=False).max_passes
    20

    :param max_passes: the largest number of passes over the rows after the last move of the hyperparameters.
    :param tolerance: a fit has converged when a step of at least half length raises the bound by less than this, in
        nats a row.
    :param batch_size: the number of rows in a block. It changes only the memory needed. None: as many as have 4 million
        features together.
    :param shared_covariance: whether all latent processes have one covariance of q(u). It takes 1 / C of the time and
        memory of C covariances, and gives a lower bound.
    :param hyperparameter_rounds: how often the trainable hyperparameters move, each time before more passes. Variances
        of levels move in every pass, where they can. 0: nothing moves.
    :param hyperparameter_evaluations: the largest number of evaluations of the bound by L-BFGS in each round.
    :param hyperparameter_rows: the number of rows, drawn at random, on which the hyperparameters move. None: all.
    :param hyperparameter_inducing: the number of inducing points or sequences, drawn at random, with which the
        hyperparameters move. None: all. Other inducing variables always count in full.
    :param rows_per_step: the number of rows that a pass reads, all rows in turn in a random order. Passes are then
        ``max_passes`` steps whose length decays, for data of which many passes would take too long. None: all rows.
    :param seed: decides which rows are drawn.
    :param checkpoint_dir: a folder in which the fit is saved after each pass, and from which it goes on. Each fit needs
        a folder of its own. None: nothing is saved.
    :param progress: whether to show a progress bar, on standard error.
    :raises TypeError: for a value of another type, naming the option.
    :raises ValueError: for a value outside its range, naming the option.
    """

    max_passes: int = 50
    tolerance: float = 1e-5
    batch_size: int | None = None
    shared_covariance: bool = False
    hyperparameter_rounds: int = 2
    hyperparameter_evaluations: int = 15
    hyperparameter_rows: int | None = 1000
    hyperparameter_inducing: int | None = None
    rows_per_step: int | None = None
    seed: int = 0
    checkpoint_dir: str | Path | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name, smallest, may_be_none in (
            ("max_passes", 1, False),
            ("batch_size", 1, True),
            ("hyperparameter_rounds", 0, False),
            ("hyperparameter_evaluations", 1, False),
            ("hyperparameter_rows", 1, True),
            ("hyperparameter_inducing", 1, True),
            ("rows_per_step", 1, True),
            ("seed", 0, False),
        ):
            value = getattr(self, name)
            if value is not None or not may_be_none:
                object.__setattr__(self, name, as_int(value, name, smallest))
        for name in ("shared_covariance", "progress"):
            object.__setattr__(self, name, as_bool(getattr(self, name), name))
        check_is_number("tolerance", self.tolerance)
        if not 0.0 < self.tolerance < math.inf:
            raise ValueError(f"tolerance must be positive and finite, got {self.tolerance}: for instance 1e-5.")
        object.__setattr__(self, "tolerance", float(self.tolerance))
        check_is_folder("checkpoint_dir", self.checkpoint_dir)

    def as_fingerprint(self) -> dict[str, Any]:
        """The options that decide a result, as JSON values."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.name not in _WITHOUT_EFFECT}


@dataclass(frozen=True)
class FitPass:
    """
    One pass over the rows.

    >>> result = fit_closed_form(model, (rows, Y), ClosedFormOptions(hyperparameter_rounds=0, progress=False))
    >>> result.passes[0].elbo <= result.passes[-1].elbo
    True

    :param elbo: the bound in nats, where the pass began; of a pass over some of the rows, an estimate.
    :param step: the length of the step that led there; 0 at the beginning of a round.
    :param round: the number of the round: a new one begins when hyperparameters move, or their last move is taken back.
        With ``MultiClass``, round 0 has the bounds of ``Softmax``.
    :param seconds: since the fit began, interruptions not counted.
    """

    elbo: float
    step: float
    round: int
    seconds: float


@dataclass(frozen=True)
class ClosedFormResult:
    """
    What happened in a fit; q(u) and the hyperparameters are in the model.

    >>> result = fit_closed_form(model, (rows, Y), ClosedFormOptions(hyperparameter_rounds=0, progress=False))
    >>> result.converged, len(result.passes) > 1
    (True, True)

    :param elbo: the bound at the end, in nats: of a fit by some of the rows at a time, an estimate.
    :param converged: whether the last passes raised the bound by less than the tolerance.
    :param passes: all passes, in order.
    """

    elbo: float
    converged: bool
    passes: tuple[FitPass, ...]
