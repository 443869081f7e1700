"""The compiled operations, called with inputs that no function of the package gives them, say so and do not crash."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sigkernel_tf import FiniteDifference, PowerSeries, _library
from sigkernel_tf.goursat import Solver, solver_attributes

RNG = np.random.default_rng(7)
# What no forward operation writes: too negative or too small a degree, one between those of the ladder, one above it,
# too large a refinement, and the two marks of a pair that was not solved.
FORGED = [-1, -2, -(2**31), 0, 1, 11, 49, 255, 4 | 9 << 8, 4 | 31 << 8, 4 | 1 << 16, 2**31 - 1]


def paths(dtype: tf.DType, count: int = 3, length: int = 5) -> tf.Tensor:
    return tf.constant(RNG.standard_normal([count, length, 2]) / 2, dtype)


def kernel(X: tf.Tensor, Y: tf.Tensor, **attributes: Any) -> Any:
    one, no_lengths = tf.ones([], X.dtype), tf.zeros([0], tf.int32)
    return _library.ops().sigkernel_tf_signature_kernel(
        X, Y, one, no_lengths, no_lengths, static_kernel="linear", difference=True, **attributes
    )


def gradient(X: tf.Tensor, Y: tf.Tensor, plan: Any, upstream: Any, **attributes: Any) -> Any:
    one, no_lengths = tf.ones([], X.dtype), tf.zeros([0], tf.int32)
    upstream = tf.cast(upstream, X.dtype)
    return _library.ops().sigkernel_tf_signature_kernel_grad(
        X, Y, one, no_lengths, no_lengths, plan, upstream, static_kernel="linear", difference=True, **attributes
    )


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("pairing", ["pairs", "gram", "symmetric_gram", "diagonal"])
def test_a_forged_plan_of_paths(pairing: str, dtype: tf.DType) -> None:
    X = paths(dtype)
    attributes = solver_attributes(PowerSeries(), dtype) | {"pairing": pairing}
    k, plan = kernel(X, X, **attributes)
    gradient(X, X, plan, tf.ones_like(k), **attributes)  # the true one is taken
    for entry in FORGED:
        forged = plan.numpy()
        forged.flat[1] = entry
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"plan must be .* got {entry} in its entry 1"):
            gradient(X, X, forged, tf.ones_like(k), **attributes)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda dtype: dtype.name)
def test_a_forged_plan_of_increments(dtype: tf.DType) -> None:
    increments = tf.constant(RNG.standard_normal([2, 3, 4]) / 2, dtype)
    attributes = solver_attributes(PowerSeries(), dtype)
    ops = _library.ops()
    k, plan = ops.sigkernel_tf_solve_goursat(increments, **attributes)
    ops.sigkernel_tf_solve_goursat_grad(increments, plan, tf.ones_like(k), **attributes)
    for entry in FORGED:
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"plan must be .* got {entry} in its entry 0"):
            ops.sigkernel_tf_solve_goursat_grad(increments, [entry, plan[1]], tf.ones_like(k), **attributes)


def test_a_plan_of_one_channel_that_was_not_solved() -> None:
    """No sweep reads it, but a pair that was not solved has no gradient."""
    X = tf.constant(RNG.standard_normal([3, 5, 1]))
    attributes = solver_attributes(PowerSeries(), tf.float64) | {"pairing": "pairs"}
    _, plan = kernel(X, X, **attributes)
    gradient(X, X, plan, tf.ones([3]), **attributes)
    with pytest.raises(tf.errors.InvalidArgumentError, match="got -1 in its entry 2"):
        gradient(X, X, [plan[0], plan[1], -1], tf.ones([3]), **attributes)


@pytest.mark.parametrize("solver", [FiniteDifference(1), FiniteDifference(0, "theorem_4_1")], ids=str)
def test_a_plan_of_finite_differences_is_zero(solver: Solver) -> None:
    X = paths(tf.float64)
    attributes = solver_attributes(solver, X.dtype) | {"pairing": "pairs"}
    gradient(X, X, [0, 0, 0], tf.ones([3]), **attributes)
    for entry in (-1, 4, 1 << 8):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"got {entry} in its entry 2"):
            gradient(X, X, [0, 0, entry], tf.ones([3]), **attributes)


def test_a_degree_that_only_float64_has() -> None:
    for dtype, is_refused in ((tf.float64, False), (tf.float32, True)):
        X, attributes = paths(dtype, count=1), solver_attributes(PowerSeries(), dtype) | {"pairing": "pairs"}
        if not is_refused:
            gradient(X, X, [24], [1.0], **attributes)
            continue
        with pytest.raises(tf.errors.InvalidArgumentError, match="the same solver and dtype"):
            gradient(X, X, [24], [1.0], **attributes)


@pytest.mark.parametrize("pairing", ["pairs", "gram"])
def test_a_plan_and_an_upstream_of_other_shapes(pairing: str) -> None:
    X = paths(tf.float64, count=2)
    attributes = solver_attributes(PowerSeries(), X.dtype) | {"pairing": pairing}
    shape = [2] if pairing == "pairs" else [2, 2]
    good, bad = 4 * np.ones(shape, np.int32), 4 * np.ones([*shape, 1], np.int32)
    gradient(X, X, good, good, **attributes)
    for plan, upstream in ((bad, good), (good, bad), (4, good), (good.ravel()[:1], good)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"plan and upstream must have the shape \[2"):
            gradient(X, X, plan, upstream, **attributes)


def test_a_symmetric_pairing_of_two_sets() -> None:
    """Half of the pairs would be written to places that the smaller set does not have."""
    attributes = solver_attributes(PowerSeries(), tf.float64)
    for pairing in ("symmetric_gram", "diagonal"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="a symmetric pairing takes X as Y too"):
            kernel(paths(tf.float64, count=5), paths(tf.float64, count=2), **attributes, pairing=pairing)


def test_a_dyadic_order_that_cannot_be_counted() -> None:
    X = paths(tf.float64)
    attributes = solver_attributes(FiniteDifference(), X.dtype) | {"dyadic_order": 62, "pairing": "pairs"}
    with pytest.raises(tf.errors.InvalidArgumentError, match="dyadic_order must be between 0 and 15, got 62"):
        kernel(X, X, **attributes)
