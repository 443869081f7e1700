"""Likelihoods of classes: how many they have, and how probable each is."""

import tensorflow as tf
import tensorflow_probability as tfp
from gpflow.likelihoods import Bernoulli, Likelihood, Ordinal


def num_classes(likelihood: Likelihood) -> int | None:
    """How many classes a likelihood has, numbered from 0; None where y is no class."""
    if isinstance(likelihood, Bernoulli):
        return 2
    if isinstance(likelihood, Ordinal):
        return int(likelihood.num_bins)
    return getattr(likelihood, "num_classes", None)


def class_probabilities(likelihood: Likelihood, X: tf.Tensor, f_mean: tf.Tensor, f_var: tf.Tensor) -> tf.Tensor:
    """
    p(y = c | x) of a likelihood with classes.

    :param X: inputs [N, ...].
    :param f_mean: means of f at them, [N, latents].
    :param f_var: variances of f at them, [N, latents].
    :return: [N, classes].
    """
    if isinstance(likelihood, Ordinal):
        # y <= c where f plus Gaussian noise of scale sigma is below edge c.
        edges = tf.convert_to_tensor(likelihood.bin_edges, f_mean.dtype)
        below = tfp.distributions.Normal(f_mean, tf.sqrt(f_var + likelihood.sigma**2)).cdf(edges)  # [N, classes - 1]
        return tf.concat([below, tf.ones_like(f_mean)], -1) - tf.concat([tf.zeros_like(f_mean), below], -1)
    mean, _ = likelihood.predict_mean_and_var(X, f_mean, f_var)
    return tf.concat([1 - mean, mean], axis=-1) if isinstance(likelihood, Bernoulli) else mean
