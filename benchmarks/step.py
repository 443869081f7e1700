"""
Where a training step of SigGPDE spends its time, at the settings of the paper's PenDigits experiment, on the CPU.

``python -m benchmarks.step`` times three things in turn and in one process: the step as ``train`` runs it in phase 2;
its kernel and features with their gradients; and what no training step of this model can do without in the rest. That
is the matrix products of the posterior and its gradients, and one update of as many variables by TensorFlow's fused
operation. Paths are standardised random walks of PenDigits' shape; times do not depend on the data beyond that.
"""

import argparse
import os
from collections.abc import Callable

import gpflow
import numpy as np
import tensorflow as tf

import sigkernel_tf as sk
from sigkernel_tf.gp import SigGPDE, TrainingOptions, flatten_paths
from sigkernel_tf.gp.data import as_rows
from sigkernel_tf.gp.training.steps import Steps

from .timing import alternately

BATCH, LENGTH, CHANNELS, INDUCING, CLASSES, NUM_DATA = 50, 8, 3, 500, 10, 7494


def build() -> tuple[SigGPDE, tuple[np.ndarray, np.ndarray]]:
    """The model of the paper's experiment, and a minibatch."""
    rng = np.random.default_rng(0)
    X = sk.paths.standardize(rng.normal(size=(BATCH, LENGTH, CHANNELS)).cumsum(axis=1))
    model = SigGPDE(
        CHANNELS,
        INDUCING,
        likelihood=gpflow.likelihoods.MultiClass(CLASSES),
        num_latent_gps=CLASSES,
        num_data=NUM_DATA,
        lengthscales=np.full(CHANNELS, 2.0),
    )
    gpflow.set_trainable(model.kernel.variance, False)
    return model, (flatten_paths(X), rng.integers(0, CLASSES, (BATCH, 1)))


def whole_step(
    model: gpflow.models.SVGP, data: tuple[np.ndarray, np.ndarray], optimizer: str = "nadam"
) -> Callable[[], object]:
    """A step of phase 2 on a minibatch as ``train`` runs it, in which everything is trained."""
    options = TrainingOptions(optimizer=optimizer, batch_size=len(data[0]))
    steps = Steps(model, options).compile(as_rows(data), with_hyperparameters=True)
    X, Y = (tf.constant(part[None]) for part in data)
    return lambda: steps(X, Y)


def kernel_and_features(model: SigGPDE, X: np.ndarray) -> Callable[[], object]:
    """k(x, x) and S_M(x) of the minibatch, and their gradient by the lengthscales."""
    inputs = tf.constant(X)
    lengthscales = model.kernel.lengthscales.unconstrained_variable

    @tf.function
    def run() -> tf.Tensor:
        with tf.GradientTape() as tape:
            S = model.kernel.features(inputs, INDUCING)
            total = tf.reduce_sum(S * S) + tf.reduce_sum(model.kernel(inputs, full_cov=False))
        return tape.gradient(total, lengthscales)

    return run


def bare_products() -> Callable[[], object]:
    """Sᵀ m, Lᵀ S and the products of their gradients, by TensorFlow's matmul on full matrices."""
    rng = np.random.default_rng(1)
    q_mu, S = tf.constant(rng.normal(size=(INDUCING, CLASSES))), tf.constant(rng.normal(size=(INDUCING, BATCH)))
    L = tf.constant(np.tril(rng.normal(size=(CLASSES, INDUCING, INDUCING))))
    by_mean = tf.constant(rng.normal(size=(BATCH, CLASSES)))
    by_product = tf.constant(rng.normal(size=(CLASSES, INDUCING, BATCH)))

    @tf.function
    def run() -> list[tf.Tensor]:
        return [
            tf.matmul(S, q_mu, transpose_a=True),
            tf.matmul(S, by_mean),
            tf.matmul(q_mu, by_mean, transpose_b=True),
            tf.matmul(L, S, transpose_a=True),
            tf.matmul(S, by_product, transpose_b=True),
            tf.matmul(L, by_product),
        ]

    return run


def bare_update(model: SigGPDE) -> Callable[[], object]:
    """One pass of TensorFlow's fused Adam over as many numbers as the model trains."""
    rng = np.random.default_rng(2)
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    x, m, v = (tf.Variable(rng.uniform(size=count)) for _ in range(3))
    gradient = tf.constant(rng.normal(size=count))
    names = ("beta1_power", "beta2_power", "lr", "beta1", "beta2", "epsilon")
    numbers = dict(zip(names, (tf.constant(n, tf.float64) for n in (0.5, 0.5, 1e-3, 0.9, 0.999, 1e-7)), strict=True))

    @tf.function
    def run() -> None:
        tf.raw_ops.ResourceApplyAdam(var=x.handle, m=m.handle, v=v.handle, grad=gradient, **numbers)

    return run


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="timings of each, of which the median counts")
    parser.add_argument("--optimizer", choices=("nadam", "adam"), default="nadam")
    parser.add_argument("--threads", type=int, default=2, help="TensorFlow's, within an operation")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    model, data = build()
    parts = {
        "step": whole_step(model, data, options.optimizer),
        "kernel, features and their gradients": kernel_and_features(model, data[0]),
        "bare matrix products": bare_products(),
        "bare update": bare_update(model),
    }
    seconds = dict(zip(parts, alternately(list(parts.values()), options.repeats), strict=True))
    step, kernel, products, update = seconds.values()
    shape = f"batch {BATCH}, M {INDUCING}, {CLASSES} classes, {LENGTH} points of {CHANNELS} channels, float64"
    print(f"{shape}, {options.optimizer}, {options.threads} threads on {os.cpu_count()} cores\n")
    for name, taken in seconds.items():
        print(f"{name:40} {taken * 1e3:8.2f} ms")
    print(f"\nkernel and features / step               {kernel / step:8.2f}    (aim: below 0.33)")
    print(f"the rest of the step / bare              {(step - kernel) / (products + update):8.2f}    (aim: below 1.5)")


if __name__ == "__main__":
    main()
