"""NumPy's masked arrays: the functions of ``paths`` take what is masked as missing, and all others refuse it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sigkernel_tf as sk


def masked_end() -> np.ma.MaskedArray:
    """Three paths of 5 steps, the second of which ends after 3 of them; what is masked would be seen."""
    X = np.ma.masked_array(np.random.default_rng(3).normal(size=(3, 5, 2)), mask=np.zeros((3, 5, 2), bool))
    X.data[1, 3:] = 1e3
    X[1, 3:] = np.ma.masked
    return X


def with_nans(X: np.ma.MaskedArray) -> np.ndarray:
    plain = np.array(X.data)
    plain[X.mask] = np.nan
    return plain


PATHS = {
    "add_time": sk.paths.add_time,
    "add_basepoint": sk.paths.add_basepoint,
    "lead_lag": sk.paths.lead_lag,
    "pad_ragged": sk.paths.pad_ragged,
    "standardize": sk.paths.standardize,
    "mean_and_deviation": sk.paths.mean_and_deviation,
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("kind", ["array", "list", "integers"])
def test_what_is_masked_at_the_end_is_padding(name: str, kind: str) -> None:
    X = masked_end()
    if kind == "integers":
        X = np.ma.masked_array(np.round(10 * X.data).astype(int), mask=X.mask)
    plain = with_nans(X) if kind != "integers" else np.where(X.mask, np.nan, X.data.astype(float))
    found = PATHS[name](list(X) if kind == "list" else X)
    expected = PATHS[name](list(plain) if kind == "list" else plain)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is np.ndarray
        np.testing.assert_array_equal(one, other)


def test_what_is_masked_inside_is_missing() -> None:
    for place in ((0, 1), (1, 0, 1)):
        X = masked_end()
        X[place] = np.ma.masked
        for panel in (X, list(X)):
            with pytest.raises(ValueError, match=rf"finite numbers inside a series; .* \[{place[0]}, {place[1]}\]"):
                sk.paths.pad_ragged(panel)


def test_float32_stays_float32() -> None:
    assert sk.paths.pad_ragged(masked_end().astype(np.float32)).dtype == np.float32


def masked() -> np.ma.MaskedArray:
    X = np.ma.masked_array(np.ones((2, 3, 2)), mask=False)
    X[1, 2, 0] = np.ma.masked
    return X


PLAIN = np.ones((2, 3, 2))
REFUSED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "signature_kernel": ("X", lambda X: sk.signature_kernel(X, PLAIN)),
    "signature_kernel of Y": ("Y", lambda X: sk.signature_kernel(PLAIN, X)),
    "signature_kernel_gram": ("X", sk.signature_kernel_gram),
    "signature_kernel_gram of Y": ("Y", lambda X: sk.signature_kernel_gram(PLAIN, X)),
    "signature_kernel_diag": ("X", sk.signature_kernel_diag),
    "directional_derivative": ("direction", lambda X: sk.directional_derivative(PLAIN, PLAIN, X)),
    "solve_goursat": ("increments", sk.solve_goursat),
    "signature": ("X", lambda X: sk.signature(X, 2)),
    "log_signature": ("X", lambda X: sk.log_signature(X, 2)),
    "signature_combine": ("second", lambda X: sk.signature_combine(PLAIN, X, 1)),
    "static kernel": ("Y", lambda X: sk.static_kernels.rbf(PLAIN, X)),
    "increments": ("X", lambda X: sk.static_kernels.increments(sk.static_kernels.linear, X, PLAIN)),
    "lengthscale": ("lengthscale", lambda X: sk.static_kernels.rbf(PLAIN, PLAIN, lengthscale=X[1, 2])),
    "mean": ("mean", lambda X: sk.paths.standardize(PLAIN, mean=X[1, 2], deviation=1.0)),
    "layer": ("inputs of", lambda X: sk.SignatureLayer(2)(X)),
    "layer of log signatures": ("inputs of", lambda X: sk.LogSignatureLayer(2)(X)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_masked_elements_are_refused(name: str) -> None:
    argument, call = REFUSED[name]
    with pytest.raises(ValueError, match=rf"^{argument}.* must have no masked elements, got .* 1 of \d+ masked: "):
        call(masked())


@pytest.mark.parametrize("name", REFUSED)
def test_masks_that_mask_nothing_change_nothing(name: str) -> None:
    call = REFUSED[name][1]
    unmasked = np.ma.masked_array(PLAIN, mask=np.zeros(PLAIN.shape, bool))
    for found, expected in zip(call(unmasked), call(PLAIN), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_masked_elements_of_lists() -> None:
    with pytest.raises(ValueError, match="X must have no masked elements"):
        sk.signature([list(path) for path in masked()], 2)
    with pytest.raises(ValueError, match="X must have no masked elements"):
        sk.signature([[[0.0], [np.ma.masked]]], 2)
    with pytest.raises(ValueError, match=r"X\[1\] must have no masked elements.*: give masked arrays by themselves"):
        sk.paths.pad_ragged([list(path) for path in masked()])


def test_masked_inputs_of_layers_say_which_mask_keras_takes() -> None:
    """The cure that the error gives: a masked step is left out."""
    X = masked()
    layer = sk.SignatureLayer(2)
    with pytest.raises(ValueError, match="mask="):
        layer(X)
    found = layer(X.filled(7.0), mask=~np.ma.getmaskarray(X).any(axis=-1))
    np.testing.assert_allclose(found[1], layer(X.data[1:, :2])[0], atol=1e-6)
