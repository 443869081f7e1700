"""The regressor on time series."""

from typing import Any

import gpflow
import numpy as np
from sklearn.base import RegressorMixin

from sigkernel_tf._arguments import check_unmasked

from ..training.closed_form import SiteLikelihood
from ..training.sites import GaussianSites
from .base import SignatureGP
from .tasks import Regression


class SignatureGPRegressor(RegressorMixin, SignatureGP):
    """
    Predicts numbers from time series by a sparse variational Gaussian process with a signature kernel.

    .. code-block:: python

        regressor = SignatureGPRegressor().fit(X_train, y_train)
        mean, deviation = regressor.predict(X_test, return_std=True)

    It works as :class:`SignatureGPClassifier` does, with a Gaussian likelihood, and has the same fitted attributes but
    for ``classes_``. Each column of y is scaled to mean 0 and deviation 1, and has a latent process of its own; all
    share one kernel and one noise. ``model_`` predicts the scaled numbers, (y − ``y_mean_``) / ``y_scale_``.
    """

    def fit(self, X: Any, y: Any) -> "SignatureGPRegressor":
        """
        Fit to series with numbers.

        :param X: series, as :meth:`SignatureGPClassifier.fit` takes them.
        :param y: N numbers, or [N, P].
        :return: the estimator itself.
        :raises ValueError: for an X that is not a panel, a y that does not fit it or is not finite, and options out of
            range.
        :raises TypeError: for an X, a y and options of another type.
        """
        series, names = self._series_to_fit(X)
        values = _targets(y, len(series))
        self._flat = values.ndim == 1
        Y = values.reshape(len(values), -1)
        self.y_mean_ = Y.mean(axis=0)
        deviation = (Y - Y[0]).std(axis=0)
        self.y_scale_ = np.where(deviation > 0, deviation, 1.0)
        self._fit(series, names, Regression((Y - self.y_mean_) / self.y_scale_))
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """
        Predicted means, in the shape of y.

        :param X: series, of any length, with the training set's channels.
        :param return_std: whether to return the standard deviations of y, noise included, as well.
        """
        mean, variance = self._marginals(X)
        mean = self._like_y(mean * self.y_scale_ + self.y_mean_)
        if not return_std:
            return mean
        noise = float(self.model_.likelihood.variance.numpy())
        return mean, self._like_y(np.sqrt(variance + noise) * self.y_scale_)

    def _like_y(self, values: np.ndarray) -> np.ndarray:
        return values[:, 0] if self._flat else values

    def _set_likelihood(self, fitted: SiteLikelihood) -> None:
        assert isinstance(fitted, GaussianSites)
        self._noise = fitted.noise

    def _gpflow_likelihood(self) -> gpflow.likelihoods.Likelihood:
        return gpflow.likelihoods.Gaussian(self._noise)

    def _learnt(self) -> dict[str, Any]:
        return {**super()._learnt(), "_noise": float(self.model_.likelihood.variance.numpy())}

    def _saved(self) -> tuple[str, ...]:
        return (*super()._saved(), "y_mean_", "y_scale_", "_flat", "_noise")

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
        raise type(error)(f"y must hold numbers: {error}.") from error
    if values.ndim not in (1, 2) or values.shape[0] != num_series or 0 in values.shape:
        raise ValueError(
            f"y must hold a number, or a row of numbers, for each of the {num_series} series of X, got shape "
            f"{values.shape} (inconsistent numbers of samples)."
        )
    if not np.isfinite(values).all():
        raise ValueError("y must be finite, got NaN or infinity (inf): drop the series without a number.")
    if num_series < 2:
        raise ValueError("X must hold at least 2 series to fit a regression, got 1 sample: add series.")
    return values
