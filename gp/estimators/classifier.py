"""The classifier of time series."""

import numbers
from collections.abc import Sequence
from typing import Any

import gpflow
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from sigkernel_tf._arguments import check_unmasked

from ..data.classes import LogisticBernoulli, logistic_or_softmax_probabilities
from .base import SignatureGP
from .tasks import Classification

_KINDS: dict[str, Any] = {"text": str, "numbers": (numbers.Number, np.bool_), "dates": np.datetime64}


class SignatureGPClassifier(ClassifierMixin, SignatureGP):
    """
    Classifies time series by a sparse variational Gaussian process with a signature kernel, as scikit-learn does.

    .. code-block:: python

        classifier = SignatureGPClassifier().fit(X_train, y_train)     # X [N, L, D], a list of series, a panel
        classifier.predict_proba(X_test)                               # [N, classes], columns in classes_' order

    The training set chooses the preprocessing. All preprocessings are ranked by the evidence of a regression on the
    labels; the best few are compared by their NLPP on held-out series (five-fold), and the lengthscales of the best of
    these are optimised. Then the process is fitted to all series, by natural gradients in closed form with exact
    updates of the levels' variances.

    Fitted attributes:

    * ``classes_``: the labels, in the order of :meth:`predict_proba`'s columns;
    * ``preprocessing_``, ``depth_``, ``num_inducing_`` (M), ``level_variances_`` (whether each level has a variance of
      its own) and ``validation_nlpp_``: what the search chose, and the NLPP by which it did;
    * ``candidates_``: a table of all that it tried;
    * ``elbo_``, ``n_iter_``: the bound after the fit to all series, and the number of its steps;
    * ``num_channels_``, and ``feature_names_in_`` where X came in data frames whose columns are all named by text;
    * ``model_``, a ``gpflow.models.SVGP`` (Bernoulli with a logistic link, or Softmax), and its ``kernel_``. They take
      what :meth:`flat_paths` returns.

    Memory: the features, [N, M], and q(u)'s covariances, [classes, M, M]. Time: the search uses at most 300 series; a
    step of the fit costs N M² for each class.
    """

    def fit(self, X: Any, y: Any) -> "SignatureGPClassifier":
        """
        Fit to labelled series.

        :param X: [N, L, D] (NaN after a series' end), [N, L], a list of series [L_i, D], or sktime's DataFrames; see
            :func:`sigkernel_tf.gp.estimators.panels.as_series`.
        :param y: N labels of at least two classes, none missing: text, or whole numbers and booleans, or
            ``datetime64``. Turn others, such as tuples and fractions, into text by ``[str(label) for label in y]``.
        :return: the estimator itself.
        :raises ValueError: for an X that is not a panel, a y that does not fit it or holds one class, and options out
            of range.
        :raises TypeError: for an X, a y and options of another type.
        """
        series, names = self._series_to_fit(X)
        labels = _labels(y, len(series))
        self.classes_, encoded = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must hold at least two classes, got one class, {self.classes_[0]!r}: add series of another."
            )
        self._fit(series, names, Classification(encoded, len(self.classes_)))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """
        Class probabilities, [N, classes], with the columns in the order of ``classes_``.

        They are the same in every call, as nothing is drawn at random.

        :param X: series, of any length, with the training set's channels.
        """
        return logistic_or_softmax_probabilities(*self._marginals(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each series, [N]."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]

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
    labels = column_or_1d(y, warn=True)
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
