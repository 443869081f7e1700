r"""
Features φ(x) of rows, whose inner products are the prior's covariance: k(x, x') is about φ(x)ᵀ φ(x').

They come from the inducing variables of a model, or from any function of rows. Regression on such features with the
prior N(0, I) of their weights is the Gaussian process itself, as far as the features explain its covariance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import gpflow
import numpy as np
import tensorflow as tf
from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import InducingVariables
from gpflow.kernels import Kernel, MultioutputKernel
from gpflow.mean_functions import Zero
from gpflow.models import SVGP

from sigkernel_tf._arguments import as_int

from .._checks import check_rows, described
from .._chunks import row_slices
from ..data.rows import Rows, as_array_like, as_rows
from ..inducing_variables import has_orthogonal_features
from .workers import Alone

CUT_OFF = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}
"""Directions of Kuu whose eigenvalue is below this part of the largest are left out, for each dtype of the kernel."""
_NUMBERS_IN_BLOCK = 2**22  # features in a block: 32 MB
_MOST_ROWS = 2**16  # rows in a block of few features
NUMBERS_KEPT = 2**27  # features that are kept for later passes: 1 GB


class FeatureMap(Protocol):
    """From rows [n, ...] to features φ [n, M]."""

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """The features, [n, M], in float64."""
        ...

    def prior_variance(self, X: np.ndarray) -> np.ndarray | None:
        """k(x, x) of each row, [n]. None where nothing is known of a covariance beyond the features."""
        ...


class InducingFeatures:
    """
    The features of inducing variables: φ = Wᵀ Kuf, where W Wᵀ is Kuu's inverse.

    Where Kuu is the identity, so is W. Otherwise W = V diag(w)^(−1/2), from Kuu's eigenvectors V and eigenvalues w.
    Eigenvalues below ``CUT_OFF`` are left out, so that inducing variables may come twice; M is then Kuu's numerical
    rank. The kernel is evaluated in its own dtype, and everything else in float64.
    """

    def __init__(self, kernel: Kernel, inducing_variable: InducingVariables) -> None:
        """Kernel and inducing variables are copied, so that they may change afterwards."""
        self.kernel = gpflow.utilities.deepcopy(kernel)
        self.inducing_variable = gpflow.utilities.deepcopy(inducing_variable)
        self.projection = None if has_orthogonal_features(inducing_variable) else self._projection()
        """W, [., M]; None: the identity."""

    def __call__(self, X: np.ndarray) -> np.ndarray:
        K = Kuf(self.inducing_variable, self.kernel, tf.constant(X)).numpy().astype(float)
        return np.ascontiguousarray(K.T) if self.projection is None else K.T @ self.projection

    def prior_variance(self, X: np.ndarray) -> np.ndarray:
        return self.kernel(tf.constant(X), full_cov=False).numpy().astype(float)

    def _projection(self) -> np.ndarray:
        K = Kuu(self.inducing_variable, self.kernel).numpy()
        if not np.isfinite(K).all():
            raise ValueError(
                f"Kuu of the inducing variables must be finite, got NaN or infinity from {described(self.kernel)}: "
                "take longer lengthscales, or normalize=True."
            )
        eigenvalues, vectors = np.linalg.eigh(K.astype(float))
        kept = eigenvalues > CUT_OFF[K.dtype] * eigenvalues[-1]
        return vectors[:, kept] / np.sqrt(eigenvalues[kept])


class FunctionFeatures:
    """The features that a function returns."""

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        self.function = function

    def __call__(self, X: np.ndarray) -> np.ndarray:
        phi = np.asarray(self.function(X))
        if phi.ndim != 2 or len(phi) != len(X) or phi.dtype.kind not in "biuf":
            raise ValueError(
                f"features must return an array of numbers [{len(X)}, M] for {len(X)} rows, got shape {phi.shape} and "
                f"dtype {phi.dtype}: give a function from rows to features."
            )
        return np.ascontiguousarray(phi, dtype=float)

    def prior_variance(self, X: np.ndarray) -> None:
        return None


def feature_map(features: Any) -> FeatureMap:
    """
    The feature map of an argument ``features``.

    :param features: an ``SVGP``, whose kernel and inducing variables are copied, or a function from rows to [n, M].
    :raises TypeError: for anything else, and for a model with a multioutput kernel.
    :raises ValueError: for a model with a mean function.
    """
    if isinstance(features, SVGP):
        check_features_model(features)
        return InducingFeatures(features.kernel, features.inducing_variable)
    if callable(features):
        return FunctionFeatures(features)
    raise TypeError(
        "features must be a gpflow.models.SVGP, whose kernel and inducing variables are used, or a function from rows "
        f"to features [n, M], got {type(features).__name__}: for a kernel give SVGP(kernel, likelihood, Z)."
    )


def check_features_model(model: SVGP) -> None:
    """
    :raises TypeError: for a model whose outputs have kernels of their own.
    :raises ValueError: for a model with a mean function.
    """
    if isinstance(model.kernel, MultioutputKernel):
        raise TypeError(
            f"features must be a model with one kernel for all outputs, got {described(model.kernel)}: give a model "
            "with the kernel and the inducing variables of one latent process; all outputs share its features."
        )
    if not isinstance(model.mean_function, Zero):
        raise ValueError(
            f"features must be a model without a mean function, got {type(model.mean_function).__name__}: subtract it "
            "from y. The means of y, and the frequencies of classes, are taken care of without one."
        )


def as_feature_rows(X: Any, Y: np.ndarray | None, of_rows: FeatureMap) -> Rows:
    """
    X, and Y [N, C] if there is one, as rows that are checked and read on demand.

    :raises ValueError: for X that are no rows for the kernel, for no rows, for another number of rows in Y, and for NaN
        and infinite values.
    """
    X = as_array_like(X, "X")
    if isinstance(of_rows, InducingFeatures):
        check_rows(X, "X")
    if not X.shape or not X.shape[0]:
        raise ValueError(f"X must have at least one row, got shape {tuple(X.shape)}.")
    return as_rows((X, np.empty((X.shape[0], 0)) if Y is None else Y))


@dataclass(frozen=True)
class Block:
    """Some rows of a data set."""

    rows: slice
    X: np.ndarray
    Y: np.ndarray
    """Their targets, [n, C]."""
    phi: np.ndarray
    """Their features, [n, M]."""


class Blocks:
    """
    The features of all rows, a block at a time, as often as they are asked for.

    As many as take 1 GB are kept from the first pass on; the others are computed again in each pass.

    Where several processes share the rows, each iterates over its own part of them, reads nothing else, and adds what
    it finds to what the others find.
    """

    def __init__(
        self,
        of_rows: FeatureMap,
        rows: Rows,
        *,
        batch_size: int | None = None,
        num_features: int | None = None,
        keep: bool = True,
        workers: Alone = Alone(),
    ) -> None:
        """
        :param of_rows: gives the features of rows.
        :param rows: X [N, ...], and targets [N, C] as Y.
        :param batch_size: how many rows make a block. None: as many as have 4 million features together.
        :param num_features: the number M of features that is expected. None: as many as the first row has.
        :param keep: whether features are kept for later passes.
        :param workers: the processes that share the rows.
        """
        self._of_rows, self._rows, self.workers = of_rows, rows, workers
        self.own = workers.share(len(rows))
        """The rows of this process."""
        self.num_outputs = rows.specs()[1].shape[1]
        self.num_features = len(of_rows(rows.read(slice(0, 1))[0])[0]) if num_features is None else num_features
        if not self.num_features:
            raise ValueError("features must have at least one column, got none: give a function that returns [n, M].")
        if batch_size is None:
            batch_size = min(max(_NUMBERS_IN_BLOCK // self.num_features, 1), _MOST_ROWS)
        self._slices = [
            slice(self.own.start + part.start, self.own.start + part.stop)
            for part in row_slices(self.own.stop - self.own.start, as_int(batch_size, "batch_size", 1))
        ]
        self._most_kept = NUMBERS_KEPT if keep else 0
        self._kept: dict[int, np.ndarray] = {}
        self._variances: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Block]:
        for i, rows in enumerate(self._slices):
            X, Y = self._rows.read(rows)
            phi = self._kept.get(i)
            if phi is None:
                phi = self._of_rows(X)
                self._check(phi, rows)
                if (rows.stop - self.own.start) * self.num_features <= self._most_kept:
                    self._kept[i] = phi
            yield Block(rows, X, Y, phi)

    def prior_variance(self, block: Block) -> np.ndarray | None:
        """k(x, x) of each row of a block, [n], kept for later passes: None where the feature map knows none."""
        found = self._variances.get(block.rows.start)
        if found is None:
            found = self._of_rows.prior_variance(block.X)
            if found is not None and self._most_kept:
                self._variances[block.rows.start] = found
        return found

    def _check(self, phi: np.ndarray, rows: slice) -> None:
        if phi.shape[1] != self.num_features:
            raise ValueError(
                f"features must have as many columns for all rows, {self.num_features}, got {phi.shape[1]} for rows "
                f"{rows.start} to {rows.stop - 1}: give a function that always returns [n, {self.num_features}]."
            )
        if not np.isfinite(phi).all():
            row, column = np.argwhere(~np.isfinite(phi))[0]
            raise ValueError(
                f"features must be finite, got {phi[row, column]} for row {rows.start + row}, feature {column}: leave "
                "such rows out, or scale the inputs so that nothing overflows."
            )


def blocks_to_predict(of_rows: FeatureMap, X: Any, num_features: int, batch_size: int | None) -> Blocks:
    """The blocks of rows at which a fit to ``num_features`` features is to predict, in one pass."""
    rows = as_feature_rows(X, None, of_rows)
    return Blocks(of_rows, rows, batch_size=batch_size, num_features=num_features, keep=False)
