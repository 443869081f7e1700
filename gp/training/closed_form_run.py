"""One fit in closed form: passes until they have converged, and moves of the hyperparameters in between."""

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.likelihoods import MultiClass, Softmax
from gpflow.models import SVGP
from tqdm.auto import tqdm

from ..data import Rows
from .checkpoints import Checkpoints
from .closed_form_options import ClosedFormOptions, ClosedFormResult, FitPass
from .closed_form_progress import Progress, next_step
from .expectations import compiled_expectations
from .feature_maps import Blocks
from .fingerprint import settings, values_digest, versions
from .held_sites import HeldSites, maximize
from .latents import Latents, WhitenedFeatures
from .level_variances import LevelVariances
from .natural_passes import Passes
from .natural_state import Look, NaturalState, moved
from .parameter_sets import parameter_sets
from .triangular import lower_root
from .workers import Alone

_SMALLEST_STEP = 1e-9
_ROUNDING = 1e-12  # of a bound
_SHORT_STEP = 0.1  # below it, each step that succeeds is followed by one of twice the length
_LONGEST_STEP = 16.0  # of the means; curvatures do not go beyond where they are found
_WORK_IN_SINGLE = 1e10  # multiply-adds of a pass, from which on the first passes are in float32
_LOOSER_BETWEEN = 30.0  # the tolerance where hyperparameters are still to move
_NOTHING = 1e-2  # nats


class Run:
    """One fit, from its beginning, or its checkpoint, to its end."""

    def __init__(
        self, model: SVGP, latents: list[Latents], data: Rows, options: ClosedFormOptions, workers: Alone = Alone()
    ) -> None:
        """:raises ValueError: for fewer rows in a pass, or a search, than workers."""
        self.model, self.latents, self.data, self.options, self.workers = model, latents, data, options, workers
        for name in ("hyperparameter_rows", "rows_per_step"):
            if min(getattr(options, name) or len(data), len(data)) < workers.size:
                raise ValueError(
                    f"the data, and {name}, must have at least a row for each of the {workers.size} workers, got "
                    f"{len(data)} rows and {name}={getattr(options, name)}: take more rows, or fewer workers."
                )
        num_features, num_latents = model.q_mu.shape
        num_covariances = 1 if options.shared_covariance else num_latents
        self.hyperparameters = parameter_sets(model)[1] if options.hyperparameter_rounds else []
        self.before = [tf.Variable(variable, trainable=False) for variable in self.hyperparameters]
        self.levels = LevelVariances(latents, self.hyperparameters)
        by_themselves = {id(variable) for variable in self.levels.variables}
        self.by_gradient = [variable for variable in self.hyperparameters if id(variable) not in by_themselves]
        self.state = replace(
            NaturalState.prior(num_features, num_latents, num_covariances), ratios=self.levels.unchanged()
        )
        is_robust = isinstance(model.likelihood, MultiClass)
        self.progress = Progress(
            moves_left=options.hyperparameter_rounds if self.by_gradient else 0, by_softmax=is_robust
        )
        self.expected = compiled_expectations(model.likelihood)
        # RobustMax has no slope where a class is far behind: from the prior its bound would end at a poor maximum.
        self.softmax_expected = compiled_expectations(Softmax(num_latents))
        self._in_single = num_covariances * len(data) * float(num_features) ** 2 > _WORK_IN_SINGLE
        self.clock: Callable[[], float] = lambda: 0.0
        self.saved: list[tf.Variable] = []
        if options.checkpoint_dir is not None:
            self.saved = [tf.Variable(part, trainable=False) for part in self._parts_of_state()]
        self.checkpoints: Checkpoints | None = None
        if options.checkpoint_dir is not None and workers.is_chief:
            self.checkpoints = Checkpoints(
                options.checkpoint_dir,
                {"state": self.saved, "hyperparameters": self.hyperparameters, "before": self.before},
                self.fingerprint,
                lambda: values_digest(model, without=(model.q_mu, model.q_sqrt)),  # from which no fit starts
            )

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be resumed, and on all workers."""
        described = {**self.options.as_fingerprint(), **settings(self.model)}
        return {**described, "data": self.data.digest(), "fit": "closed form"}

    def check_same(self) -> None:
        """:raises ValueError: where another worker has other data, options or versions, or another model."""
        if self.workers.size > 1:
            shapes = [variable.shape.as_list() for variable in self.model.variables]
            self.workers.check_same({**self.fingerprint, **versions(), "parameter_shapes": shapes})

    def alone(self) -> AbstractContextManager[None]:
        """While it lasts, no other fit can use the same ``checkpoint_dir``."""
        return nullcontext() if self.checkpoints is None else self.checkpoints.locked()

    def begin(self) -> None:
        """Go back to the last checkpoint, where there is one, and else to the values of the first worker."""
        with self.workers.together():
            found = None if self.checkpoints is None else self.checkpoints.restore(Progress.from_json)
        saved = self.workers.from_chief(None if found is None else asdict(found))
        self.workers.copy_from_chief([*self.model.variables, *self.before])
        if saved is not None:
            self.workers.copy_from_chief(self.saved)
            self.progress = Progress.from_json(saved)
            self.state = NaturalState(*(part.numpy() for part in self.saved))
        self._keep_hyperparameters()

    def to_the_end(self) -> ClosedFormResult:
        """Fit. A fit that is interrupted, or fails, leaves the hyperparameters as they were when it last saved."""
        try:
            return self._to_the_end()
        except BaseException:
            _assign(self.hyperparameters, self._kept)
            raise

    def _to_the_end(self) -> ClosedFormResult:
        start = time.perf_counter() - (self.progress.passes[-1].seconds if self.progress.passes else 0.0)
        self.clock = lambda: time.perf_counter() - start
        done = len(self.progress.passes)
        hidden = not (self.options.progress and self.workers.is_chief)
        with tqdm(unit=" passes", initial=done, disable=hidden) as self.bar:
            self._read_model()
            while True:
                self._describe("passes")
                if self.options.rows_per_step is None:
                    self._climb(self._passes_over(self.data))
                else:
                    self._climb_by_samples()
                self._settle_levels()
                if not self._moves_on():
                    break
                self._save()
        self._write()
        self._save()
        self._warn_of_the_prior()
        return ClosedFormResult(self.progress.passes[-1].elbo, self.progress.converged, self.progress.passes)

    def _moves_on(self) -> bool:
        """Move the hyperparameters, or take the last move back where it did not help. False: all is done."""
        progress = self.progress
        elbo = progress.passes[-1].elbo + float(self.model.log_prior_density())
        if progress.by_softmax:
            self.progress = Progress(round=progress.round + 1, moves_left=progress.moves_left, passes=progress.passes)
            return True
        if progress.elbo_before is not None and elbo < progress.elbo_before:
            self._hold_sites_while(lambda: _assign(self.hyperparameters, self.before))
            self.progress = Progress(round=progress.round + 1, moves_left=0, passes=progress.passes)
            return True
        if progress.moves_left == 0:
            return False
        _assign(self.before, self.hyperparameters)
        self._hold_sites_while(self._move_hyperparameters)
        self.progress = Progress(
            round=progress.round + 1,
            moves_left=progress.moves_left - 1,
            elbo_before=elbo if self.options.rows_per_step is None else None,
            passes=progress.passes,
        )
        return True

    def _read_model(self) -> None:
        """Take kernel and inducing variables as they are."""
        self.features = [WhitenedFeatures(each) for each in self.latents]
        self._blocks_of_all: list[Blocks] | None = None

    def _settle_levels(self) -> None:
        """Give the model the variances of levels that the passes have found."""
        if self.levels.variables:
            self.levels.multiply(self.state.ratios)
            self.workers.copy_from_chief(self.levels.variables)
            self.state = replace(self.state, ratios=self.levels.unchanged())
            self._read_model()

    def _passes_over(self, rows: Rows) -> Passes:
        blocks = self._blocks_of_all if rows is self.data else None
        if blocks is None:
            size, num_features = self.options.batch_size, self.state.m.shape[0]
            blocks = [
                Blocks(of_rows, rows, batch_size=size, num_features=num_features, workers=self.workers)
                for of_rows in self.features
            ]
        if rows is self.data:
            self._blocks_of_all = blocks  # with the features that are kept
        shared = self.options.shared_covariance
        expected = self.softmax_expected if self.progress.by_softmax else self.expected
        return Passes(self.model, expected, self.latents, blocks, self.levels, shared_covariance=shared)

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
        state: NaturalState | None = None
        with suppress(np.linalg.LinAlgError):
            found = self.levels.moved(self.state, look, moved(self.state, look, step), step)
            state = found if found.factors else None  # which are found here, where an error is one of all
        if self.workers.any(state is None) or state is None:
            return None
        seen = self._look(passes, state, scale)
        return None if seen is None else (state, seen)

    def _climb_by_samples(self) -> None:
        """Steps with some of the rows each, whose lengths decay, and which are halved until they do not lead down."""
        size = min(self.options.rows_per_step or 0, len(self.data))
        steps = [each.step for each in self.progress.passes if each.round == self.progress.round]
        for number in range(len(steps), self.options.max_passes):
            passes = self._passes_over(self.data.subset(self._in_turn(size, number)))
            scale = len(self.data) / size
            look = self._check_finite(self._look(passes, self.state, scale))
            step = next_step(steps)
            found = self._stepped(passes, look, step, scale)
            while step > _SMALLEST_STEP and (found is None or found[1].elbo < look.elbo):
                step /= 2.0
                found = self._stepped(passes, look, step, scale)
            if found is not None:
                self.state, look = found
            steps.append(step)
            self._record(look.elbo, step)

    def _move_hyperparameters(self) -> None:
        rows = self._drawn_rows()
        with self.workers.together():
            mean, variance = self._passes_over(rows).marginals(self.state)
            X, Y = rows.read(self.workers.share(len(rows)))
            sites = HeldSites.at(self.model, self.latents, X, Y, mean, variance, len(self.data) / len(rows))
        enough = self.options.hyperparameter_evaluations

        def report(number: int, elbo: float) -> None:
            self._now()
            self._describe(f"hyperparameters, evaluation {number} of {enough}")
            self.bar.set_postfix({"ELBO": f"{elbo:.6g}"})

        number, seed = self.options.hyperparameter_inducing, [self.options.seed, self.progress.round]
        some = [each if number is None else each.with_some_inducing(number, seed) for each in self.latents]
        maximize(self.model, self.by_gradient, some, sites, enough, self.workers, report)

    def _hold_sites_while(self, move: Callable[[], None]) -> None:
        """Change hyperparameters, and go on from q(u) at the sites as they were: of all rows, or with steps of some."""
        rows = self.data if self.options.rows_per_step is None else self._drawn_rows()
        with self.workers.together():
            sites = self._passes_over(rows).sites(self.state)
        move()
        self._read_model()
        state = self._passes_over(rows).state_at(sites, scale=len(self.data) / len(rows))
        self.state = replace(state, ratios=self.state.ratios)

    def _drawn_rows(self) -> Rows:
        """The rows on which the hyperparameters move, drawn at random, in increasing order."""
        size = min(self.options.hyperparameter_rows or len(self.data), len(self.data))
        generator = np.random.default_rng([self.options.seed, self.progress.round, 0])
        return self.data.subset(np.sort(generator.choice(len(self.data), size, replace=False)))

    def _in_turn(self, size: int, number: int) -> np.ndarray:
        """The same for a step on some rows, without any row a second time before (nearly) all have come once."""
        turn, place = divmod(number, len(self.data) // size)
        order = np.random.default_rng([self.options.seed, self.progress.round, turn + 1]).permutation(len(self.data))
        return np.sort(order[place * size : (place + 1) * size])

    def _look(self, passes: Passes, state: NaturalState, scale: float = 1.0) -> Look | None:
        """A pass; None: the bound at this state is not a number."""
        rough = self.progress.rough
        self._now()
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
        point = FitPass(elbo, step, self.progress.round, self._now())
        self.progress = replace(self.progress, passes=(*self.progress.passes, point))
        self.bar.update()
        self.bar.set_postfix({"ELBO": f"{elbo:.6g}"})
        self._save()

    def _now(self) -> float:
        """
        The seconds since the fit began, the same for all workers.

        :raises KeyboardInterrupt: where one of the workers is asked to stop.
        """
        seconds, is_to_stop = self.workers.check_stop(self.clock())
        if is_to_stop:
            raise KeyboardInterrupt
        return seconds

    def _describe(self, what: str) -> None:
        """Say on the progress bar what is being done."""
        self.bar.set_description_str(f"round {self.progress.round}, {what}")

    def _parts_of_state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.state.m, self.state.G, self.state.ratios

    def _keep_hyperparameters(self) -> None:
        self._kept = [variable.numpy() for variable in self.hyperparameters]

    def _save(self) -> None:
        with self.workers.together():
            if self.checkpoints is not None:
                _assign(self.saved, self._parts_of_state())
                self.checkpoints.save(asdict(self.progress))
        self._keep_hyperparameters()

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
        # All see the same sums, but processors of another kind factorise them with other bits.
        self.workers.copy_from_chief([model.q_mu.unconstrained_variable, model.q_sqrt.unconstrained_variable])
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
                stacklevel=5,
            )

    def how_to_go_on(self) -> str:
        """What an interrupt says."""
        done = f"the fit stopped after {len(self.progress.passes)} passes"
        if not self.workers.is_chief:
            return f"{done}, as all workers have; the message of worker 0 says whether they can go on."
        if self.checkpoints is None:
            return f"{done}; nothing is saved: give a checkpoint_dir to be able to go on."
        return (
            f"{done}, saved in {self.checkpoints.folder}: go on by fitting again, with the model built as it was "
            "and the same data and options."
        )


def _assign(variables: Sequence[tf.Variable], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
