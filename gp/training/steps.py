"""One minibatch step: what it changes, by which rule, and its compiled form."""

from collections.abc import Callable

import gpflow
import tensorflow as tf
from gpflow.config import default_float
from gpflow.models import SVGP

from ..data import Rows
from .natural_gradients import natural_gradient
from .optimizers import make_optimizer
from .options import TrainingOptions


class Steps:
    """
    The parameters of a training in two sets, and the rules that change them.

    The step count and the sum of the bounds are variables of the graph: they change together with the parameters, so
    that an interrupt between two lines of Python cannot tear them apart.
    """

    def __init__(self, model: SVGP, options: TrainingOptions) -> None:
        """:raises ValueError: for a model without variational parameters to train, or none that the options can."""
        self.model, self.options = model, options
        self.variational, self.hyperparameters = _parameter_sets(model)
        by_gradient = self.variational
        self._natural: gpflow.optimizers.NaturalGradient | None = None
        if options.natural_gradient is not None:
            _check_natural(model)
            self._natural = natural_gradient(options.natural_gradient)
            natural = {id(part.unconstrained_variable) for part in (model.q_mu, model.q_sqrt)}
            by_gradient = [variable for variable in self.variational if id(variable) not in natural]
        # One for each set: a common one would count phase 1's steps for hyperparameters that had not moved.
        self._groups = [
            (make_optimizer(options.optimizer, options.learning_rate, variables) if variables else None, variables)
            for variables in (by_gradient, self.hyperparameters)
        ]
        self._iteration = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._elbo_sum = tf.Variable(0.0, dtype=default_float(), trainable=False)

    @property
    def iteration(self) -> int:
        """Steps done."""
        return int(self._iteration)

    @property
    def elbo_sum(self) -> float:
        """Sum of the bounds of all minibatches so far."""
        return float(self._elbo_sum)

    def variables(self) -> dict[str, list[tf.Variable]]:
        """All that a step changes."""
        slots = [slot.value for optimizer, _ in self._groups if optimizer for slot in optimizer.variables]
        return {
            "variational": self.variational,
            "hyperparameters": self.hyperparameters,
            "optimizers": slots,
            "progress": [self._iteration, self._elbo_sum],
        }

    def compile(self, data: Rows, *, with_hyperparameters: bool) -> Callable[[tf.Tensor, tf.Tensor], None]:
        """Several minibatch steps as one graph, from X [steps, batch_size, ...] and Y [steps, batch_size, P]."""
        groups = [group for group in self._groups[: 2 if with_hyperparameters else 1] if group[0] is not None]
        size = self.options.batch_size
        signature = [tf.TensorSpec([None, size, *spec.shape[1:]], spec.dtype) for spec in data.specs()]

        # Without AutoGraph, which the loop does not need, an error raised while tracing comes out as it was raised.
        @tf.function(input_signature=signature, autograph=False)
        def steps(X: tf.Tensor, Y: tf.Tensor) -> None:
            def step(i: tf.Tensor) -> tuple[tf.Tensor]:
                self._step(groups, (X[i], Y[i]))
                return (i + 1,)

            tf.while_loop(lambda i: i < tf.shape(X)[0], step, (0,))

        return steps.get_concrete_function()

    def _step(self, groups: list, minibatch: tuple[tf.Tensor, tf.Tensor]) -> None:
        natural = self._natural
        if natural is not None:

            def loss_before() -> tf.Tensor:
                loss = self.model.training_loss(minibatch)
                self._elbo_sum.assign_sub(loss)
                return loss

            natural.minimize(loss_before, [(self.model.q_mu, self.model.q_sqrt)])
        if groups:
            variables = [variables for _, variables in groups]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                loss = self.model.training_loss(minibatch)
            # A hyperparameter need not matter to the bound.
            gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            for (optimizer, chosen), gradient in zip(groups, gradients, strict=True):
                optimizer.apply_gradients(zip(gradient, chosen, strict=True))
            if natural is None:
                self._elbo_sum.assign_sub(loss)
        self._iteration.assign_add(1)


def _check_natural(model: SVGP) -> None:
    if len(model.q_sqrt.shape) != 3:
        raise ValueError(
            "natural_gradient needs a full covariance of q(u), got a model with q_diag=True: "
            "leave q_diag or natural_gradient out."
        )
    if not (model.q_mu.trainable and model.q_sqrt.trainable):
        raise ValueError(
            "natural_gradient trains q_mu and q_sqrt, but they are not trainable: leave out gpflow.set_trainable(..., "
            "False), for the optimizer does not touch them."
        )


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
