"""Minibatch steps whose rows are shared out: each process differentiates its part of the loss, and all add these up."""

import tensorflow as tf
from gpflow.models import SVGP

from .options import TrainingOptions
from .steps import Steps, with_gradients
from .workers import Alone


class RowSteps(Steps):
    """
    Steps on a process' part of the rows of each minibatch, with the loss and the gradients of all of it.

    A step sends the gradient by all parameters, once, whatever the number of rows.
    """

    def __init__(self, model: SVGP, options: TrainingOptions, workers: Alone) -> None:
        """:raises ValueError: for fewer rows in a minibatch than processes."""
        if options.batch_size < workers.size:
            raise ValueError(
                f"batch_size must be at least {workers.size}, the number of workers, of which each takes a part of "
                f"the batch, got {options.batch_size}: take a larger batch_size, or fewer workers."
            )
        super().__init__(model, options)
        self._workers = workers
        self.rows = workers.share(options.batch_size)
        self._weight = (self.rows.stop - self.rows.start) / options.batch_size

    def _loss(self, minibatch: tuple[tf.Tensor, tf.Tensor], variables: list[tf.Variable]) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = self._weight * super()._loss(minibatch, variables)
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        loss, *gradients = self._workers.sums([loss, *gradients])
        return with_gradients(loss, gradients, variables)
