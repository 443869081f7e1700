r"""
Gaussian-process regression on labels or numbers by least squares: one factorization for all outputs and all ridges.

A class is a column of ones and zeros, and the process regresses on all columns at once. Then a multinomial logistic
regression turns the leave-one-out scores of the training set into probabilities, which calibrates them. The algebra is
in ``ridge.py``, the features in ``feature_maps.py`` and the logistic regression in ``logistic.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gpflow
import numpy as np
import tensorflow as tf
from gpflow.config import default_float, default_jitter
from gpflow.covariances import Kuu
from gpflow.mean_functions import Constant
from gpflow.models import SVGP

from .._checks import described
from ..data import Rows
from ..data.digest import digest
from .feature_maps import Blocks, FeatureMap, InducingFeatures, as_feature_rows, blocks_to_predict, feature_map
from .fingerprint import settings, values_digest, versions
from .logistic import LogisticRegression, fit_logistic
from .ridge import Decomposition, leave_one_out, left_out_means, whitened_root
from .targets import Targets, Task, as_targets, checked_positive
from .triangular import checked_factor
from .workers import Alone, as_workers

_CALIBRATION_VARIANCE = 30.0  # of the prior of the calibration's coefficients: scikit-learn's C
_LOWER_BOUND = 1e-6  # GPflow's for the variance of a Gaussian likelihood


@dataclass(frozen=True)
class LeastSquaresFit:
    r"""
    A Gaussian process fitted by :func:`fit_least_squares`.

    With the features φ and σ² = ``ridge``, f has the mean φᵀ m + ``offset`` and the variance
    k(x, x) − \|φ\|² + φᵀ (I + ΦᵀΦ / σ²)⁻¹ φ, those of GPflow's ``GPR`` and ``SGPR`` with this noise variance and
    the kernel's variance as it is. The mean is the same for every kernel s · k with the noise s · σ²; ``scale`` is the
    s that explains y best, and :meth:`predict_y` uses it.

    >>> fit = fit_least_squares(model, rows, y)
    >>> fit.classes.tolist(), fit.predict_proba(rows).shape, fit.loo_scores.shape
    ([0, 1], (20, 2), (20, 2))
    """

    ridge: float
    """σ², the noise variance beside the kernel as it is: of ``ridges`` the one with the largest log density."""
    loo_scores: np.ndarray
    """The mean of f at each row of the training set, given all other rows, [N, C]."""
    loo_log_density: float
    """The log density of y at each row given all others, summed over rows and outputs, at ``ridge`` and ``scale``."""
    ridges: np.ndarray
    """All ridges that were tried, [R]."""
    loo_log_densities: np.ndarray
    """The log density of each, [R]."""
    scale: np.ndarray
    """s, by which kernel and noise must be multiplied to explain y best, [C]; the same for all classes."""
    leverages: np.ndarray
    """How much each row of the training set determines its own fit, between 0 and 1, [N]."""
    offset: np.ndarray
    """What is added to the process: the frequencies of the classes, or the means of y, [C]."""
    weights: np.ndarray
    """m, [M, C]."""
    classes: np.ndarray | None
    """The labels, in the order of all columns, [C]. None: a regression."""
    calibration: LogisticRegression | None
    """From the mean of f to probabilities. None: a regression, or ``calibrate=False``."""
    eigenvalues: np.ndarray
    """Of ΦᵀΦ, [M]."""
    vectors: np.ndarray
    """The eigenvectors of ΦᵀΦ, [M, M]."""
    feature_map: FeatureMap = field(repr=False)
    """Gives the features of rows, from copies of the model's kernel and inducing variables."""

    def predict_f(self, X: Any, *, batch_size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """
        Mean and variance of f at rows.

        :param X: rows, as :func:`fit_least_squares` takes them.
        :param batch_size: how many rows are predicted at a time. It changes only the memory needed.
        :return: the means [n, C], and the variances [n, 1], which all outputs share. Where a function gave the
            features, the variances are those that the features explain.
        """
        means, variances = [], []
        shrinkage = self.ridge / (self.eigenvalues + self.ridge)
        for block in self._blocks(X, batch_size):
            variance = np.square(block.phi @ self.vectors) @ shrinkage
            prior = self.feature_map.prior_variance(block.X)
            if prior is not None:
                variance += np.maximum(prior - np.sum(np.square(block.phi), axis=1), 0.0)
            means.append(block.phi @ self.weights + self.offset)
            variances.append(variance[:, None])
        return np.concatenate(means), np.concatenate(variances)

    def predict_mean(self, X: Any, *, batch_size: int | None = None) -> np.ndarray:
        """The mean of f at rows, [n, C], without the variance, which takes longer."""
        means = [block.phi @ self.weights + self.offset for block in self._blocks(X, batch_size)]
        return np.concatenate(means)

    def predict_y(self, X: Any, *, batch_size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of y at rows, [n, C] both: the variance is ``scale`` times that of f plus ``ridge``."""
        mean, variance = self.predict_f(X, batch_size=batch_size)
        return mean, self.scale * (variance + self.ridge)

    def predict_proba(self, X: Any, *, batch_size: int | None = None) -> np.ndarray:
        """
        Probabilities of the classes at rows, [n, C], with the columns in the order of ``classes``.

        :raises TypeError: for a fit without a calibration.
        """
        return self._calibration().probabilities(self.predict_mean(X, batch_size=batch_size))

    def predict_log_proba(self, X: Any, *, batch_size: int | None = None) -> np.ndarray:
        """The logarithms of :meth:`predict_proba`, which are finite also where a probability rounds to 0."""
        return self._calibration().log_probabilities(self.predict_mean(X, batch_size=batch_size))

    def predict(self, X: Any, *, batch_size: int | None = None) -> np.ndarray:
        """The most probable class of each row, [n], or, of a regression, the means of y, [n, C]."""
        mean = self.predict_mean(X, batch_size=batch_size)
        if self.classes is None:
            return mean
        scores = mean if self.calibration is None else self.calibration.log_probabilities(mean)
        return self.classes[np.argmax(scores, axis=1)]

    def as_svgp(self, *, scaled: bool = False) -> SVGP:
        r"""
        The same process as a GPflow model with a Gaussian likelihood on the targets, and q(u) set.

        Its ``predict_f`` is that of this fit. The targets are the numbers, or the classes as columns of ones and zeros;
        ``offset`` is the model's constant mean function. The model has copies of the kernel and of the inducing
        variables, and a covariance for each of C outputs, C M² numbers.

        GPflow adds ``gpflow.default_jitter()`` to Kuu. The mean does not depend on it, and the variance equals that of
        the fit to about this jitter. The jitter must be the same here and in later predictions.

        :param scaled: whether to multiply the kernel's variance and the noise by ``scale``, so that the variances of
            the model's ``predict_y`` are those of :meth:`predict_y`. For this all outputs must have the same scale.
        :raises TypeError: for features that a function gave, and, where ``scaled``, for a kernel without a variance.
        :raises ValueError: where Kuu with its jitter is not positive definite, and for scales that differ.
        """
        return _as_svgp(self, self._scale() if scaled else 1.0)

    def _scale(self) -> float:
        if np.ptp(self.scale) > 1e-9 * self.scale[0]:
            raise ValueError(
                f"scaled=True needs one scale for all outputs, got {self.scale.tolist()}: fit each column of y by "
                "itself, or divide each by its deviation."
            )
        return float(self.scale[0])

    def _calibration(self) -> LogisticRegression:
        if self.calibration is None:
            what = "calibrate=False: fit with True"
            if self.classes is None:
                what = 'a regression: for classes fit with task="classification", for numbers take predict_y'
            raise TypeError(f"probabilities need a fit of labels with calibrate=True, got {what}.")
        return self.calibration

    def _blocks(self, X: Any, batch_size: int | None) -> Blocks:
        return blocks_to_predict(self.feature_map, X, len(self.weights), batch_size)


def fit_least_squares(
    features: Any,
    X: Any,
    y: Any,
    *,
    task: Task = "auto",
    ridges: Sequence[float] | None = None,
    calibrate: bool = True,
    batch_size: int | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> LeastSquaresFit:
    r"""
    Fit a Gaussian process to labels or numbers by least squares on its features, in closed form.

    The features Φ [N, M] are computed once, a block of rows at a time. One eigendecomposition of ΦᵀΦ then serves all
    outputs and all ridges, and gives each row's prediction by all others. The ridge is chosen by the log density of
    these predictions (Rasmussen & Williams 2006, eqs. 5.10 to 5.12), at the scale of kernel and noise where this is
    largest. The means of y, or the classes' frequencies, are subtracted first and count as known.

    For labels, the regression is on a column of ones and zeros for each class. A multinomial logistic regression with
    the penalty of scikit-learn's ``LogisticRegression(C=30)`` then maps the left-out predictions to probabilities.

    Time: the features, and about 2 N M² + N M C R multiply-adds for R ridges. Memory: M² numbers, the results, a block
    of rows, and up to 1 GB of features; features beyond that are computed three times. Sums are in float64, whatever
    the dtype of the kernel.

    With a ``strategy``, several processes share the rows, and all have the same fit at the end. Each runs the same
    script, is given all rows, as files for instance, and reads its own part of them. What they send is one sum of M²
    numbers, and the results of all rows.

    >>> fit = fit_least_squares(model, rows, y)
    >>> fit.predict(rows).shape, fit.predict_proba(rows).shape
    ((20,), (20, 2))

    :param features: a ``gpflow.models.SVGP``, of which the kernel and the inducing variables are used as they are, and
        which is left unchanged. Its likelihood and its q(u) do not matter. Inducing variables may come twice:
        directions with less than 1e-12 (in float32 1e-6) of Kuu's largest eigenvalue are left out. Or a function from
        rows of X to features [n, M].
    :param X: rows [N, W] as the model takes them, an array or a memory-mapped file or the like, read a block at a time.
        For a function, [N, ...].
    :param y: labels [N]: integers, booleans or text. Or floats [N] or [N, P], for a regression.
    :param task: "classification" takes y as labels, whole floats such as 0.0 and 1.0 among them; "regression" takes it
        as numbers, integers among them. "auto" goes by the dtype: floats are numbers, all else labels. It warns of
        floats that look like labels.
    :param ridges: the noise variances among which to choose, positive, in the units of the kernel. None: 21 of them,
        from 1e-8 to 100 times the mean of \|φ\|².
    :param calibrate: whether to fit probabilities to labels.
    :param batch_size: how many rows make a block. It changes only the memory needed. None: as many as have 4 million
        features together.
    :param strategy: what :func:`~sigkernel_tf.gp.connect_workers` returns, or another
        ``tf.distribute.MultiWorkerMirroredStrategy`` with one device in each process. None: this process fits alone.
    :raises ValueError: for a model with a mean function, for shapes that do not fit, for NaN and infinite values, for
        labels of one class, for another task, for ridges that are not positive, and for workers whose arguments differ.
    :raises TypeError: for other features, a multioutput kernel, a y of another dtype, and another kind of strategy.
    :raises RuntimeError: where another worker has failed or was lost.
    """
    workers = Alone() if strategy is None else as_workers(strategy)
    with workers.lost_workers():
        with workers.together():
            of_rows, targets = feature_map(features), as_targets(y, task)
            rows = as_feature_rows(X, targets.Y, of_rows)
            blocks = Blocks(of_rows, rows, batch_size=batch_size, workers=workers)
        if workers.size > 1:
            workers.check_same(_described(features, rows, targets, ridges, calibrate))
        return _fitted(of_rows, targets, blocks, ridges, calibrate)


def _fitted(
    of_rows: FeatureMap, targets: Targets, blocks: Blocks, ridges: Sequence[float] | None, calibrate: bool
) -> LeastSquaresFit:
    workers = blocks.workers
    decomposition = Decomposition.of(blocks)
    tried = decomposition.default_ridges(len(blocks)) if ridges is None else checked_positive(ridges, "ridges")
    left_out = leave_one_out(blocks, decomposition, tried)
    scales = left_out.scales(shared=targets.classes is not None)
    log_densities = left_out.log_densities(scales)
    best = int(np.argmax(log_densities))
    weights = decomposition.weights(tried[best])
    leverages = left_out.leverages[:, best].copy()
    scores = workers.joined(left_out_means(blocks, weights, leverages), len(blocks)) + targets.offset
    return LeastSquaresFit(
        ridge=float(tried[best]),
        loo_scores=scores,
        loo_log_density=float(log_densities[best]),
        ridges=tried,
        loo_log_densities=log_densities,
        scale=scales[best].copy(),
        leverages=workers.joined(leverages, len(blocks)),
        offset=targets.offset,
        weights=weights,
        classes=targets.classes,
        calibration=_calibrated(scores, targets) if calibrate else None,
        eigenvalues=decomposition.eigenvalues,
        vectors=decomposition.vectors,
        feature_map=of_rows,
    )


def _described(
    features: Any, rows: Rows, targets: Targets, ridges: Sequence[float] | None, calibrate: bool
) -> dict[str, Any]:
    """What must be the same on all workers, of which none has read all rows: their number and the first one tell X."""
    X, _ = rows.read(slice(0, 1))
    of_model = isinstance(features, SVGP)
    return {
        "rows": len(rows),
        "first row": digest(X),
        "y": digest(targets.Y),
        "ridges": None if ridges is None else np.asarray(ridges).tolist(),
        "calibrate": calibrate,
        **(settings(features) if of_model else {}),
        "values of the parameters": values_digest(features) if of_model else None,
        **versions(),
    }


def _calibrated(scores: np.ndarray, targets: Targets) -> LogisticRegression | None:
    if targets.classes is None or targets.numbers is None:
        return None
    return fit_logistic(scores, targets.numbers, len(targets.classes), _CALIBRATION_VARIANCE)


def _as_svgp(fit: LeastSquaresFit, scale: float) -> SVGP:
    """
    The model of a fit, by what GPflow computes and what we do.

    With A = R⁻¹ Kuf and R Rᵀ = Kuu + jitter GPflow has the mean Aᵀ q_mu and the variance k(x, x) − Aᵀ (I − Q) A, where
    Q = q_sqrt q_sqrtᵀ.

    Ours are φᵀ m and k(x, x) − φᵀ (I − S) φ with φ = Wᵀ Kuf = (Rᵀ W)ᵀ A and S = (I + ΦᵀΦ / σ²)⁻¹, hence
    q_mu = Rᵀ W m and Q = I − Rᵀ W (I − S) Wᵀ R. Where the jitter is larger than σ² / N, this may have
    negative eigenvalues, and taking them for zeros changes variances by about the jitter.
    """
    of_rows = fit.feature_map
    if not isinstance(of_rows, InducingFeatures):
        raise TypeError("as_svgp needs features of a model, but a function gave them: fit an SVGP instead.")
    kernel, inducing_variable = (
        gpflow.utilities.deepcopy(part) for part in (of_rows.kernel, of_rows.inducing_variable)
    )
    if scale != 1.0:
        _multiply(kernel, scale)
    basis = np.eye(len(fit.weights))
    if of_rows.projection is not None:
        K = Kuu(inducing_variable, kernel, jitter=default_jitter())
        basis = checked_factor(K, kernel).T @ of_rows.projection / np.sqrt(scale)
    explained = fit.eigenvalues / (fit.eigenvalues + fit.ridge)  # I − S, in the coordinates of the eigenvectors
    root = whitened_root((basis @ fit.vectors) * np.sqrt(explained))
    num_outputs = fit.weights.shape[1]
    return SVGP(
        kernel,
        gaussian_likelihood(fit.ridge * scale),
        inducing_variable,
        mean_function=Constant(fit.offset.astype(default_float())),
        num_latent_gps=num_outputs,
        num_data=len(fit.loo_scores),
        q_mu=basis @ fit.weights / np.sqrt(scale),
        q_sqrt=np.broadcast_to(root, (num_outputs, *root.shape)),
    )


def gaussian_likelihood(noise: float) -> gpflow.likelihoods.Gaussian:
    """GPflow's likelihood with a noise of this variance, which may be below GPflow's own lower bound."""
    return gpflow.likelihoods.Gaussian(variance=noise, variance_lower_bound=min(noise / 2, _LOWER_BOUND))


def _multiply(kernel: gpflow.kernels.Kernel, scale: float) -> None:
    variance = getattr(kernel, "variance", None)
    if variance is None:
        raise TypeError(f"scaled=True needs a kernel with a variance, got {described(kernel)}: take scaled=False.")
    variance.assign(variance * scale)
