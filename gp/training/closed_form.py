r"""
Fitting a sparse variational Gaussian process in closed form, in some ten passes over the data.

The inducing variables are fixed. Each pass gives q(u) the sum of one Gaussian site for every row and latent process
(``natural_passes.py``), which is a natural-gradient step with all the data; between passes hyperparameters move uphill
on the bound (``held_sites.py``). There are no learning rates.
"""

import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.likelihoods import MultiClass, Softmax
from gpflow.models import SVGP
from tqdm.auto import tqdm

from .._checks import check_outputs_fit
from ..data import Rows, as_rows
from .checkpoints import Checkpoints
from .closed_form_options import ClosedFormOptions, ClosedFormResult, FitPass
from .expectations import check_likelihood, compiled_expectations
from .feature_maps import Blocks
from .fingerprint import settings, values_digest
from .held_sites import HeldSites, maximize, state_at
from .latents import Latents, WhitenedFeatures, latents_of
from .natural_passes import Look, NaturalState, Passes, moved
from .parameter_sets import parameter_sets
from .triangular import lower_root

_SMALLEST_STEP = 1e-9
_ROUNDING = 1e-12  # of a bound
_SHORT_STEP = 0.1  # below it, each step that succeeds is followed by one of twice the length
_LONGEST_STEP = 16.0  # of the means; curvatures do not go beyond where they are found
_WORK_IN_SINGLE = 1e10  # multiply-adds of a pass, from which on the first passes are in float32
_LOOSER_BETWEEN = 30.0  # the tolerance where hyperparameters are still to move
_NOTHING = 1e-2  # nats
_DECAY = 0.6  # of the steps on some of the rows: between 0.5 and 1 they converge


def fit_closed_form(
    model: SVGP, data: tuple[Any, Any], options: ClosedFormOptions = ClosedFormOptions()
) -> ClosedFormResult:
    r"""
    Fit q(u) of a sparse variational Gaussian process in closed form, and its hyperparameters between passes.

    It is the first way to try where a model has a likelihood of its own: some ten passes over the data take the place
    of thousands of minibatch steps, and there is no learning rate. At the end q(u) is the one with the largest bound,
    up to ``tolerance``, for the inducing variables as they are, which stay fixed. A Gaussian likelihood needs a single
    step, which gives the posterior of ``gpflow.models.SGPR``, and of ``GPR`` where all rows are inducing points.

    Each pass takes, for every row and latent process, the expectations of the first two derivatives of log p(y | f).
    They are GPflow's, in closed form or by quadrature; for ``Softmax`` the mean over 128 quasi-random draws; for
    ``Ordinal`` by quadrature of our own density, for GPflow's is NaN for the first and the last class. The expectation
    of −∇² log p can be negative for ``StudentT`` and ``MultiClass``. It counts as 0 in the first passes, so that each
    step leads to a covariance, and as it is once they have converged. ``MultiClass`` starts where a fit with
    ``Softmax`` ends, for from the prior its bound has poor maxima.

    A step that lowers the bound, or leads to no covariance, is halved. Hyperparameters are all trainable parameters of
    the model but q(u) and the inducing variables. They move by L-BFGS on the bound with the sites held, which is higher
    and flatter than the bound with q(u) held (Adam et al. 2021).

    Time of a pass: the features in the first one, then C N M² multiply-adds, and C M³ / 2. From 1e10 of them on,
    matrices are multiplied in float32 until that no longer raises the bound, and then in float64. Memory: some 10 C M²
    numbers (the matrices of the last state and the next, and GPflow's own where q(u) is set), a block of rows, and up
    to 1 GB of features for each kernel; features beyond that are computed in every pass.

    :param model: a ``gpflow.models.SVGP`` such as :class:`~sigkernel_tf.gp.SigGPDE`, fitted in place. Its kernel may be
        a plain one, ``SharedIndependent`` or ``SeparateIndependent``, its inducing variables and its mean function any.
        u may be whitened or not.
    :param data: X [N, W] and Y [N, P] as :func:`~sigkernel_tf.gp.train` takes them: arrays, or files larger than
        memory, which are read a block at a time.
    :param options: see :class:`ClosedFormOptions`.
    :raises ValueError: for a model with a diagonal q(u) (``q_diag=True``), a Kuu that is not positive definite with
        ``gpflow.default_jitter()``, data that the model cannot take, and a ``checkpoint_dir`` that is damaged or
        another fit's.
    :raises TypeError: for another model, ``LinearCoregionalization``, and a likelihood whose expectations GPflow finds
        by random draws.
    :raises FloatingPointError: where the bound is not a number.
    """
    if not isinstance(model, SVGP):
        raise TypeError(f"model must be a gpflow.models.SVGP, as SigGPDE is, got {type(model).__name__}.")
    if not isinstance(options, ClosedFormOptions):
        raise TypeError(
            f"options must be ClosedFormOptions, got {type(options).__name__}: for instance ClosedFormOptions(seed=1). "
            "X and Y are one argument, data=(X, Y)."
        )
    check_likelihood(model.likelihood)
    latents = latents_of(model)
    if options.shared_covariance and len(latents) > 1:
        raise ValueError(
            "shared_covariance=True needs latent processes that share their features, got kernels or inducing "
            "variables of their own: take shared_covariance=False."
        )
    rows = as_rows(data, model.likelihood)
    check_outputs_fit(model.likelihood, model.q_mu.shape[1], rows.specs()[1].shape[-1])
    run = _Run(model, latents, rows, options)
    with nullcontext() if run.checkpoints is None else run.checkpoints.locked():
        run.begin()
        try:
            return run.to_the_end()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(run.how_to_go_on()) from None


@dataclass(frozen=True)
class _Progress:
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
    def from_json(cls, saved: dict[str, Any]) -> "_Progress":
        return cls(**{**saved, "passes": tuple(FitPass(**each) for each in saved["passes"])})


class _Run:
    """One fit, from its beginning, or its checkpoint, to its end."""

    def __init__(self, model: SVGP, latents: list[Latents], data: Rows, options: ClosedFormOptions) -> None:
        self.model, self.latents, self.data, self.options = model, latents, data, options
        num_features, num_latents = model.q_mu.shape
        num_covariances = 1 if options.shared_covariance else num_latents
        self.state = NaturalState.prior(num_features, num_latents, num_covariances)
        is_robust = isinstance(model.likelihood, MultiClass)
        self.hyperparameters = parameter_sets(model)[1]
        self.before = [tf.Variable(variable, trainable=False) for variable in self.hyperparameters]
        self.progress = _Progress(
            moves_left=options.hyperparameter_rounds if self.hyperparameters else 0, by_softmax=is_robust
        )
        self.expected = compiled_expectations(model.likelihood)
        # RobustMax has no slope where a class is far behind: from the prior its bound would end at a poor maximum.
        self.softmax_expected = compiled_expectations(Softmax(num_latents))
        self._in_single = num_covariances * len(data) * float(num_features) ** 2 > _WORK_IN_SINGLE
        self.checkpoints: Checkpoints | None = None
        if options.checkpoint_dir is not None:
            self.saved = [tf.Variable(part, trainable=False) for part in (self.state.m, self.state.G)]
            fingerprint = {**options.as_fingerprint(), **settings(model), "data": data.digest(), "fit": "closed form"}
            self.checkpoints = Checkpoints(
                options.checkpoint_dir,
                {"state": self.saved, "hyperparameters": self.hyperparameters, "before": self.before},
                fingerprint,
                lambda: values_digest(model),
            )

    def begin(self) -> None:
        """Go back to the last checkpoint, where there is one."""
        found = None if self.checkpoints is None else self.checkpoints.restore(_Progress.from_json)
        if found is not None:
            self.progress = found
            self.state = NaturalState(*(part.numpy() for part in self.saved))

    def to_the_end(self) -> ClosedFormResult:
        start = time.perf_counter() - (self.progress.passes[-1].seconds if self.progress.passes else 0.0)
        self.clock: Callable[[], float] = lambda: time.perf_counter() - start
        with tqdm(unit="pass", disable=not self.options.progress) as self.bar:
            while True:
                passes = self._passes()
                if self.options.rows_per_step is None:
                    self._climb(passes)
                else:
                    self._descend_by_samples()
                if not self._moves_on():
                    break
                self._save()
        self._write()
        self._warn_of_the_prior()
        return ClosedFormResult(self.progress.passes[-1].elbo, self.progress.converged, self.progress.passes)

    def _moves_on(self) -> bool:
        """Move the hyperparameters, or take the last move back where it did not help. False: all is done."""
        progress = self.progress
        elbo = progress.passes[-1].elbo + float(self.model.log_prior_density())
        if progress.by_softmax:
            self.progress = _Progress(round=progress.round + 1, moves_left=progress.moves_left, passes=progress.passes)
            return True
        if progress.elbo_before is not None and elbo < progress.elbo_before:
            for variable, value in zip(self.hyperparameters, self.before, strict=True):
                variable.assign(value)
            self.progress = _Progress(round=progress.round + 1, moves_left=0, passes=progress.passes)
            return True
        if progress.moves_left == 0:
            return False
        for variable, value in zip(self.hyperparameters, self.before, strict=True):
            value.assign(variable)
        self._move_hyperparameters()
        is_exact = self.options.rows_per_step is None
        self.progress = _Progress(
            round=progress.round + 1,
            moves_left=progress.moves_left - 1,
            elbo_before=elbo if is_exact else None,
            passes=progress.passes,
        )
        return True

    def _passes(self) -> Passes:
        """Passes over the rows with the hyperparameters as they are."""
        self.features = [WhitenedFeatures(each) for each in self.latents]
        return self._passes_over(self.data)

    def _passes_over(self, rows: Rows, *, keep: bool = True) -> Passes:
        num_features = self.state.m.shape[0]
        blocks = [
            Blocks(of_rows, rows, batch_size=self.options.batch_size, num_features=num_features, keep=keep)
            for of_rows in self.features
        ]
        shared = self.options.shared_covariance
        expected = self.softmax_expected if self.progress.by_softmax else self.expected
        return Passes(self.model, expected, self.latents, blocks, shared_covariance=shared)

    def _climb(self, passes: Passes) -> None:
        """Steps uphill, each with all rows, until they have converged or are enough."""
        is_last = self.progress.moves_left == 0 and not self.progress.by_softmax
        enough = self.options.tolerance * len(self.data) * (1.0 if is_last else _LOOSER_BETWEEN)
        look = self._check_finite(self._look(passes, self.state))
        if not self._has_begun():
            self._record(look.elbo, 0.0)
        while self.progress.attempts < self.options.max_passes and not self.progress.converged:
            progress, step = self.progress, self.progress.step
            found = self._stepped(passes, look, step)
            gain = -np.inf if found is None else found[1].elbo - look.elbo
            if found is not None and gain > 0:
                self.state, look = found
            successes = progress.successes + 1 if gain > 0 else 0
            grows = successes >= 2 or step < _SHORT_STEP
            next_step = step / 2.0 if gain <= 0 else min(2.0 * step, _LONGEST_STEP) if grows else step
            is_exhausted = next_step < _SMALLEST_STEP
            is_still = abs(gain) < max(enough, _ROUNDING * abs(look.elbo))
            ends = is_exhausted or (is_still and step >= 0.5)
            must_be_exact = progress.rough and is_last and (look.was_clipped or self._in_single)
            self.progress = replace(
                progress,
                attempts=progress.attempts + 1,
                successes=successes,
                step=next_step,
                converged=ends and is_still and not must_be_exact,
            )
            if ends and must_be_exact:
                self.progress = replace(self.progress, step=1.0, rough=False)
                look = self._look(passes, self.state) or look
            elif is_exhausted:
                break
            if gain > 0:
                self._record(look.elbo, step)

    def _stepped(self, passes: Passes, look: Look, step: float, scale: float = 1.0) -> tuple[NaturalState, Look] | None:
        """Where a step leads, and what a pass sees there; None: there is no covariance, or no bound."""
        try:
            state = moved(self.state, look, step)
        except np.linalg.LinAlgError:
            return None
        seen = self._look(passes, state, scale)
        return None if seen is None else (state, seen)

    def _descend_by_samples(self) -> None:
        """Steps with some of the rows each, whose lengths decay, and which are halved until they do not lead down."""
        size = min(self.options.rows_per_step or 0, len(self.data))
        done = sum(each.round == self.progress.round for each in self.progress.passes)
        for number in range(done, self.options.max_passes):
            passes = self._passes_over(self.data.subset(self._drawn(size, number)), keep=False)
            scale = len(self.data) / size
            look = self._check_finite(self._look(passes, self.state, scale))
            step = (1.0 + number) ** -_DECAY
            found = self._stepped(passes, look, step, scale)
            while step > _SMALLEST_STEP and (found is None or found[1].elbo < look.elbo):
                step /= 2.0
                found = self._stepped(passes, look, step, scale)
            if found is not None:
                self.state, look = found
            self._record(look.elbo, step)

    def _move_hyperparameters(self) -> None:
        size = min(self.options.hyperparameter_rows or len(self.data), len(self.data))
        rows = self.data.subset(self._drawn(size, -1))
        mean, variance = self._passes_over(rows, keep=False).marginals(self.state)
        X, Y = rows.read(slice(None))
        sites = HeldSites.at(self.model, self.latents, X, Y, mean, variance, len(self.data) / size)
        self.bar.set_description("hyperparameters")
        maximize(self.model, self.hyperparameters, self.latents, sites, self.options.hyperparameter_evaluations)
        self.state = state_at(self.model, self.latents, sites, len(self.state.G))
        self.bar.set_description("passes")

    def _drawn(self, size: int, number: int) -> np.ndarray:
        """The numbers of rows that are drawn at random, in increasing order."""
        generator = np.random.default_rng([self.options.seed, self.progress.round, number + 1])
        return np.sort(generator.choice(len(self.data), size, replace=False))

    def _look(self, passes: Passes, state: NaturalState, scale: float = 1.0) -> Look | None:
        """A pass; None: the bound at this state is not a number."""
        rough = self.progress.rough
        try:
            with np.errstate(all="ignore"):
                look = passes(state, scale=scale, single=rough and self._in_single, clip=rough)
        except np.linalg.LinAlgError:
            return None
        return look if np.isfinite(look.elbo) else None

    def _check_finite(self, look: Look | None) -> Look:
        """:raises FloatingPointError: where a pass found no bound."""
        if look is None:
            raise FloatingPointError(
                f"the bound is not a number after {len(self.progress.passes)} passes, expected a finite one: take "
                "longer lengthscales or a smaller variance, or standardise the paths."
            )
        return look

    def _has_begun(self) -> bool:
        return bool(self.progress.passes) and self.progress.passes[-1].round == self.progress.round

    def _record(self, elbo: float, step: float) -> None:
        point = FitPass(elbo, step, self.progress.round, self.clock())
        self.progress = replace(self.progress, passes=(*self.progress.passes, point))
        self.bar.update()
        self.bar.set_postfix({"ELBO": f"{elbo:.6g}"})
        self._save()

    def _save(self) -> None:
        if self.checkpoints is not None:
            for variable, part in zip(self.saved, (self.state.m, self.state.G), strict=True):
                variable.assign(part)
            self.checkpoints.save(asdict(self.progress))

    def _write(self) -> None:
        """Set the model's q(u)."""
        state, model = self.state, self.model
        q_mu, roots = state.m.copy(), [lower_root(factor) for factor in state.factors]
        q_sqrt = np.stack(roots if len(roots) > 1 else roots * state.m.shape[1])
        if not model.whiten:
            for latents, of_rows in zip(self.latents, self.features, strict=True):
                q_mu[:, latents.columns] = of_rows.unwhitened(q_mu[:, latents.columns])
                for root in q_sqrt[latents.columns]:
                    root[:] = of_rows.unwhitened(root)
        model.q_mu.assign(q_mu)
        model.q_sqrt.assign(q_sqrt)
        model.num_data = len(self.data)

    def _warn_of_the_prior(self) -> None:
        """Where the hyperparameters have taken all signal away, the bound has a maximum that explains nothing."""
        learnt = 0.5 * float(np.sum(np.square(self.state.m)))
        if learnt < _NOTHING:
            warnings.warn(
                f"the fit has learnt nothing: the means of q(u) add {learnt:.1e} nats to its divergence, and so f is "
                "its prior. Start from a larger variance of the kernel or of its static kernel, from other "
                "lengthscales, or take hyperparameter_rounds=0.",
                UserWarning,
                stacklevel=4,
            )

    def how_to_go_on(self) -> str:
        """What an interrupt says."""
        done = f"the fit stopped after {len(self.progress.passes)} passes"
        if self.checkpoints is None:
            return f"{done}; nothing is saved: give a checkpoint_dir to be able to go on."
        return (
            f"{done}, saved in {self.checkpoints.folder}: go on by fitting again, with the model built as it was "
            "and the same data and options."
        )
