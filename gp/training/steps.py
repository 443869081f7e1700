"""A minibatch step: which parameters it changes, by which optimizer, and the compiled form of several steps."""

from collections.abc import Callable
from typing import Any

import gpflow
import tensorflow as tf
from gpflow.config import default_float
from gpflow.models import SVGP

from ..data import Rows
from .graphs import release
from .natural_gradients import natural_gradient
from .optimizers import make_optimizer
from .options import TrainingOptions
from .parameter_sets import parameter_sets


class Steps:
    """
    The parameters of a training, in two sets, and the optimizers that train them.

    The number of steps and the sum of the bounds are variables of the graph and change together with the parameters.
    So they still agree after an interrupt between two lines of Python.
    """

    def __init__(self, model: SVGP, options: TrainingOptions) -> None:
        """:raises ValueError: where the model has no trainable variational parameters, or none that the options fit."""
        self.model, self.options = model, options
        self.rows = slice(0, options.batch_size)
        """Which rows of a minibatch this process reads."""
        self.variational, self.hyperparameters = parameter_sets(model)
        if not self.variational:
            raise ValueError(
                "model must have trainable variational parameters, got none: undo gpflow.set_trainable(model.q_mu, "
                "False)."
            )
        by_gradient = self.variational
        self._natural: gpflow.optimizers.NaturalGradient | None = None
        if options.natural_gradient is not None:
            _check_natural(model)
            self._natural = natural_gradient(options.natural_gradient)
            natural = {id(part.unconstrained_variable) for part in (model.q_mu, model.q_sqrt)}
            by_gradient = [variable for variable in self.variational if id(variable) not in natural]
        # There is one for each set, as a common one would count phase 1's steps for hyperparameters that had not moved.
        self._groups = [
            (make_optimizer(options.optimizer, options.learning_rate, variables) if variables else None, variables)
            for variables in (by_gradient, self.hyperparameters)
        ]
        self._iteration = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._elbo_sum = tf.Variable(0.0, dtype=default_float(), trainable=False)
        self._compiled: list[Any] = []

    @property
    def iteration(self) -> int:
        """The number of steps so far."""
        return int(self._iteration)

    @property
    def elbo_sum(self) -> float:
        """The sum of the bounds of all minibatches so far."""
        return float(self._elbo_sum)

    def variables(self) -> dict[str, list[tf.Variable]]:
        """All variables that a step changes, by name."""
        slots = [slot.value for optimizer, _ in self._groups if optimizer for slot in optimizer.variables]
        return {
            "variational": self.variational,
            "hyperparameters": self.hyperparameters,
            "optimizers": slots,
            "progress": [self._iteration, self._elbo_sum],
        }

    def collect(self) -> None:
        """Bring the model and :meth:`variables` up to date, where each process has only a part of them."""

    def deal(self) -> None:
        """Take the model and :meth:`variables` as they are, where each process has only a part of them."""

    def compile(self, data: Rows, *, with_hyperparameters: bool) -> Callable[[tf.Tensor, tf.Tensor], None]:
        """A graph of several minibatch steps, which takes X [steps, B, ...] and Y [steps, B, P], of ``rows`` B."""
        groups = [group for group in self._groups[: 2 if with_hyperparameters else 1] if group[0] is not None]
        size = self.rows.stop - self.rows.start
        signature = [tf.TensorSpec([None, size, *spec.shape[1:]], spec.dtype) for spec in data.specs()]

        # Without AutoGraph, which the loop does not need, an error raised while tracing comes out as it was raised.
        @tf.function(input_signature=signature, autograph=False)
        def steps(X: tf.Tensor, Y: tf.Tensor) -> None:
            def step(i: tf.Tensor) -> tuple[tf.Tensor]:
                self._step(groups, (X[i], Y[i]))
                return (i + 1,)

            tf.while_loop(lambda i: i < tf.shape(X)[0], step, (0,))

        self._compiled.append(steps.get_concrete_function())
        return self._compiled[-1]

    def release(self) -> None:
        """Give the memory of the compiled steps back, once training is over."""
        release(self._compiled)
        self._compiled.clear()

    def _loss(self, minibatch: tuple[tf.Tensor, tf.Tensor], variables: list[tf.Variable]) -> tf.Tensor:
        """The loss of a minibatch, which is to be differentiated by these variables."""
        return self.model.training_loss(minibatch)

    def _step(self, groups: list, minibatch: tuple[tf.Tensor, tf.Tensor]) -> None:
        natural = self._natural
        if natural is not None:
            q = self.model.q_mu, self.model.q_sqrt

            def loss_before() -> tf.Tensor:
                loss = self._loss(minibatch, [part.unconstrained_variable for part in q])
                self._elbo_sum.assign_sub(loss)
                return loss

            natural.minimize(loss_before, [q])
        if groups:
            variables = [variables for _, variables in groups]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                loss = self._loss(minibatch, [variable for chosen in variables for variable in chosen])
            # The bound need not depend on every hyperparameter.
            gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            for (optimizer, chosen), gradient in zip(groups, gradients, strict=True):
                optimizer.apply_gradients(zip(gradient, chosen, strict=True))
            if natural is None:
                self._elbo_sum.assign_sub(loss)
        self._iteration.assign_add(1)


def with_gradients(loss: tf.Tensor, gradients: list[tf.Tensor], variables: list[tf.Variable]) -> tf.Tensor:
    """The loss as a function whose gradients by these variables are known already."""

    @tf.custom_gradient
    def function(*_: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return tf.identity(loss), lambda upstream: [upstream * gradient for gradient in gradients]

    return function(*(tf.convert_to_tensor(variable) for variable in variables))


def _check_natural(model: SVGP) -> None:
    if len(model.q_sqrt.shape) != 3:
        raise ValueError(
            "natural_gradient needs a full covariance of q(u), got a model with q_diag=True: "
            "leave q_diag or natural_gradient out."
        )
    if not (model.q_mu.trainable and model.q_sqrt.trainable):
        raise ValueError(
            "natural_gradient must be None where q_mu or q_sqrt are fixed, but they are not trainable: undo "
            "gpflow.set_trainable(..., False), or leave natural_gradient out."
        )
