"""flatten_paths: every kind of path to GPflow's [N, L * D]."""

import gpflow
import numpy as np
import pytest
import tensorflow as tf

from sigkernel_tf.gp import flatten_paths

SHORT, LONG = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
FLAT = [[1.0, 2.0, 1.0, 2.0, 1.0, 2.0], [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]
WITH_NAN = np.stack([np.concatenate([SHORT, np.full((2, 2), np.nan)]), LONG])


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param([SHORT, LONG], id="list"),
        pytest.param(WITH_NAN, id="trailing NaN"),
        pytest.param(np.array(FLAT).reshape(2, 3, 2), id="array"),
    ],
)
def test_numpy_stays_numpy(paths: list[np.ndarray] | np.ndarray) -> None:
    flat = flatten_paths(paths)
    assert isinstance(flat, np.ndarray)
    assert flat.dtype == np.float64
    np.testing.assert_array_equal(flat, FLAT)


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(tf.RaggedTensor.from_row_splits(np.concatenate([SHORT, LONG]), [0, 1, 4]), id="ragged"),
        pytest.param(tf.constant(WITH_NAN), id="trailing NaN"),
        pytest.param(tf.reshape(tf.constant(FLAT), [2, 3, 2]), id="tensor, float32"),
    ],
)
def test_tensors_stay_tensors(paths: tf.Tensor | tf.RaggedTensor) -> None:
    flat = flatten_paths(paths)
    assert isinstance(flat, tf.Tensor)
    assert flat.dtype == tf.float64
    np.testing.assert_array_equal(flat, FLAT)


def test_default_float() -> None:
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        assert flatten_paths([SHORT, LONG]).dtype == np.float32
        assert flatten_paths(tf.constant(WITH_NAN)).dtype == tf.float32


def test_in_tf_function_with_unknown_shapes() -> None:
    traced = tf.function(flatten_paths, input_signature=[tf.TensorSpec([None, None, None], tf.float64)])
    np.testing.assert_array_equal(traced(tf.constant(WITH_NAN)), FLAT)


def test_nan_inside_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        flatten_paths(np.array([[[1.0], [np.nan], [2.0]]]))


def test_other_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="rank"):
        flatten_paths(np.zeros((3, 4)))
