"""A gradient is taken where its kernel was computed: the plans of one device are not another's."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk

FUNCTIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "SignatureKernelGrad": lambda X: sk.signature_kernel(X, X),
    "SolveGoursatGrad": lambda p: sk.solve_goursat(p),
}


def devices_of_gradients(function: Callable[[tf.Tensor], tf.Tensor], op: str, forward: str, around: str) -> set[str]:
    """Those of the gradient's operations: the kernel is computed on ``forward`` and differentiated on ``around``."""

    @tf.function
    def gradient(X: tf.Tensor) -> tf.Tensor:
        with tf.device(around):
            with tf.GradientTape() as tape:
                tape.watch(X)
                with tf.device(forward):
                    k = function(X)
            return tape.gradient(k, X)

    graph = gradient.get_concrete_function(tf.TensorSpec([3, 5, 2], tf.float64)).graph
    return {each.device for each in graph.get_operations() if each.type == f"SigkernelTf{op}"}


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize(("forward", "around"), [("CPU:0", "GPU:0"), ("GPU:0", "CPU:0")])
def test_a_gradient_has_the_device_of_its_kernel(op: str, forward: str, around: str) -> None:
    """Neither device need be there: a traced function only says where its operations are to run."""
    assert devices_of_gradients(FUNCTIONS[op], op, forward, around) == {f"/device:{forward}"}


@pytest.mark.parametrize("op", FUNCTIONS)
def test_a_gradient_without_devices_can_run_anywhere(op: str) -> None:
    X = tf.constant(np.random.default_rng(0).normal(size=(3, 5, 2)))
    with tf.GradientTape() as tape:
        tape.watch(X)
        k = FUNCTIONS[op](X)
    assert np.all(np.isfinite(tape.gradient(k, X)))
    assert devices_of_gradients(FUNCTIONS[op], op, "", "") == {""}
