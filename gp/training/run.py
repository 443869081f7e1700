"""Training a sparse variational Gaussian process in the three phases of the paper's appendix B.2."""

import functools
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.models import SVGP
from tqdm.auto import tqdm

from ..data import Rows, as_rows, minibatches
from ..data.datasets import spooled
from ..data.digest import digest
from ..inducing_variables import has_orthogonal_features
from ..posteriors import check_residual
from ..prediction.evaluation import Evaluator
from .checkpoints import Checkpoints
from .fingerprint import settings, values_digest, versions
from .options import TrainingOptions
from .parameter_sets import parameter_sets
from .results import PHASES, MonitorPoint, TrainingResult, is_over, phase_start, recorded_numbers
from .shared_evaluation import SharedEvaluator
from .sharing import make_steps
from .tensorboard import TensorBoard
from .validation_split import RowsBut, split_rows
from .workers import Alone, as_workers

# An interrupt is answered between two calls of a graph. A call of several steps takes about this long, at most.
_CALL_SECONDS = 0.5
_STEPS_PER_CALL = 25
_VALIDATED_AT_ONCE = (50, 500)  # the least and the most series in a call of the evaluation
_NOT_FINITE = "NaN or Inf"  # in GPflow's error for a value that a parameter cannot take
# In the errors of TensorFlow, of GPflow and of this library's operations for numbers that overflow or are NaN.
_DIVERGED = re.compile("NaN|finite|overflow|not successful|not invertible")
# What TensorFlow writes around the message of an operation: where in the graph and in which lines of Python it stands.
_NOTES = re.compile(r"^([ \t].*|Graph execution error:|Detected at node .*)$|\{\{.*?\}\}|\[Op:\w+\]", re.MULTILINE)
_RESIDUAL_CHECKS = 1000  # paths on which the residual is checked before training


def train(
    model: SVGP,
    data: tuple[Any, Any] | tf.data.Dataset,
    options: TrainingOptions = TrainingOptions(),
    *,
    validation: Any = None,
    record: Callable[[], Mapping[str, float]] | None = None,
    strategy: tf.distribute.Strategy | None = None,
    share: str | None = None,
) -> TrainingResult:
    """
    Train a sparse variational Gaussian process in the three equal phases of the paper's appendix B.2.

    A part of the data is split off for validation. Phase 1 trains only the variational parameters: ``q_mu``, ``q_sqrt``
    and trainable inducing variables. Phase 2 also trains the hyperparameters, which are all other trainable parameters.
    Phase 3 trains the variational parameters on all the data, validation split included, with the hyperparameters that
    gave the lowest NLPP on the validation split. ``model.num_data`` is set to the number of series trained on.

    Each of the two sets of parameters has an optimizer of its own. A common one would count phase 1's steps for
    hyperparameters that had not moved; its bias correction would have faded by then, and the first steps of these
    parameters would be several times too large.

    With ``natural_gradient``, q_mu and q_sqrt take GPflow's natural gradient steps instead. Far fewer of these reach
    the same bound, but each costs several inversions of M × M matrices. With likelihoods that are not log-concave
    (``MultiClass``) a whole step can leave q(u) without a covariance; it is then halved until enough of the precision
    stays.

    With ``checkpoint_dir``, a training that was stopped, in whatever way, goes on from its last checkpoint and reaches
    the same result, as minibatches depend only on the seed and the iteration. Call this function again with the same
    data and options, and with the model built as it was or as an interrupt left it; a checkpoint of other settings or
    starting values is refused. Ctrl-C saves a checkpoint first; it is answered after about half a second, or after one
    step where that takes longer. A process that is killed loses the steps since the last evaluation. While a training
    runs, no other one can use its ``checkpoint_dir``. Likelihoods that draw random numbers of their own (``Softmax``)
    take them from TensorFlow: seed it with ``tf.random.set_seed``. A resumed training then sees other draws.

    With a ``strategy``, several processes share the work: each runs the same script, and computes a part of every
    minibatch. All end with the same parameters, which are those of a single process up to rounding. The first process
    alone writes checkpoints, TensorBoard's files and the progress bar, and calls ``record``. An interrupt of any of
    them, by Ctrl-C or SIGTERM, stops all. Where one is lost, the others stop with an error; start all of them again.

    >>> result = train(model, (rows, Y), TrainingOptions(iterations=2, batch_size=10, progress=False))

    :param model: :class:`~sigkernel_tf.gp.SigGPDE` or any ``gpflow.models.SVGP``; trained in place.
    :param data: X [N, W] and Y [N, P], as the model takes them (classes: integers from 0, P = 1): arrays, or files
        larger than memory of which only minibatches are read, such as memory-mapped arrays and what
        :func:`~sigkernel_tf.gp.read_tfrecords` returns. A finite ``tf.data.Dataset`` of such pairs, by rows or by
        batches, has no rows to choose from, and is written to temporary files first.
    :param options: see :class:`TrainingOptions`.
    :param validation: the numbers of the rows to validate on, for a split by time or by group. None: the part
        ``validation_fraction`` of the rows is drawn at random.
    :param record: called at every evaluation. The numbers that it returns by name, such as the accuracy on a test set,
        are kept in the history and have no influence on the training.
    :param strategy: what :func:`~sigkernel_tf.gp.connect_workers` returns, or another
        ``tf.distribute.MultiWorkerMirroredStrategy`` with one device in each process. None: this process trains alone.
    :param share: how several processes share the work. ``"rows"``: each computes a part of the rows of a minibatch, and
        the gradient by all parameters is sent, which pays for long paths. ``"latents"``: each computes all rows for a
        part of the latent processes, which pays where q(u) costs more than the paths. None: what costs less by a rule
        of thumb.
    :raises ValueError: for a NaN or an infinity in the data, naming the row (in arrays before the first step, in files
        before the step that would use the row); for other data that the model cannot take, a model with another number
        of latent processes than its multioutput kernel has, a split with too few series, a checkpoint that is damaged
        or another training's, and a ``checkpoint_dir`` that another training is using; for workers whose data, options,
        models or versions differ, more workers than the batch has rows, and no strategy where TF_CONFIG names several.
    :raises TypeError: for a model or options of another type, another kind of strategy, and a ``record`` that does not
        return numbers by name.
    :raises FloatingPointError: where the training diverges: the bound or the NLPP on the validation split is no longer
        a number, the kernel overflows, or a matrix cannot be factorised.
    :raises RuntimeError: where another worker has failed or was lost.
    """
    if not isinstance(model, SVGP):
        raise TypeError(
            f"model must be a gpflow.models.SVGP, as SigGPDE is, got {type(model).__name__}: train that with "
            "gpflow.optimizers.Scipy."
        )
    if not isinstance(options, TrainingOptions):
        raise TypeError(
            f"options must be TrainingOptions, got {type(options).__name__}: for instance TrainingOptions(seed=1). "
            "X and Y are one argument, data=(X, Y)."
        )
    if record is not None and not callable(record):
        raise TypeError(f"record must be a function that returns numbers by name, got {record!r}.")
    workers = as_workers(strategy)
    with ExitStack() as held:
        held.enter_context(workers.lost_workers())
        with workers.together():
            if isinstance(data, tf.data.Dataset):
                data = spooled(data, Path(held.enter_context(tempfile.TemporaryDirectory(prefix="sigkernel_tf-"))))
            rows = as_rows(data, model.likelihood)
            run = _Run(model, rows, options, validation, record, workers, share)
        run.check_same()
        with workers.together():
            held.enter_context(run.alone())
        held.enter_context(workers.asked_to_stop())
        run.begin()
        try:
            return run.to_the_end()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(run.leave()) from None
        finally:
            run.steps.release()


def _steps_at_once(seconds: float) -> int:
    """How many steps that take so long each are taken in one call of the graph."""
    return int(np.clip(_CALL_SECONDS / max(seconds, 1e-9), 1, _STEPS_PER_CALL))


@dataclass(frozen=True)
class _State:
    """What a run knows beside its variables. It is replaced as a whole, so that an interrupt leaves no mix of two."""

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
    """One training, from its beginning, or its checkpoint, to its end."""

    def __init__(
        self,
        model: SVGP,
        data: Rows,
        options: TrainingOptions,
        validation: Any,
        record: Callable[[], Mapping[str, float]] | None,
        workers: Alone,
        share: str | None,
    ) -> None:
        self.model, self.data, self.options, self.workers = model, data, options, workers
        self.record = record if workers.is_chief else None
        self.training, held_out = split_rows(len(data), options, validation)
        self.chosen = {} if validation is None else {"validation": digest(held_out)}  # in the fingerprint, too
        # In batches of a step's size, so that an interrupt is answered as soon as between two steps. Measured times do
        # not decide it, so that a resumed training rounds its scores as the interrupted one did.
        batch_size = int(np.clip(options.batch_size, *_VALIDATED_AT_ONCE))
        self.steps = make_steps(model, options, workers, share, data.specs()[0].shape[1])
        self.validate: Evaluator | SharedEvaluator
        if workers.size == 1:
            self.validate = Evaluator(model, data.subset(held_out), batch_size=batch_size)
        else:
            self.validate = SharedEvaluator(model, data.subset(held_out), workers, batch_size=batch_size)
        self.best = [tf.Variable(variable, trainable=False) for variable in self.steps.hyperparameters]
        self.state = _State()
        self.board: TensorBoard | None = None
        if options.tensorboard_dir is not None and workers.is_chief:
            self.board = TensorBoard(options.tensorboard_dir, model)
        self.checkpoints: Checkpoints | None = None
        if options.checkpoint_dir is not None and workers.is_chief:
            self.checkpoints = Checkpoints(
                options.checkpoint_dir, self._variables(), self.fingerprint, lambda: values_digest(model)
            )

    def alone(self) -> AbstractContextManager[None]:
        """While it lasts, no other training can use the same ``checkpoint_dir``."""
        return nullcontext() if self.checkpoints is None else self.checkpoints.locked()

    def begin(self) -> None:
        """Go back to the last checkpoint, where there is one."""
        with self.workers.together():
            found = None if self.checkpoints is None else self.checkpoints.restore(_State.from_json)
        saved = self.workers.from_chief(None if found is None else asdict(found))
        if saved is not None:
            self.state = _State.from_json(saved)
        everything = [*self.model.variables, *(one for part in self._variables().values() for one in part)]
        self.workers.copy_from_chief(list({id(variable): variable for variable in everything}.values()))
        self.steps.deal()
        if self.steps.iteration == 0:
            with self.workers.together():
                self._check_residual()

    def _variables(self) -> dict[str, list[tf.Variable]]:
        return {**self.steps.variables(), "best": self.best}

    def check_same(self) -> None:
        """:raises ValueError: where another worker has other data, options or versions, or another model."""
        if self.workers.size > 1:
            self.workers.check_same({**self.fingerprint, **versions(), "share": type(self.steps).__name__})

    @functools.cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be resumed, and on all workers."""
        shapes = [variable.shape.as_list() for part in parameter_sets(self.model) for variable in part]
        return {
            **self.options.as_fingerprint(),
            **self.chosen,
            **settings(self.model),
            "parameter_shapes": shapes,
            "data": self.data.digest(),
        }

    def _check_residual(self) -> None:
        if has_orthogonal_features(self.model.inducing_variable) and self.workers.is_chief:
            X, _ = self.data.read(slice(0, _RESIDUAL_CHECKS))
            with self._divergence():
                check_residual(self.model.kernel, self.model.inducing_variable, X)

    def to_the_end(self) -> TrainingResult:
        total = len(PHASES) * self.options.iterations
        hidden = not (self.options.progress and self.workers.is_chief)
        with tqdm(total=total, initial=self.steps.iteration, unit="it", disable=hidden) as bar:
            for phase in PHASES:
                if not self._is_over(phase):
                    self._run_phase(phase, bar)
        self.model.num_data = len(self.data)
        timed = self.state.steps_timed
        return TrainingResult(
            history=self.state.history,
            best_iteration=self.state.best_iteration,
            seconds_per_iteration=self.state.seconds / timed if timed else math.nan,
        )

    def _is_over(self, phase: int) -> bool:
        return is_over(self.state.history, phase, self.options.iterations, self.options.patience)

    def _run_phase(self, phase: int, bar: tqdm) -> None:
        end, every = phase_start(self.state.history, phase) + self.options.iterations, self.options.monitor_every
        bar.set_description(f"phase {phase}/{len(PHASES)}")
        if phase == 3:  # which does not change them: doing this again when resuming is harmless
            for variable, value in zip(self.steps.hyperparameters, self.best, strict=True):
                variable.assign(value)
        population = self.training if phase < 3 else RowsBut(len(self.data), np.empty(0, np.int64))
        self.model.num_data = len(population)
        steps, warm, at_once = self.steps.compile(self.data, with_hyperparameters=phase == 2), False, 1
        while True:
            now = self.steps.iteration
            if now > 0 and (now % every == 0 or now == end) and not self._is_recorded(now):
                self._monitor(phase, now, bar)
            if self._is_over(phase):
                return
            # The first step also optimises the graph, so it is a call of its own that is not timed.
            count = min(at_once, end - now, every - now % every)
            chosen = minibatches(len(population), self.options.batch_size, self.options.seed, now, count)
            with self.workers.together():
                X, Y = self.data.read(population[chosen[:, self.steps.rows]])
            elapsed, is_to_stop = self.workers.check_stop(self._call(steps, X, Y))
            if is_to_stop:
                self.steps.collect()
                raise KeyboardInterrupt
            if warm:
                self.state = replace(
                    self.state, seconds=self.state.seconds + elapsed, steps_timed=self.state.steps_timed + count
                )
                at_once = _steps_at_once(elapsed / count)
            warm = True
            self._check_finite(self.steps.elbo_sum)
            bar.update(count)

    def _call(self, steps: Callable[[tf.Tensor, tf.Tensor], None], X: np.ndarray, Y: np.ndarray) -> float:
        """Run some steps.

        :return: the seconds that they took.
        """
        start = time.perf_counter()
        with self._divergence():
            steps(tf.constant(X), tf.constant(Y))
            _ = self.steps.iteration  # waits for the steps to end
        return time.perf_counter() - start

    @contextmanager
    def _divergence(self) -> Iterator[None]:
        """Turns TensorFlow's errors about numbers that overflow or are NaN into a FloatingPointError with the cure."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            if not _DIVERGED.search(error.message):
                raise
            done, natural = self.steps.iteration, self.options.natural_gradient
            if natural is not None and _NOT_FINITE in error.message:
                raise FloatingPointError(
                    f"the natural gradient after {done} steps is not finite: take a smaller natural_gradient than "
                    f"{natural}, longer lengthscales, or standardise the paths."
                ) from error
            cause = " ".join(_NOTES.sub("", error.message).split())
            raise FloatingPointError(
                f"the training has diverged after {done} steps: {self._cures()}. TensorFlow's error was: {cause}"
            ) from error

    def _monitor(self, phase: int, now: int, bar: tqdm) -> None:
        """Evaluate on the validation split, keep the hyperparameters if they are the best so far, and save."""
        self.steps.collect()
        state, bound = self.state, self.steps.elbo_sum
        done_before = state.history[-1].iteration if state.history else 0
        with self._divergence():
            nlpp = self.validate().nlpp if phase < 3 else None
        if nlpp is not None and math.isnan(nlpp):
            raise FloatingPointError(
                f"the NLPP on the validation split is NaN after {now} steps, expected a number: {self._cures()}."
            )
        with self.workers.together():
            try:
                recorded = recorded_numbers(self.record)
            except Exception:
                self._save()  # the steps so far; a resumed training repeats this evaluation
                raise
        point = MonitorPoint(
            iteration=now,
            phase=phase,
            elbo=(bound - state.elbo_sum_before) / (now - done_before),
            validation_nlpp=nlpp,
            recorded=self.workers.from_chief(recorded),
        )
        if nlpp is not None and (state.best_nlpp is None or nlpp < state.best_nlpp):
            for value, variable in zip(self.best, self.steps.hyperparameters, strict=True):
                value.assign(variable)
            state = replace(state, best_iteration=now, best_nlpp=nlpp)
        self.state = replace(state, history=(*state.history, point), elbo_sum_before=bound)
        shown = {"ELBO": f"{point.elbo:.5g}"} | ({"validation NLPP": f"{nlpp:.4f}"} if nlpp is not None else {})
        bar.set_postfix(shown)
        with self.workers.together():
            if self.board is not None:
                self.board.write(point)
            self._save()

    def _is_recorded(self, iteration: int) -> bool:
        return bool(self.state.history) and self.state.history[-1].iteration >= iteration

    def _check_finite(self, bound: float) -> None:
        if not math.isfinite(bound):
            raise FloatingPointError(
                f"the bound is {bound} after {self.steps.iteration} steps, expected a finite number: {self._cures()}."
            )

    def _cures(self) -> str:
        cures = "take a smaller learning_rate, longer lengthscales, or standardise the paths"
        if has_orthogonal_features(self.model.inducing_variable):
            return cures
        return f"{cures}, or, where Kuu is nearly singular, take gpflow.config.set_default_jitter(1e-4)"

    def _save(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.save(asdict(self.state))

    def leave(self) -> str:
        """Save a checkpoint after an interrupt.

        :return: a message that says how to go on.
        """
        total = len(PHASES) * self.options.iterations
        done = f"training stopped after {self.steps.iteration} of {total} iterations"
        if not self.workers.is_chief:
            return f"{done}, as all workers have; the message of worker 0 says whether they can go on."
        if self.checkpoints is None:
            return f"{done}; nothing is saved: give a checkpoint_dir to be able to go on."
        self._save()
        return f"{done}, saved in {self.checkpoints.folder}: go on by training again with the same data and options."
