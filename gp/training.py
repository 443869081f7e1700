"""Training a sparse variational Gaussian process as in the paper's appendix B.2, resumable and repeatable."""

import functools
import itertools
import math
import numbers
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gpflow.config import default_float
from gpflow.models import SVGP
from tqdm.auto import tqdm

from ._checks import as_positive_int
from .checkpoints import Checkpoints, digest
from .evaluation import Evaluator, as_data
from .inducing_variables import has_orthogonal_features
from .posteriors import check_residual

_PHASES = (1, 2, 3)
_STEPS_PER_CALL = 25  # in one call of the graph: no Python in between, yet an interrupt is answered soon
_RESIDUAL_CHECKS = 1000  # paths that are looked at before training


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """
    How to train. Everything but ``checkpoint_dir`` and ``progress`` can change the result.

    :raises TypeError: and
    :raises ValueError: for a value outside its range, naming it.
    """

    iterations: int = 5000
    """Minibatch steps in each of the three phases: there are three times as many in all."""
    batch_size: int = 50
    """Series in a minibatch; at most as many as are trained on beside the validation split."""
    learning_rate: float = 1e-3
    """Nadam's."""
    validation_fraction: float = 0.2
    """Part of the training data held out in phases 1 and 2, strictly between 0 and 1."""
    monitor_every: int = 250
    """Steps between two looks at the validation split; each phase also ends with one. Checkpoints are saved then."""
    seed: int = 0
    """Decides the validation split and the minibatches."""
    checkpoint_dir: str | Path | None = None
    """Folder for the checkpoint; where it holds one of the same training, that is resumed. None: nothing is saved."""
    progress: bool = True
    """Whether to show a progress bar, on standard error."""

    def __post_init__(self) -> None:
        for name in ("iterations", "batch_size", "monitor_every"):
            as_positive_int(getattr(self, name), name)
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)):
            raise TypeError(f"seed must be an int, got {self.seed!r}: for instance seed=0.")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}.")
        for name in ("learning_rate", "validation_fraction"):
            if not isinstance(getattr(self, name), numbers.Real):
                raise TypeError(f"{name} must be a number, got {getattr(self, name)!r}.")
        if not 0.0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive and finite, got {self.learning_rate}: for instance 1e-3.")
        if not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(
                f"validation_fraction must lie strictly between 0 and 1, got {self.validation_fraction}: "
                "for instance 0.2 holds out a fifth of the training data."
            )


@dataclass(frozen=True)
class MonitorPoint:
    """What was seen at one look during training."""

    iteration: int
    """Steps done so far, all phases counted."""
    phase: int
    elbo: float
    """Mean of the minibatches' bounds since the look before, in nats (plus the log prior of parameters with one)."""
    validation_nlpp: float | None
    """NLPP of the validation split, in nats; None in phase 3, which trains on it."""
    recorded: Mapping[str, float] = field(default_factory=dict)
    """What the caller's ``record`` returned."""


@dataclass(frozen=True)
class TrainingResult:
    """What happened in training; the trained parameters are in the model."""

    history: tuple[MonitorPoint, ...]
    best_iteration: int
    """Where the validation NLPP was lowest: phase 3 has the hyperparameters of that point."""
    seconds_per_iteration: float
    """Mean wall time of a minibatch step; tracing and monitoring are left out. NaN where no step could be timed."""


def train(
    model: SVGP,
    data: tuple[Any, Any],
    options: TrainingOptions = TrainingOptions(),
    *,
    record: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """
    Train a sparse variational Gaussian process in the three equal phases of the paper's appendix B.2.

    A part of the data is split off for validation. Phase 1 trains the variational parameters alone (``q_mu``,
    ``q_sqrt`` and trainable inducing variables), phase 2 these and the hyperparameters (everything else that is
    trainable), phase 3 the variational parameters on all the data, validation split included. Phase 3 has the
    hyperparameters that gave the lowest NLPP on the validation split, of all points monitored before it.

    The optimiser is Nadam, one for each of the two sets of parameters: a common one would count phase 1's steps for
    hyperparameters that had not moved, and its bias correction, by then without effect, would start them with
    steps several times too large. ``model.num_data`` is set to the number of series trained on.

    With ``checkpoint_dir``, a call with the same data and options continues where the last one stopped, however it
    stopped, and reaches the same result: minibatches depend on the seed and the iteration alone. Ctrl-C saves a
    checkpoint first; a process that is killed loses the steps since the last monitored point. Likelihoods that draw
    random numbers of their own (``Softmax``) take them from TensorFlow: seed it with ``tf.random.set_seed``; a resumed
    run then sees other draws.

    :param model: :class:`~sigkernel_tf.gp.SigGPDE` or any ``gpflow.models.SVGP``; trained in place.
    :param data: X [N, ...] and Y [N, P], as the model takes them (classes: integers from 0, P = 1).
    :param options: see :class:`TrainingOptions`.
    :param record: called at every monitored point; what it returns is kept in the history (the accuracy on a test set,
        say) and decides nothing.
    :raises ValueError: for data the model cannot take, a split with too few series, and another training's checkpoint.
    :raises FloatingPointError: where the bound is no longer finite.
    """
    run = _Run(model, as_data(data, model.likelihood), options, record)
    try:
        return run.to_the_end()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(run.leave()) from None


def minibatches(num_data: int, batch_size: int, seed: int, first: int, count: int) -> np.ndarray:
    """
    Indices of minibatches ``first`` to ``first + count - 1``, a function of its arguments alone.

    The data are shuffled anew for each pass; a minibatch may end one pass and begin the next.

    :return: integers [count, batch_size] from 0 to num_data − 1.
    """
    start, stop = first * batch_size, (first + count) * batch_size
    passes = range(start // num_data, (stop - 1) // num_data + 1)
    order = np.concatenate([_shuffled(num_data, seed, number) for number in passes])
    offset = passes[0] * num_data
    return order[start - offset : stop - offset].reshape(count, batch_size)


@functools.lru_cache(maxsize=2)
def _shuffled(num_data: int, seed: int, number: int) -> np.ndarray:
    return np.random.default_rng([seed, 1, number]).permutation(num_data)


def _split(num_data: int, options: TrainingOptions) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on in phases 1 and 2, and to validate on."""
    num_validation = round(options.validation_fraction * num_data)
    if not 0 < num_validation < num_data:
        raise ValueError(
            f"validation_fraction={options.validation_fraction} of {num_data} series leaves {num_validation} to "
            f"validate on and {num_data - num_validation} to train on, expected at least 1 of each: change it."
        )
    if options.batch_size > num_data - num_validation:
        raise ValueError(
            f"batch_size must be at most {num_data - num_validation}, the {num_data} series less the "
            f"{num_validation} of the validation split, got {options.batch_size}: take a smaller batch_size."
        )
    order = np.random.default_rng([options.seed, 0]).permutation(num_data)
    return np.sort(order[num_validation:]), np.sort(order[:num_validation])


def _parameter_sets(model: SVGP) -> tuple[list[tf.Variable], list[tf.Variable]]:
    """Trainable variational parameters and hyperparameters, in the model's order."""
    ids = {
        id(variable)
        for part in (model.q_mu, model.q_sqrt, model.inducing_variable)
        for variable in getattr(part, "trainable_variables", ())
    }
    trainable = model.trainable_variables
    variational = [variable for variable in trainable if id(variable) in ids]
    if not variational:
        raise ValueError(
            "model must have trainable variational parameters, got none: undo gpflow.set_trainable(model.q_mu, False)."
        )
    return variational, [variable for variable in trainable if id(variable) not in ids]


def _nadam(variables: list[tf.Variable], learning_rate: float) -> keras.optimizers.Nadam:
    optimizer = keras.optimizers.Nadam(float(learning_rate))
    optimizer.build(variables)  # here, and not when first applied: a graph may not make variables when it is run again
    return optimizer


@dataclass(frozen=True)
class _State:
    """What a run knows beside its variables. Replaced whole: an interrupt leaves the old one or the new one."""

    history: tuple[MonitorPoint, ...] = ()
    elbo_sum_before: float = 0.0  # at the last point of the history
    best_iteration: int = 0
    best_nlpp: float | None = None
    seconds: float = 0.0
    steps_timed: int = 0

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "_State":
        return cls(**{**saved, "history": tuple(MonitorPoint(**point) for point in saved["history"])})


class _Run:
    """
    One training, from its beginning or its checkpoint to its end.

    The step count and the sum of the bounds are variables of the graph: they change together with the parameters, so
    that an interrupt between two lines of Python cannot tear them apart.
    """

    def __init__(
        self,
        model: SVGP,
        data: tuple[tf.Tensor, tf.Tensor],
        options: TrainingOptions,
        record: Callable[[], Mapping[str, float]] | None,
    ) -> None:
        self.model, self.options, self.record = model, options, record
        self.X, self.Y = data
        self.training, validation = _split(self.X.shape[0], options)
        held_out = (tf.gather(self.X, validation), tf.gather(self.Y, validation))
        self.validate = Evaluator(model, held_out)
        self.variational, self.hyperparameters = _parameter_sets(model)
        self.optimizers = [
            (_nadam(variables, options.learning_rate), variables)
            for variables in (self.variational, self.hyperparameters)
            if variables
        ]
        self.best = [tf.Variable(variable, trainable=False) for variable in self.hyperparameters]
        self.elbo_sum = tf.Variable(0.0, dtype=default_float(), trainable=False)
        self.state = _State()
        self.checkpoints: Checkpoints | None = None
        if options.checkpoint_dir is not None:
            self.checkpoints = Checkpoints(options.checkpoint_dir, self._variables(), self._fingerprint())
            saved = self.checkpoints.restore()
            if saved is not None:
                self.state = _State.from_json(saved)
        if self.iteration == 0:
            self._check_residual()

    def _variables(self) -> dict[str, list[tf.Variable]]:
        slots = [slot.value for optimizer, _ in self.optimizers for slot in optimizer.variables]
        return {
            "variational": self.variational,
            "hyperparameters": self.hyperparameters,
            "optimizers": slots,
            "best": self.best,
            "elbo_sum": [self.elbo_sum],
        }

    def _fingerprint(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be resumed."""
        options = asdict(replace(self.options, checkpoint_dir=None, progress=False))
        shapes = [variable.shape.as_list() for variable in (*self.variational, *self.hyperparameters)]
        return {**options, "parameter_shapes": shapes, "data": digest(self.X.numpy(), self.Y.numpy())}

    def _check_residual(self) -> None:
        if has_orthogonal_features(self.model.inducing_variable):
            check_residual(self.model.kernel, self.model.inducing_variable, self.X[:_RESIDUAL_CHECKS])

    @property
    def iteration(self) -> int:
        """Steps done: the variational parameters are trained in every one."""
        return int(self.optimizers[0][0].iterations)

    def to_the_end(self) -> TrainingResult:
        total = len(_PHASES) * self.options.iterations
        with tqdm(total=total, initial=self.iteration, unit="it", disable=not self.options.progress) as bar:
            for phase in _PHASES:
                if not self._is_recorded(phase * self.options.iterations):
                    self._run_phase(phase, bar)
        self.model.num_data = self.X.shape[0]
        timed = self.state.steps_timed
        return TrainingResult(
            history=self.state.history,
            best_iteration=self.state.best_iteration,
            seconds_per_iteration=self.state.seconds / timed if timed else math.nan,
        )

    def _run_phase(self, phase: int, bar: tqdm) -> None:
        end, every = phase * self.options.iterations, self.options.monitor_every
        bar.set_description(f"phase {phase}/{len(_PHASES)}")
        if phase == 3:  # phase 3 leaves them as they are: doing this again when resuming changes nothing
            for variable, value in zip(self.hyperparameters, self.best, strict=True):
                variable.assign(value)
        population = self.training if phase < 3 else np.arange(self.X.shape[0])
        self.model.num_data = len(population)
        steps, warm = self._compile(phase), False
        while True:
            now = self.iteration
            if now > 0 and (now % every == 0 or now == end) and not self._is_recorded(now):
                self._monitor(phase, now, bar)
            if now == end:
                return
            # The first step optimises the graph, too: it goes alone, and untimed.
            count = min(_STEPS_PER_CALL if warm else 1, end - now, every - now % every)
            chosen = minibatches(len(population), self.options.batch_size, self.options.seed, now, count)
            start = time.perf_counter()
            steps(tf.constant(population[chosen], tf.int64))
            bound = float(self.elbo_sum)
            if warm:
                elapsed = time.perf_counter() - start
                self.state = replace(
                    self.state, seconds=self.state.seconds + elapsed, steps_timed=self.state.steps_timed + count
                )
            warm = True
            self._check_finite(bound)
            bar.update(count)

    def _compile(self, phase: int) -> Callable[[tf.Tensor], None]:
        """Several minibatch steps of a phase as one graph, from indices [steps, batch_size]."""
        optimizers = self.optimizers if phase == 2 else self.optimizers[:1]
        variables = [variables for _, variables in optimizers]

        def step(indices: tf.Tensor) -> None:
            minibatch = (tf.gather(self.X, indices), tf.gather(self.Y, indices))
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(list(itertools.chain(*variables)))
                loss = self.model.training_loss(minibatch)
            # A hyperparameter need not matter to the bound.
            gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            for (optimizer, chosen), gradient in zip(optimizers, gradients, strict=True):
                optimizer.apply_gradients(zip(gradient, chosen, strict=True))
            self.elbo_sum.assign_sub(loss)

        @tf.function(input_signature=[tf.TensorSpec([None, self.options.batch_size], tf.int64)])
        def steps(indices: tf.Tensor) -> None:
            for row in tf.range(tf.shape(indices)[0]):
                step(indices[row])

        return steps.get_concrete_function()

    def _monitor(self, phase: int, now: int, bar: tqdm) -> None:
        """Look at the validation split, keep the hyperparameters where they are the best so far, save."""
        state, bound = self.state, float(self.elbo_sum)
        done_before = state.history[-1].iteration if state.history else 0
        nlpp = self.validate().nlpp if phase < 3 else None
        point = MonitorPoint(
            iteration=now,
            phase=phase,
            elbo=(bound - state.elbo_sum_before) / (now - done_before),
            validation_nlpp=nlpp,
            recorded={name: float(value) for name, value in self.record().items()} if self.record else {},
        )
        if nlpp is not None and (state.best_nlpp is None or nlpp < state.best_nlpp):
            for value, variable in zip(self.best, self.hyperparameters, strict=True):
                value.assign(variable)
            state = replace(state, best_iteration=now, best_nlpp=nlpp)
        self.state = replace(state, history=(*state.history, point), elbo_sum_before=bound)
        shown = {"ELBO": f"{point.elbo:.5g}"} | ({"validation NLPP": f"{nlpp:.4f}"} if nlpp is not None else {})
        bar.set_postfix(shown)
        self._save()

    def _is_recorded(self, iteration: int) -> bool:
        return bool(self.state.history) and self.state.history[-1].iteration >= iteration

    def _check_finite(self, bound: float) -> None:
        if not math.isfinite(bound):
            raise FloatingPointError(
                f"the bound is {bound} after {self.iteration} steps, expected a finite number: take a smaller "
                "learning_rate, longer lengthscales, or standardise the paths."
            )

    def _save(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.save(asdict(self.state))

    def leave(self) -> str:
        """Save what there is, after an interrupt; says how to go on."""
        done = f"training stopped after {self.iteration} of {len(_PHASES) * self.options.iterations} iterations"
        if self.checkpoints is None:
            return f"{done}; nothing is saved: give a checkpoint_dir to be able to go on."
        self._save()
        return f"{done}, saved in {self.checkpoints.folder}: go on by training again with the same data and options."
