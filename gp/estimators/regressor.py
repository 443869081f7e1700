"""The regressor on time series."""

from typing import Any

import gpflow
import numpy as np
import tensorflow as tf
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, check_random_state

from sigkernel_tf._arguments import as_int, check_unmasked

from ..training.grouped_features import SiteLikelihood
from ..training.grouped_sites import GaussianSites
from .base import SignatureGP
from .model import float64
from .panels import Series
from .preprocessing import units_of
from .tasks import Regression
from .weights import checked_weights


class SignatureGPRegressor(RegressorMixin, SignatureGP):
    """
    Predicts numbers from time series by a sparse variational Gaussian process with a signature kernel.

    >>> regressor = SignatureGPRegressor(effort=0.01, kernel="truncated", random_state=0).fit(X, X[:, -1, 0])
    >>> mean, deviation = regressor.predict(X, return_std=True)
    >>> mean.shape, deviation.shape
    ((20,), (20,))

    It works as :class:`SignatureGPClassifier` does, and has the same fitted attributes but for ``classes_`` and
    ``calibration_``. Each column of y is scaled to mean 0 and deviation 1, and has a latent process of its own; all
    share one kernel and one noise. ``model_`` predicts the scaled numbers, (y − ``y_mean_``) / ``y_scale_``.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "SignatureGPRegressor":
        """
        Fit to series with numbers.

        :param X: series, as :meth:`SignatureGPClassifier.fit` takes them.
        :param y: N numbers, or [N, P].
        :param sample_weight: how much each series counts, as :meth:`SignatureGPClassifier.fit` takes it.
        :return: the estimator itself.
        :raises ValueError: for an X that is not a panel, a y that does not fit it, is not finite or does not vary, and
            options out of range.
        :raises TypeError: for an X, a y and options of another type.
        """
        series, names = self._series_to_fit(X)
        values = _targets(y, len(series))
        weights = checked_weights(sample_weight, len(series))
        kept = weights > 0
        series, values, weights = [series[i] for i in np.flatnonzero(kept)], values[kept], weights[kept]
        self._flat = values.ndim == 1
        Y = values.reshape(len(values), -1)
        if (Y[0] == Y).all():
            raise ValueError(f"y must vary, got {values[0]} for all of {len(Y)} series: there is nothing to predict.")
        unit = units_of(Y)
        Y = Y / unit
        mean = np.average(Y, axis=0, weights=weights)
        deviation = np.sqrt(np.average(np.square(Y - mean), axis=0, weights=weights))
        scale = np.where((Y[0] != Y).any(axis=0) & (deviation > 0), deviation, 1.0 / unit)
        self.y_mean_, self.y_scale_ = mean * unit, scale * unit
        self._fit(series, names, Regression((Y - mean) / scale, weights))
        return self

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:
        """
        Predicted means, in the shape of y.

        :param X: series, of any length, with the training set's channels.
        :param return_std: whether to return the standard deviations of y, noise included, as well.
        :param return_cov: whether to return the covariance of y between the series as well, noise included: [n, n], or
            [n, n, P] where y has columns.
        :raises ValueError: where both are asked for.
        """
        if return_std and return_cov:
            raise ValueError("At most one of return_std and return_cov can be True, got both: ask for one of the two.")
        check_is_fitted(self)
        series = self._series(X)
        if not return_std and self.kernel_kind_ != "truncated":
            mean = self._means(series)
        else:
            mean, variance = self._marginals(series)
        scaled = self._like_y(mean * self.y_scale_ + self.y_mean_)
        if return_cov:
            return scaled, self._covariance(series)
        if not return_std:
            return scaled
        return scaled, self._like_y(np.sqrt(variance + self._noise_variance()) * self.y_scale_)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> np.ndarray:
        """
        Draws of y from its distribution at all series together, noise included.

        :param X: series, of any length, with the training set's channels.
        :param n_samples: how many.
        :param random_state: decides the draws.
        :return: [n, n_samples], or [n, P, n_samples] where y has columns.
        """
        n_samples = as_int(n_samples, "n_samples", 1)
        mean, covariance = self.predict(X, return_cov=True)
        random = check_random_state(random_state)
        columns = mean.reshape(len(mean), -1)
        covariance = covariance.reshape(len(mean), len(mean), -1)
        draws = [
            random.multivariate_normal(columns[:, p], covariance[..., p], n_samples).T for p in range(columns.shape[1])
        ]
        return draws[0] if self._flat else np.stack(draws, axis=1)

    def _covariance(self, series: Series) -> np.ndarray:
        flat = self._flat_paths(series)
        with float64():
            covariance = self.model_.predict_f(tf.constant(flat), full_cov=True)[1].numpy()  # [P, n, n]
        covariance = covariance + self._noise_variance() * np.eye(len(flat))
        covariance = covariance.transpose(1, 2, 0) * self.y_scale_**2
        return covariance[..., 0] if self._flat else covariance

    def _noise_variance(self) -> float:
        return float(self.model_.likelihood.variance.numpy())

    def _like_y(self, values: np.ndarray) -> np.ndarray:
        return values[:, 0] if self._flat else values

    def _set_likelihood(self, fitted: SiteLikelihood) -> None:
        assert isinstance(fitted, GaussianSites)
        self._noise = fitted.noise

    def _gpflow_likelihood(self) -> gpflow.likelihoods.Likelihood:
        return gpflow.likelihoods.Gaussian(self._noise)

    def _learnt(self) -> dict[str, Any]:
        return {**super()._learnt(), "_noise": self._noise_variance()}

    def _saved(self) -> tuple[str, ...]:
        of_truncated = ("_noise",) if self.kernel_kind_ == "truncated" else ()
        return (*super()._saved(), "y_mean_", "y_scale_", "_flat", *of_truncated)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _targets(y: Any, num_series: int) -> np.ndarray:
    if y is None:
        raise ValueError(
            "y must hold a number for each series, got None: requires y to be passed, but the target y is None."
        )
    check_unmasked(y, "y", "drop the series without a number")
    try:
        values = np.asarray(y)
        if values.dtype.kind == "c":
            raise ValueError("Complex data not supported")
        if values.dtype.kind in "mM":
            raise TypeError(f"got dates or durations ({values.dtype}); give, for instance, the days since a date")
        values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"y must hold numbers: {error}. For labels take SignatureGPClassifier.") from error
    if values.ndim not in (1, 2) or values.shape[0] != num_series or 0 in values.shape:
        raise ValueError(
            f"y must hold a number, or a row of numbers, for each of the {num_series} series of X, got shape "
            f"{values.shape} (inconsistent numbers of samples)."
        )
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values.reshape(num_series, -1)).all(axis=1)))
        raise ValueError(
            f"y must be finite, got {y[row]} for series {row} (NaN or inf, infinity): drop the series without a number."
        )
    if num_series < 2:
        raise ValueError("X must hold at least 2 series to fit a regression, got 1 sample: add series.")
    return values
