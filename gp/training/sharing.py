"""How the work of a training's steps is shared out, and which way costs less."""

from gpflow.models import SVGP

from ..inducing_variables import has_orthogonal_features
from .latent_steps import LatentSteps, why_not_by_latents
from .options import TrainingOptions
from .row_steps import RowSteps
from .steps import Steps
from .workers import Alone

SHARES = ("rows", "latents")
# Multiply-adds, or as long as one takes, that a number of q(u)'s factors costs in a step: to be updated; to be sent.
_UPDATING, _SENDING = 30, 60
_IN_CELL = 1000  # of the kernel's diagonal with its gradient, by the power series
_IN_FEATURE = 6  # of a signature, or of a kernel with an inducing variable, for each number of a path


def make_steps(model: SVGP, options: TrainingOptions, workers: Alone, share: str | None, width: int) -> Steps:
    """
    The steps of a process.

    :param share: by rows or by latent processes; None: what costs less.
    :param width: the number of columns of X.
    :raises ValueError: for another ``share``, and for a model or options that it cannot serve.
    """
    if share is not None and share not in SHARES:
        raise ValueError(f"share must be None or one of {', '.join(SHARES)}, got {share!r}.")
    if workers.size == 1:
        return Steps(model, options)
    if share is None:
        share = cheaper_share(model, options.batch_size, workers.size, width)
    return (RowSteps if share == "rows" else LatentSteps)(model, options, workers)


def cheaper_share(model: SVGP, batch_size: int, count: int, width: int) -> str:
    """
    The way to share that takes less time, by a rule of thumb.

    By rows, each of W workers computes 1 / W of the paths, and all of them update all of q(u), whose gradient is sent.
    By latent processes, each computes all paths, and 1 / W of everything that belongs to q(u).
    """
    if why_not_by_latents(model, count) is not None:
        return "rows"
    numbers = model.num_latent_gps * model.q_mu.shape[0]
    if len(model.q_sqrt.shape) == 3:
        numbers *= (model.q_mu.shape[0] + 1) / 2
    saved = 1.0 - 1.0 / count
    by_latents = numbers * (_UPDATING * saved + _SENDING)
    return "latents" if by_latents > _cost_of_paths(model, batch_size, width) * saved else "rows"


def _cost_of_paths(model: SVGP, batch_size: int, width: int) -> float:
    features = _IN_FEATURE * batch_size * width * model.q_mu.shape[0]
    if not has_orthogonal_features(model.inducing_variable):
        return features
    length = width / model.kernel.num_channels
    return features + _IN_CELL * batch_size * length**2
