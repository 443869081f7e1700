"""The classifier of time series."""

import numbers
from collections.abc import Sequence
from typing import Any

import gpflow
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from sigkernel_tf._arguments import check_unmasked

from ..data.classes import LogisticBernoulli, logistic_or_softmax_probabilities
from ..training.logistic import LogisticRegression
from .base import SignatureGP
from .preprocessing import Preprocessing
from .tasks import Classification
from .weights import checked_weights, with_class_weights

_KINDS: dict[str, Any] = {"text": str, "numbers": (numbers.Number, np.bool_), "dates": np.datetime64}


class SignatureGPClassifier(ClassifierMixin, SignatureGP):
    """
    Classifies time series by a sparse variational Gaussian process with a signature kernel, as scikit-learn does.

    >>> classifier = SignatureGPClassifier(effort=0.01, kernel="truncated", random_state=0).fit(X, y)
    >>> classifier.predict_proba(X).shape, classifier.kernel_kind_
    ((20, 2), 'truncated')

    The training set chooses the kernel: the signature kernel over an RBF kernel of time and channels, the same of
    windows of the series, or that of truncated signatures. Many settings of each are ranked by the NLPP of series that
    are left out, on a few hundred series; the best few are compared by it on up to 2,500, and the parameters of the
    best are optimised. How much is tried follows from the sizes of the data and from ``effort``, so that the same seed
    gives the same fit on every machine.

    Then a Gaussian process regresses on a column of ones and zeros for each class, by least squares, with all series
    as inducing series up to some 2,000, and fewer beyond. Its predictions of series that were left out are calibrated
    to probabilities. In small sets, other fits are taken where they predict held-out series better. A truncated kernel
    is fitted with a logistic or softmax link instead, by natural gradients in closed form with exact updates of the
    levels' variances.

    Fitted attributes:

    * ``classes_``: the labels, in the order of :meth:`predict_proba`'s columns;
    * ``kernel_kind_``: "lifted", "windows" or "truncated", and ``preprocessing_``: what happens to the series before;
    * ``candidates_``: all that the search tried, of which ``pandas.DataFrame(classifier.candidates_)`` makes a table,
      and ``validation_nlpp_``, the NLPP by which it chose;
    * ``num_inducing_``: M, the number of inducing series, or of signature features;
    * ``num_channels_``, and ``feature_names_in_`` where X came in data frames whose columns are all named by text;
    * ``fit_method_``: "least squares", "mode" or "sites", and ``fit_nlpps_``, the NLPP of each by five folds, empty
      where they were not compared;
    * ``model_``, a ``gpflow.models.SVGP``, and its ``kernel_``. They take what :meth:`flat_paths` returns. With a
      lifted kernel fitted by least squares the likelihood is Gaussian, on the columns of ones and zeros, otherwise it
      has a logistic or softmax link. The model is built when it is first asked for; where it was trained further,
      predictions follow it;
    * ``calibration_``, with a lifted kernel: the logistic regression from the process to probabilities. Sites have
      none;
    * ``depth_``, ``level_variances_`` (whether each level has a variance of its own), ``elbo_`` and ``n_iter_``, with
      a truncated kernel: the bound after the fit to all series, and the number of its steps.

    Memory: the features of all series, [N, M]. Time: the kernel of N M pairs of series, and some N M² multiply-adds.
    """

    def __init__(
        self,
        *,
        kernel: str = "auto",
        preprocessing: str | Preprocessing | dict | Sequence[Preprocessing | dict] | None = "auto",
        num_inducing: int | None = None,
        lengthscales: Any = None,
        level_variances: bool | None = None,
        max_length: int = 300,
        max_iterations: int = 100,
        effort: float = 1.0,
        class_weight: dict | str | None = None,
        verbose: bool | int = False,
        random_state: Any = None,
    ) -> None:
        """
        The options of :class:`SignatureGP`, and one more.

        :param class_weight: how much the series of each class count: a dict from labels to numbers above 0, of which
            those that it leaves out have 1; "balanced": all classes count the same; None: all series do.
        """
        super().__init__(
            kernel=kernel,
            preprocessing=preprocessing,
            num_inducing=num_inducing,
            lengthscales=lengthscales,
            level_variances=level_variances,
            max_length=max_length,
            max_iterations=max_iterations,
            effort=effort,
            verbose=verbose,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "SignatureGPClassifier":
        """
        Fit to labelled series.

        :param X: [N, L, D] (NaN after a series' end), [N, L], a list of series [L_i, D], or sktime's DataFrames; see
            :func:`sigkernel_tf.gp.estimators.panels.as_series`.
        :param y: N labels of at least two classes, none missing: text, or whole numbers and booleans, or
            ``datetime64``. Turn others, such as tuples and fractions, into text by ``[str(label) for label in y]``.
        :param sample_weight: how much each series counts, N numbers that are not negative; those of weight 0 are left
            out. Only their ratios matter. None: all the same.
        :return: the estimator itself.
        :raises ValueError: for an X that is not a panel, a y that does not fit it or holds one class, weights that do
            not fit it, and options out of range.
        :raises TypeError: for an X, a y and options of another type.
        """
        series, names = self._series_to_fit(X)
        labels = _labels(y, len(series))
        weights = checked_weights(sample_weight, len(series))
        kept = weights > 0
        series, labels, weights = [series[i] for i in np.flatnonzero(kept)], labels[kept], weights[kept]
        self.classes_, encoded = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must hold at least two classes, got one class, {self.classes_[0]!r}: add series of another."
            )
        weights = with_class_weights(weights, self.class_weight, self.classes_, encoded)
        self._fit(series, names, Classification(encoded, len(self.classes_), weights))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """
        Class probabilities, [N, classes], with the columns in the order of ``classes_``.

        They are the same in every call, as nothing is drawn at random.

        :param X: series, of any length, with the training set's channels.
        """
        return np.exp(self._log_probabilities(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of :meth:`predict_proba`. With a lifted kernel they stay finite where a probability is 0."""
        return self._log_probabilities(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each series, [N]."""
        best = np.argmax(self._log_probabilities(X), axis=1)
        return self.classes_[best]

    def _log_probabilities(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        series = self._series(X)
        if "calibration_" in self.__dict__:
            return self.calibration_.log_probabilities(self._means(series))
        with np.errstate(divide="ignore"):
            return np.log(logistic_or_softmax_probabilities(*self._marginals(series)))

    def _set_calibration(self, calibration: LogisticRegression | None) -> None:
        if calibration is not None:
            self.calibration_ = calibration

    def _gpflow_likelihood(self) -> gpflow.likelihoods.Likelihood:
        if len(self.classes_) == 2:
            return LogisticBernoulli()
        return gpflow.likelihoods.Softmax(len(self.classes_))

    def _saved(self) -> tuple[str, ...]:
        return (*super()._saved(), "classes_")


def _labels(y: Any, num_series: int) -> np.ndarray:
    if y is None:
        raise ValueError("y must hold a label for each series: requires y to be passed, but the target y is None.")
    check_unmasked(y, "y", "drop the series without a label")
    if isinstance(y, (list, tuple)) and all(isinstance(label, str) or np.ndim(label) == 0 for label in y):
        _check_kinds(y)  # before NumPy makes text of numbers beside text
    try:
        labels = column_or_1d(y, warn=True)
    except ValueError as error:
        raise ValueError(
            f"y must hold one label for each series: {error} Of one-hot rows take np.argmax(y, axis=1)."
        ) from error
    if labels.dtype == object:  # numbers and booleans in an array of objects, which scikit-learn does not know
        _check_kinds(labels)
        plain = np.array(labels.tolist())
        labels = plain if plain.dtype.kind in "iub" and plain.shape == labels.shape else labels
    if len(labels) != num_series:
        raise ValueError(
            f"y must hold a label for each of the {num_series} series of X, got {len(labels)} labels "
            "(inconsistent numbers of samples)."
        )
    try:
        check_classification_targets(labels)
    except ValueError as error:
        raise ValueError(
            f"y must hold classes: text, whole numbers, booleans or dates, none missing. {error} For labels of another "
            "kind give [str(label) for label in y]; to predict numbers take SignatureGPRegressor."
        ) from error
    missing = np.flatnonzero(~np.isfinite(labels) if labels.dtype.kind in "fM" else [])
    if len(missing):
        raise ValueError(_missing(labels[missing[0]], missing[0]))
    return labels


def _check_kinds(labels: Sequence[Any]) -> None:
    """Check that no label is missing, and that all are of one kind, as only then they can be sorted."""
    first = None
    for i, label in enumerate(labels):
        is_nan = isinstance(label, (float, np.floating, np.datetime64)) and label != label
        if label is None or is_nan or type(label).__name__ in ("NAType", "NaTType"):
            raise ValueError(_missing(label, i))
        kind = next((kind for kind, types in _KINDS.items() if isinstance(label, types)), None)
        if kind is None:
            raise TypeError(
                f"y must hold text, whole numbers, booleans or dates, got {label!r} of {type(label)} for series {i}: "
                "give [str(label) for label in y]."
            )
        first = first or kind
        if kind != first:
            raise TypeError(
                f"y must hold labels of one kind, got {first} for series 0 and {kind}, {label!r}, for series {i}: give "
                "[str(label) for label in y]."
            )


def _missing(label: Any, number: int) -> str:
    return f"y must hold a label for each series, got {label!r} for series {number}: drop the series without a label."
