"""The classifier."""

from typing import Any

import gpflow
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from .base import SignatureGP
from .likelihoods import LogisticBernoulli
from .tasks import Classification, class_probabilities


class SignatureGPClassifier(ClassifierMixin, SignatureGP):
    """
    Classifies time series by a sparse variational Gaussian process with a signature kernel, as scikit-learn does.

    .. code-block:: python

        classifier = SignatureGPClassifier().fit(X_train, y_train)     # X [N, L, D], a list of series, a panel
        classifier.predict_proba(X_test)                               # [N, classes], columns in classes_' order

    The training set chooses the preprocessing: all are ranked by the evidence of a regression on the labels, the best
    few by the NLPP of series that were held out (five-fold), and the lengthscales of the best of these are optimised.
    ``candidates_`` is the table of what was tried; ``preprocessing_`` what was taken. Then the process is fitted to
    all series, by natural gradients in closed form with exact updates of the levels' variances.

    Fitted attributes: ``classes_``; ``preprocessing_``, ``depth_``, ``num_inducing_`` (M), ``level_variances_``
    (whether each level has its own), ``validation_nlpp_``, ``candidates_``; ``elbo_``, ``n_iter_``; ``num_channels_``;
    ``feature_names_in_``, where X came in data frames whose columns are all named by text;
    ``model_``, a ``gpflow.models.SVGP`` (Bernoulli with a logistic link, or Softmax), and its ``kernel_``, which take
    :meth:`flat_paths`.

    Memory: the features, [N, M], and q(u)'s covariances, [classes, M, M]. Time: the search looks at 300 series at most;
    a step of the fit costs N M² for each class.
    """

    def fit(self, X: Any, y: Any) -> "SignatureGPClassifier":
        """
        Fit to labelled series.

        :param X: [N, L, D] (NaN after a series' end), [N, L], a list of series [L_i, D], or sktime's DataFrames; see
            :func:`sigkernel_tf.gp.estimators.panels.as_series`.
        :param y: N labels of any type, two classes at least.
        :raises ValueError: for X that is no panel, y that does not fit it or holds one class, and options out of range.
        :raises TypeError: likewise for types.
        """
        series, names = self._series_to_fit(X)
        if y is None:
            raise ValueError("y must hold a label for each series: requires y to be passed, but the target y is None.")
        labels = column_or_1d(y, warn=True)
        if labels.dtype == object:  # numbers and booleans in an array of objects, which scikit-learn does not know
            plain = np.array(labels.tolist())
            labels = plain if plain.dtype.kind in "iub" and plain.shape == labels.shape else labels
        if len(labels) != len(series):
            raise ValueError(
                f"y must hold a label for each of the {len(series)} series of X, got {len(labels)} labels "
                "(inconsistent numbers of samples)."
            )
        check_classification_targets(labels)
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise ValueError("y must not contain NaN or infinity: drop the series without a label.")
        self.classes_, encoded = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must hold at least two classes, got one class, {self.classes_[0]!r}: add series of another."
            )
        self._fit(series, names, Classification(encoded, len(self.classes_)))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """
        Class probabilities, [N, classes] in ``classes_``' order. The same in every call: nothing is drawn at random.

        :param X: series, of any length, with the training set's channels.
        """
        return class_probabilities(*self._marginals(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable classes, [N]."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]

    def _gpflow_likelihood(self) -> gpflow.likelihoods.Likelihood:
        if len(self.classes_) == 2:
            return LogisticBernoulli()
        return gpflow.likelihoods.Softmax(len(self.classes_))

    def _saved(self) -> tuple[str, ...]:
        return (*super()._saved(), "classes_")
