"""
What people would use instead, as :mod:`.fitting` calls it: the libraries' own, with their usual settings.

How each takes series of unequal length is said with it. Probabilities of classifiers that have none come from Platt
scaling (scikit-learn's) of decision values on held-out folds; the deviation of regressors that have none is that of
their errors on held-out folds.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from .exchange import Order, Series

_FOLDS, _FOLDS_IF_MANY, _MANY = 5, 3, 2000  # folds of cross-validation beside the number of series
_SHORTEST = 9  # time steps that MiniRocket needs; MultiRocket needs one more, as it takes differences
_MOST_LEFT_OUT = 1000  # training series that the nearest neighbour is tried on
_BLOCK = 256  # series whose distances or features are computed at a time
_RIDGES = np.logspace(-3, 3, 10)  # sktime's for MiniRocket and MultiRocket


def _folds(y: np.ndarray, *, classes: bool) -> int | None:
    """The number of folds; None where a class has a single series, which cannot be held out."""
    most = _FOLDS if len(y) <= _MANY else _FOLDS_IF_MANY
    smallest = int(np.unique(y, return_counts=True)[1].min()) if classes else len(y)
    return min(most, smallest) if smallest > 1 else None


class _Decided(ClassifierMixin, BaseEstimator):
    """Stands for a classifier whose decision values are given, so that scikit-learn can calibrate them."""

    def __init__(self, classes: Any = None) -> None:
        self.classes = classes

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> np.ndarray:
        return self.classes

    def fit(self, X: np.ndarray, y: np.ndarray) -> "_Decided":
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """[N] from [N, 1] for two classes, else [N, C]."""
        return X[:, 0] if X.shape[1] == 1 else X

    def predict(self, X: np.ndarray) -> np.ndarray:
        decisions = self.decision_function(X)
        return self.classes_[decisions > 0 if decisions.ndim == 1 else np.argmax(decisions, axis=1)]


def platt_scaling(decisions: np.ndarray, y: np.ndarray) -> Any:
    """
    Platt scaling, one class against the others, by scikit-learn's ``CalibratedClassifierCV``.

    :param decisions: [N] for two classes, else [N, C]; of series that the classifier was not fitted to.
    :return: gives probabilities by ``predict_proba`` of decision values, in columns.
    """
    decided = FrozenEstimator(_Decided(np.unique(y)))  # frozen: its folds only gather the decision values
    return CalibratedClassifierCV(decided, method="sigmoid", cv=2).fit(_columns(decisions), y)


def _columns(decisions: np.ndarray) -> np.ndarray:
    return decisions.reshape(len(decisions), -1)


class _FromFeatures:
    """A model of scikit-learn's on features of series, [N, M], which do not depend on the labels."""

    def __init__(self, order: Order, num_channels: int) -> None:
        self.order, self.num_channels = order, num_channels
        self.model: Any = None

    def fit(self, X: Series, y: np.ndarray) -> None:
        self._fit_features(X)
        self.fitted_features = self._features(X)
        self.model = self._fit_model(self.fitted_features, y)

    def _fit_features(self, X: Series) -> None:
        """Choose the features by the training series."""
        raise NotImplementedError

    def _features(self, X: Series) -> np.ndarray:
        raise NotImplementedError

    def _fit_model(self, features: np.ndarray, y: np.ndarray) -> Any:
        raise NotImplementedError

    def _blocks(self, X: Series) -> list[Series]:
        """Features of series that are to be predicted: never all of them in memory."""
        return [X[i : i + 4 * _BLOCK] for i in range(0, len(X), 4 * _BLOCK)]


class _Classifier(_FromFeatures):
    def calibrate(self, X: Series, y: np.ndarray) -> None:
        self.platt, folds = None, _folds(y, classes=True)
        if folds is not None:
            split = StratifiedKFold(folds, shuffle=True, random_state=self.order.seed)
            held_out = cross_val_predict(
                clone(self.model), self.fitted_features, y, cv=split, method="decision_function"
            )
            self.platt = platt_scaling(held_out, y)
        del self.fitted_features

    def predict(self, X: Series) -> dict[str, np.ndarray]:
        decisions = np.concatenate([self.model.decision_function(self._features(block)) for block in self._blocks(X)])
        best = decisions > 0 if decisions.ndim == 1 else np.argmax(decisions, axis=1)
        out = {"labels": np.asarray(best, int)}
        if self.platt is not None:
            out["probabilities"] = self.platt.predict_proba(_columns(decisions))
        return out


class _Regressor(_FromFeatures):
    def calibrate(self, X: Series, y: np.ndarray) -> None:
        split = KFold(_folds(y, classes=False), shuffle=True, random_state=self.order.seed)
        held_out = cross_val_predict(clone(self.model), self.fitted_features, y, cv=split)
        self.deviation = float(np.sqrt(np.mean((y - held_out) ** 2)))
        del self.fitted_features

    def predict(self, X: Series) -> dict[str, np.ndarray]:
        mean = np.concatenate([self.model.predict(self._features(block)) for block in self._blocks(X)])
        return {"mean": mean, "deviation": np.full(len(X), self.deviation)}


def _ridge(model: Any) -> Any:
    return make_pipeline(StandardScaler(with_mean=False), model(alphas=_RIDGES))


class _RidgeClassifier(_Classifier):
    def _fit_model(self, features: np.ndarray, y: np.ndarray) -> Any:
        return _ridge(RidgeClassifierCV).fit(features, y)


class _RidgeRegressor(_Regressor):
    def _fit_model(self, features: np.ndarray, y: np.ndarray) -> Any:
        return _ridge(RidgeCV).fit(features, y)


class _MiniRocketFeatures(_FromFeatures):
    """
    sktime's ``MiniRocket`` or ``MiniRocketMultivariate``, and ``MiniRocketMultivariateVariable`` for unequal lengths.

    Series of fewer than 9 steps are filled up with zeros to 9, as sktime asks.
    """

    def __init__(self, order: Order, num_channels: int) -> None:
        super().__init__(order, num_channels)
        random = np.random.default_rng(0)
        for length in (20, 21):  # compiles both transforms
            series = [random.normal(size=(length - i % (length - 19), num_channels)) for i in range(8)]
            self._fit_features(series)
            self._features(series)

    def _fit_features(self, X: Series) -> None:
        from sktime.transformations import rocket

        lengths = {max(len(one), _SHORTEST) for one in X}
        self.length = lengths.pop() if len(lengths) == 1 else None
        if self.length is None:
            transform: Any = rocket.MiniRocketMultivariateVariable
        else:
            transform = rocket.MiniRocket if self.num_channels == 1 else rocket.MiniRocketMultivariate
        self.transform = transform(random_state=self.order.seed, n_jobs=-1)
        self.transform.fit(self._panel(X))

    def _features(self, X: Series) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that one channel of unequal lengths has no transform of its own
            return np.asarray(self.transform.transform(self._panel(X)), np.float32)

    def _panel(self, X: Series) -> Any:
        if self.length is not None:
            return _of_one_length(X, self.length)
        from sktime.datatypes import convert_to

        return convert_to([pd.DataFrame(_filled_up(one, _SHORTEST)) for one in X], "nested_univ")


class _MultiRocketFeatures(_FromFeatures):
    """
    sktime's ``MultiRocket`` or ``MultiRocketMultivariate``.

    Series of unequal length are filled up with zeros to the longest training series' length, or cut to it, and where
    all have fewer than 10 steps, to 10. On halves of training sets that was better than to repeat the last value.
    """

    def __init__(self, order: Order, num_channels: int) -> None:
        super().__init__(order, num_channels)
        series = list(np.random.default_rng(0).normal(size=(8, 20, num_channels)))
        self._fit_features(series)
        self._features(series)

    def _fit_features(self, X: Series) -> None:
        from sktime.transformations import rocket

        self.length = max(_SHORTEST + 1, *(len(one) for one in X))
        transform: Any = rocket.MultiRocket if self.num_channels == 1 else rocket.MultiRocketMultivariate
        self.transform = transform(random_state=self.order.seed, n_jobs=-1)
        self.transform.fit(_of_one_length(X, self.length))

    def _features(self, X: Series) -> np.ndarray:
        return np.asarray(self.transform.transform(_of_one_length(X, self.length)), np.float32)


class MiniRocketClassifier(_MiniRocketFeatures, _RidgeClassifier):
    """MiniRocket with ridge, as in sktime's ``RocketClassifier``."""


class MiniRocketRegressor(_MiniRocketFeatures, _RidgeRegressor):
    """MiniRocket with ridge, as in sktime's ``RocketRegressor``."""


class MultiRocketClassifier(_MultiRocketFeatures, _RidgeClassifier):
    """MultiRocket with ridge, as in sktime's ``RocketClassifier``."""


class MultiRocketRegressor(_MultiRocketFeatures, _RidgeRegressor):
    """MultiRocket with ridge, as in sktime's ``RocketRegressor``."""


class _RawFeatures(_FromFeatures):
    """
    The values of a series in one vector, each channel scaled to the training set's mean 0 and deviation 1.

    Series of unequal length are interpolated linearly to the longest training series' length.
    """

    def _fit_features(self, X: Series) -> None:
        values = np.concatenate(X)
        deviation = values.std(axis=0)
        self.mean, self.scale = values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)
        self.length = max(len(one) for one in X)

    def _features(self, X: Series) -> np.ndarray:
        scaled = [(interpolated(one, self.length) - self.mean) / self.scale for one in X]
        return np.stack(scaled).reshape(len(X), -1)

    def _searched(self, model: Any, grid: dict[str, Any], features: np.ndarray, y: np.ndarray, classes: bool) -> Any:
        """The model with the parameters of a grid that cross-validation on the training set finds best."""
        folds = _folds(y, classes=classes)
        kind = StratifiedKFold if classes and folds else KFold
        split = kind(folds or 2, shuffle=True, random_state=self.order.seed)
        with warnings.catch_warnings(), parallel_config(backend="threading"):  # in this process, whose memory counts
            warnings.simplefilter("ignore")  # of classes with fewer series than folds
            return GridSearchCV(model, grid, cv=split, n_jobs=-1).fit(features, y).best_estimator_


def _gammas(features: np.ndarray) -> list[float]:
    """Around scikit-learn's "scale"."""
    scale = 1.0 / (features.shape[1] * max(float(features.var()), 1e-12))
    return [scale * factor for factor in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)]


class SupportVectorClassifier(_RawFeatures, _Classifier):
    """A support vector machine with an RBF kernel on the raw vector; C and gamma by cross-validation."""

    def _fit_model(self, features: np.ndarray, y: np.ndarray) -> Any:
        grid = {"C": [0.1, 1.0, 10.0, 100.0, 1000.0], "gamma": _gammas(features)}
        return self._searched(SVC(cache_size=500), grid, features, y, classes=True)


class SupportVectorRegressor(_RawFeatures, _Regressor):
    """The same for numbers, which are scaled to mean 0 and deviation 1."""

    def _fit_model(self, features: np.ndarray, y: np.ndarray) -> Any:
        grid = {
            "regressor__C": [0.1, 1.0, 10.0, 100.0, 1000.0],
            "regressor__epsilon": [0.01, 0.1],
            "regressor__gamma": _gammas(features),
        }
        model = TransformedTargetRegressor(SVR(), transformer=StandardScaler())
        return self._searched(model, grid, features, y, classes=False)


class GaussianProcess(_RawFeatures):
    """scikit-learn's Gaussian process with an RBF kernel on the raw vector; all hyperparameters by the evidence."""

    def _fit_model(self, features: np.ndarray, y: np.ndarray) -> Any:
        width = features.shape[1] ** 0.5
        kernel = ConstantKernel(1.0, (1e-3, 1e4)) * RBF(width, (1e-2 * width, 1e3 * width))
        kernel += WhiteKernel(0.1, (1e-6, 1e1))
        return GaussianProcessRegressor(
            kernel, normalize_y=True, n_restarts_optimizer=2, random_state=self.order.seed
        ).fit(features, y)

    def predict(self, X: Series) -> dict[str, np.ndarray]:
        mean, deviation = self.model.predict(self._features(X), return_std=True)
        return {"mean": mean, "deviation": deviation}


class NearestNeighbour:
    """
    The nearest neighbour by dynamic time warping without a window: tslearn's ``cdist_dtw``, for any lengths.

    The label found has as its probability how often the neighbour of a training series, itself left out, has its label
    (of at most 1,000 series); the other classes share the rest.
    """

    def __init__(self, order: Order, num_channels: int) -> None:
        self.num_classes, self.random = order.num_classes, np.random.default_rng(order.seed)
        series = list(np.random.default_rng(0).normal(size=(3, 5, num_channels)))
        self.X = series
        self._distances(series)

    def fit(self, X: Series, y: np.ndarray) -> None:
        self.X, self.y = X, y

    def calibrate(self, X: Series, y: np.ndarray) -> None:
        rows = self.random.permutation(len(X))[:_MOST_LEFT_OUT]
        right = 0
        for i in range(0, len(rows), _BLOCK):
            block = rows[i : i + _BLOCK]
            distances = self._distances([X[row] for row in block])
            distances[np.arange(len(block)), block] = np.inf
            right += int(np.sum(y[np.argmin(distances, axis=1)] == y[block]))
        self.confidence = (right + 1.0) / (len(rows) + 2.0)

    def predict(self, X: Series) -> dict[str, np.ndarray]:
        blocks = [X[i : i + _BLOCK] for i in range(0, len(X), _BLOCK)]
        labels = np.concatenate([self.y[np.argmin(self._distances(block), axis=1)] for block in blocks])
        probabilities = np.full((len(X), self.num_classes), (1.0 - self.confidence) / (self.num_classes - 1))
        probabilities[np.arange(len(X)), labels] = self.confidence
        return {"labels": labels, "probabilities": probabilities}

    def _distances(self, X: Series) -> np.ndarray:
        from tslearn.metrics import cdist_dtw

        return cdist_dtw(X, self.X, n_jobs=-1)


class Frequencies:
    """What one knows without a look at the series: the classes' frequencies, or the numbers' mean and deviation."""

    def __init__(self, order: Order, num_channels: int) -> None:
        self.num_classes = order.num_classes

    def fit(self, X: Series, y: np.ndarray) -> None:
        self.y = y

    def predict(self, X: Series) -> dict[str, np.ndarray]:
        if not self.num_classes:
            return {"mean": np.full(len(X), self.y.mean()), "deviation": np.full(len(X), self.y.std(ddof=1))}
        frequencies = np.bincount(self.y, minlength=self.num_classes) / len(self.y)
        return {
            "labels": np.full(len(X), np.argmax(frequencies)),
            "probabilities": np.tile(frequencies, (len(X), 1)),
        }


def interpolated(one: np.ndarray, length: int) -> np.ndarray:
    """A series [L, D] at ``length`` equally spaced times from its first to its last."""
    if len(one) == length:
        return one
    steps = np.linspace(0, len(one) - 1, length)
    return np.stack([np.interp(steps, np.arange(len(one)), channel) for channel in one.T], axis=1)


def _filled_up(one: np.ndarray, length: int) -> np.ndarray:
    """A series [L, D] with zeros after its end where it is shorter."""
    return np.concatenate([one, np.zeros((max(length - len(one), 0), one.shape[1]))])


def _of_one_length(X: Series, length: int) -> np.ndarray:
    """sktime's "numpy3D", [N, D, L]: series filled up with zeros, or cut."""
    return np.stack([_filled_up(one, length)[:length] for one in X]).transpose(0, 2, 1)
