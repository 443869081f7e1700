"""Values that no kernel can have, where a sweep has lost its digits, are errors if it costs nothing to see them."""

import re

import numpy as np
import pytest
import tensorflow as tf
from random_walks import walks

import sigkernel_tf as sk


def there_and_back(path: np.ndarray) -> np.ndarray:
    """A path [L, D] and the same way back: its signature is 1."""
    return np.concatenate([path, path[-2::-1]])


def circle(turns: int, points: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi * turns, points)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.fixture
def paths(rng: np.random.Generator) -> np.ndarray:
    """Three paths of two channels, the second a circle there and back."""
    back = there_and_back(circle(2, 33))
    return np.stack([walks(rng, 1, len(back), 2)[0], back, walks(rng, 1, len(back), 2)[0]])


OPERATIONS = [sk.signature_kernel_gram, sk.signature_kernel_diag]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_norm_below_one_is_refused(operation, paths: np.ndarray) -> None:
    message = (
        r"X\[1\] and X\[1\], whose increments .* came out as -.*, but k\(x, x\) is at least 1.*"
        r"smaller: divide .* raise the lengthscales\. Or take float64"
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        operation(paths.astype(np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(operation)(paths.astype(np.float32))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_smaller_errors_and_other_solvers_pass(operation, paths: np.ndarray) -> None:
    assert operation(paths).shape[0] == 3  # k(x, x) of the circle is some 1e-5 off in float64
    operation((paths / 4).astype(np.float32))  # what the message advises
    operation(paths.astype(np.float32), solver=sk.FiniteDifference())
    operation(paths.astype(np.float32), static_kernel=sk.static_kernels.rbf)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_beside_an_estimate_of_the_error_nothing_is_refused(operation, paths: np.ndarray) -> None:
    k, error = operation(paths.astype(np.float32), return_error=True)
    k, error = (of_all[1] if of_all.ndim == 1 else of_all[1, 1] for of_all in (k.numpy(), error.numpy()))
    assert abs(k - 1) <= error  # of the circle there and back
    assert error > 1


def test_a_value_beyond_cauchy_schwarz_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines there and back, all of whose k are 1. Of what comes out, some pairs are only wrong beside each other."""
    monkeypatch.setenv("SIGKERNEL_TF_SIMD", "baseline")  # rounds alike on all machines
    messages = []
    for steps in range(8, 16):
        for ratio in (1.1, 1.25, 1.5):
            line = there_and_back(np.outer(np.arange(steps + 1), [1.0, 0.0]))
            try:
                sk.signature_kernel_gram(np.stack([line, ratio * line]))
            except tf.errors.InvalidArgumentError as error:
                messages.append(error.message)
    bound = r"X\[0\] and X\[1\], whose .* came out as -?\d.*, but \|k\(x, y\)\| is at most sqrt\(.*\) = \d.*smaller"
    found = [message for message in messages if re.search(bound, message)]
    assert found
    assert not any("float64" in message for message in found)  # it is float64 already
