"""Minibatch steps whose latent processes are shared out: each worker has q(u) of some of them."""

from collections.abc import Sequence

import gpflow
import tensorflow as tf
from gpflow.inducing_variables import MultioutputInducingVariables
from gpflow.kernels import MultioutputKernel
from gpflow.mean_functions import Zero
from gpflow.models import SVGP

from .options import TrainingOptions
from .steps import Steps, with_gradients
from .workers import Alone


def why_not_by_latents(model: SVGP, count: int) -> str | None:
    """What keeps the latent processes of a model from being shared out to so many workers; None: nothing."""
    q = model.q_mu, model.q_sqrt
    if model.num_latent_gps < count:
        return f"{model.num_latent_gps} latent processes"
    if isinstance(model.kernel, MultioutputKernel) or isinstance(model.inducing_variable, MultioutputInducingVariables):
        return f"the kernel {type(model.kernel).__name__} and {type(model.inducing_variable).__name__}"
    if not isinstance(model.mean_function, Zero):
        return f"the mean function {type(model.mean_function).__name__}"
    if type(model).elbo is not SVGP.elbo or type(model).predict_f is not SVGP.predict_f:
        return f"a bound of {type(model).__name__}'s own"
    if not all(part.trainable and part.prior is None for part in q):
        return "a q(u) that is fixed or has a prior"
    return None


class LatentSteps(Steps):
    """
    Steps on all rows of each minibatch, with a process' part of the latent processes.

    A step sends the means and variances of f at the minibatch, and the gradient by what is common to all latent
    processes. The parts of q(u), and of its optimizer, are brought together by :meth:`collect`.
    """

    def __init__(self, model: SVGP, options: TrainingOptions, workers: Alone) -> None:
        """:raises ValueError: for a model whose latent processes cannot be shared out."""
        if fault := why_not_by_latents(model, workers.size):
            raise ValueError(
                'share="latents" needs a model with one kernel for all latent processes, at least as many of these as '
                f'workers, here {workers.size}, no mean function and a trainable q(u), got {fault}: take share="rows".'
            )
        self._own = workers.share(model.num_latent_gps)
        self._whole = Steps(model, options)
        super().__init__(_part(model, self._own), options)
        self._workers = workers
        # What does not belong to single latent processes is that of the whole model.
        self._iteration, self._elbo_sum = self._whole._iteration, self._whole._elbo_sum
        self._groups[1] = self._whole._groups[1]
        self._local = {id(part.unconstrained_variable) for part in (self.model.q_mu, self.model.q_sqrt)}
        self._of_likelihood = {id(variable) for variable in model.likelihood.trainable_variables}
        self._pairs = [
            *zip(self._whole.variational, self.variational, strict=True),
            *zip(self._whole.variables()["optimizers"], super().variables()["optimizers"], strict=True),
        ]

    def variables(self) -> dict[str, list[tf.Variable]]:
        return self._whole.variables()

    def collect(self) -> None:
        for whole, part in self._pairs:
            if whole.shape == part.shape:
                whole.assign(part)
            else:
                before, after = self._around(whole.shape, part.shape)
                value = tf.pad(part, list(zip(before, after, strict=True)))
                whole.assign(self._workers.total(value.numpy()))

    def deal(self) -> None:
        for whole, part in self._pairs:
            if whole.shape == part.shape:
                part.assign(whole)
            else:
                before, _ = self._around(whole.shape, part.shape)
                part.assign(tf.slice(whole, before, part.shape))

    def _around(self, whole: Sequence[int], part: Sequence[int]) -> tuple[list[int], list[int]]:
        """How far a part of an array begins after the array's begin, and ends before its end, along each axis."""
        before = [0 if size == own else self._own.start for size, own in zip(whole, part, strict=True)]
        return before, [size - own - start for size, own, start in zip(whole, part, before, strict=True)]

    def _loss(self, minibatch: tuple[tf.Tensor, tf.Tensor], variables: list[tf.Variable]) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            misfit, rest = self._losses(*minibatch)
            loss = misfit + rest
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        # All have the whole gradient by the likelihood's parameters, of which one counts.
        counts = 1.0 if self._workers.is_chief else 0.0
        gradients = [
            counts * gradient if id(variable) in self._of_likelihood else gradient
            for variable, gradient in zip(variables, gradients, strict=True)
        ]
        common = [i for i, variable in enumerate(variables) if id(variable) not in self._local]
        rest, *sums = self._workers.sums([rest, *(gradients[i] for i in common)])
        for i, total in zip(common, sums, strict=True):
            gradients[i] = total
        return with_gradients(misfit + rest, gradients, variables)

    def _losses(self, X: tf.Tensor, Y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """
        The loss by the expectations, which is that of all latent processes, and this process' part of the rest.

        Its gradient reaches the parameters by this process' latent processes only. SVGP.elbo has the same terms.
        """
        model, whole = self.model, self._whole.model
        own = model.predict_f(X)
        before, after = self._own.start, whole.num_latent_gps - self._own.stop
        all_moments = self._workers.sums([tf.pad(tf.stop_gradient(part), [[0, 0], [before, after]]) for part in own])
        mean, variance = (
            tf.concat([every[:, : self._own.start], part, every[:, self._own.stop :]], axis=1)
            for every, part in zip(map(tf.stop_gradient, all_moments), own, strict=True)
        )
        expectations = tf.reduce_sum(whole.likelihood.variational_expectations(X, mean, variance, Y))
        scale = tf.cast(whole.num_data, expectations.dtype) / tf.cast(tf.shape(X)[0], expectations.dtype)
        rest = model.prior_kl()
        if self._workers.is_chief:
            rest -= whole.log_prior_density()
        return -scale * expectations, rest


def _part(model: SVGP, own: slice) -> SVGP:
    """A model of some of the latent processes, which shares everything but q(u) with the whole one."""
    q_diag = len(model.q_sqrt.shape) == 2
    return gpflow.models.SVGP(
        model.kernel,
        model.likelihood,
        model.inducing_variable,
        num_latent_gps=own.stop - own.start,
        q_diag=q_diag,
        q_mu=model.q_mu.numpy()[:, own],
        q_sqrt=model.q_sqrt.numpy()[:, own] if q_diag else model.q_sqrt.numpy()[own],
        whiten=model.whiten,
    )
