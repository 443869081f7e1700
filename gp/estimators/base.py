"""What the classifier and the regressor share: options, fitting, prediction of the latent processes, files."""

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import gpflow
import numpy as np
import tensorflow as tf
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, check_random_state
from threadpoolctl import threadpool_limits

from .._checks import as_positive_int
from ..inducing_variables import OrthogonalSignatureFeatures
from ..kernels import SignatureKernel
from ..training.closed_form import SiteLikelihood
from . import persistence
from .panels import Series, as_series, column_names, describe, warn_if_transposed
from .preprocessing import Preprocessing, Preprocessor, candidates
from .search import Options, choose, features_of, fit_choice
from .tasks import Task

_MAX_WORDS = 600
_STEP_BUDGET = 2e10  # multiply-adds of a step of the final fit: about a second
_SMALL_STEP = 2e9
_MAX_COVARIANCE = 2e7  # numbers in q_sqrt: 160 MB
_BATCH = 256
_OVERFLOWS = (tf.errors.InvalidArgumentError, OverflowError)


class SignatureGP(BaseEstimator):
    """The options of both estimators; see :class:`SignatureGPClassifier`."""

    def __init__(
        self,
        *,
        preprocessing: str | Preprocessing | dict | Sequence[Preprocessing | dict] | None = "auto",
        num_inducing: int | None = None,
        lengthscales: Any = None,
        level_variances: bool | None = None,
        max_length: int = 300,
        max_iterations: int = 100,
        verbose: bool | int = False,
        random_state: Any = None,
    ) -> None:
        """
        :param preprocessing: "auto", or None, lets the training set choose; a :class:`Preprocessing` or a dict of its
            fields fixes it; of a list of these the training set chooses.
        :param num_inducing: at most so many signature features, M; whole levels are taken. None: up to 600, fewer for
            many series and classes.
        :param lengthscales: of the paths' channels, a number or [D]; None: chosen.
        :param level_variances: True: each level of the signature has a variance of its own; False: one for all, and
            all levels, the signature kernel itself; None: whichever predicts held out series better.
        :param max_length: longer series are thinned to so many time steps.
        :param max_iterations: at most so many steps of the final fit.
        :param verbose: whether to print progress.
        :param random_state: decides which series of a large training set the search looks at.
        """
        self.preprocessing = preprocessing
        self.num_inducing = num_inducing
        self.lengthscales = lengthscales
        self.level_variances = level_variances
        self.max_length = max_length
        self.max_iterations = max_iterations
        self.verbose = verbose
        self.random_state = random_state

    def flat_paths(self, X: Any) -> np.ndarray:
        """
        What ``model_`` and ``kernel_`` take for series: preprocessed, padded paths, flattened to [N, L * D].

        :param X: series, as in ``fit``.
        """
        check_is_fitted(self, "model_")
        return _flattened(self._preprocessor.paths(self._series(X)))

    def save(self, path: str | Path) -> None:
        """
        Write the fitted estimator to a file, arrays and JSON without pickle (NumPy's .npz).

        :param path: replaced where it exists; its folder must exist.
        :raises sklearn.exceptions.NotFittedError: before ``fit``.
        :raises TypeError: for options or class labels that JSON cannot hold.
        """
        check_is_fitted(self, "model_")
        persistence.write(Path(path), type(self).__name__, self._to_arrays())

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """
        The estimator that :meth:`save` wrote; nothing in the file is executed.

        :raises FileNotFoundError: where there is no such file.
        :raises ValueError: where it is no such file, damaged, of a newer version, or another estimator's.
        """
        estimator = cls.__new__(cls)
        estimator._from_arrays(persistence.read(Path(path), cls.__name__))
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if "model_" in state:
            state["_model_arrays"] = self._model_arrays()
            del state["model_"], state["kernel_"]
        return {**state, "_sklearn_version": super().__getstate__().get("_sklearn_version")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        state.pop("_sklearn_version", None)
        arrays = state.pop("_model_arrays", None)
        self.__dict__.update(state)
        if arrays is not None:
            self._build_model(**arrays)

    def _check_options(self, num_channels: int) -> Options:
        for name in ("max_length", "max_iterations"):
            as_positive_int(getattr(self, name), name)
        if self.max_length < 2:
            raise ValueError(f"max_length must be at least 2, got {self.max_length}: for instance 300.")
        if self.num_inducing is not None:
            as_positive_int(self.num_inducing, "num_inducing")
        if self.level_variances not in (None, True, False):
            raise TypeError(f"level_variances must be True, False or None, got {self.level_variances!r}.")
        lengthscales = None
        if self.lengthscales is not None:
            try:
                lengthscales = np.asarray(self.lengthscales, float)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"lengthscales must be None (chosen) or positive numbers, one or [D], got {self.lengthscales!r}."
                ) from error
            if lengthscales.ndim > 1 or not (np.isfinite(lengthscales) & (lengthscales > 0)).all():
                raise ValueError(f"lengthscales must be positive numbers, one or [D], got {self.lengthscales!r}.")
        return Options(
            preprocessings=self._preprocessings(num_channels),
            lengthscales=lengthscales,
            level_variances=self.level_variances,
            max_words=self.num_inducing or _MAX_WORDS,
            max_length=self.max_length,
        )

    def _preprocessings(self, num_channels: int) -> list[Preprocessing]:
        given = "auto" if self.preprocessing is None else self.preprocessing
        if isinstance(given, str):
            if given != "auto":
                raise ValueError(f'preprocessing must be "auto", a Preprocessing, a dict or a list, got {given!r}.')
            return candidates(num_channels, int((self.num_inducing or _MAX_WORDS) ** 0.5))
        if not isinstance(given, (Preprocessing, dict, Sequence)):
            raise TypeError(f'preprocessing must be "auto", a Preprocessing, a dict or a list of these, got {given!r}.')
        listed = [given] if isinstance(given, (Preprocessing, dict)) else list(given)
        if not listed:
            raise ValueError('preprocessing must name at least one Preprocessing, got an empty list: or give "auto".')
        found = []
        for one in listed:
            if not isinstance(one, (Preprocessing, dict)):
                raise TypeError(f"preprocessing must hold Preprocessing objects or dicts, got {one!r}.")
            found.append(one if isinstance(one, Preprocessing) else Preprocessing(**one))
        return found

    def _fit(self, series: Series, names: list[str] | None, task: Task) -> None:
        start = time.perf_counter()
        options = self._check_options(series[0].shape[1])
        if self.num_inducing is None:
            options = dataclasses.replace(options, max_words=_affordable(len(series), task.num_latents))
        seed = check_random_state(self.random_state).randint(2**31 - 1) if self.random_state is not None else 0
        self._report(f"{type(self).__name__}: {describe(series)}, {len(options.preprocessings)} preprocessings to try")
        choice, self.candidates_ = choose(series, task, options, np.random.default_rng(seed), self._report)
        try:
            features = features_of(choice, series)
        except _OVERFLOWS as error:
            far = [i for i, one in enumerate(series) if _overflows(features_of, choice, [one])]
            raise ValueError(_too_far(far, choice.learned)) from error
        cost = task.num_latents * features.S.size * min(features.S.shape)
        with threadpool_limits(limits=1, user_api="blas") if cost < _SMALL_STEP else nullcontext():
            rows = np.arange(len(series))
            found = fit_choice(choice, features, task, rows, max_iterations=self.max_iterations, report=self._report)
            q_mu, q_sqrt = found.posterior(features)
        self._preprocessor = choice.candidate.preprocessor
        self.preprocessing_ = choice.candidate.preprocessing
        self.num_channels_ = series[0].shape[1]
        self._keep_names(names)
        self.num_inducing_ = features.S.shape[1]
        self.depth_ = choice.candidate.depth
        self.level_variances_ = choice.learned
        self.validation_nlpp_ = choice.validation_nlpp
        self.elbo_ = found.elbo
        self.n_iter_ = found.iterations
        self._num_series = len(series)
        self._set_likelihood(found.likelihood)
        self._build_model(choice.lengthscales, found.variances, q_mu, q_sqrt)
        self._report(
            f"chosen: {self.preprocessing_}; M = {self.num_inducing_}; ELBO {found.elbo:.2f}; "
            f"{time.perf_counter() - start:.1f} s"
        )

    def _keep_names(self, names: list[str] | None) -> None:
        """As scikit-learn does: there is no ``feature_names_in_`` where the training set had no names."""
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _build_model(
        self, lengthscales: np.ndarray, variances: np.ndarray, q_mu: np.ndarray, q_sqrt: np.ndarray
    ) -> None:
        with _float64():
            if self.level_variances_:
                kernel = SignatureKernel(
                    len(lengthscales), lengthscales=lengthscales, level_variances=np.append(variances, 0.0)
                )
                gpflow.set_trainable(kernel.variance, False)
            else:
                kernel = SignatureKernel(len(lengthscales), lengthscales=lengthscales, variance=float(variances[0]))
            self.kernel_ = kernel
            self.model_ = gpflow.models.SVGP(
                kernel,
                self._gpflow_likelihood(),
                OrthogonalSignatureFeatures(len(q_mu)),
                num_latent_gps=q_mu.shape[1],
                num_data=self._num_series,
                q_mu=q_mu,
                q_sqrt=q_sqrt,
            )

    def _set_likelihood(self, fitted: SiteLikelihood) -> None:
        """Keep what the likelihood has learnt; classes' have nothing."""

    def _gpflow_likelihood(self) -> gpflow.likelihoods.Likelihood:
        raise NotImplementedError

    def _model_arrays(self) -> dict[str, np.ndarray]:
        kernel = self.kernel_
        learned = kernel.variance.numpy()[None]
        if self.level_variances_ and kernel.level_variances is not None:
            learned = kernel.level_variances.numpy()[:-1]
        return {
            "lengthscales": kernel.lengthscales.numpy(),
            "variances": learned,
            "q_mu": self.model_.q_mu.numpy(),
            "q_sqrt": self.model_.q_sqrt.numpy(),
        }

    def _marginals(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the latent processes, [N, C] each."""
        check_is_fitted(self, "model_")
        series = self._series(X)
        means, variances = [], []
        with _float64():
            for start in range(0, len(series), _BATCH):
                flat = _flattened(self._preprocessor.paths(series[start : start + _BATCH]))
                mean, variance = self._finite_marginals(flat, start)
                means.append(mean)
                variances.append(variance)
        return np.concatenate(means), np.concatenate(variances)

    def _finite_marginals(self, flat: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Of paths whose series are numbered from ``start``."""

        def predict(paths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mean, variance = (part.numpy() for part in self.model_.predict_f(tf.constant(paths)))
            if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
                raise OverflowError
            return mean, variance

        try:
            return predict(flat)
        except _OVERFLOWS as error:
            far = [start + i for i in range(len(flat)) if _overflows(predict, flat[i : i + 1])]
            raise ValueError(_too_far(far, self.level_variances_)) from error

    def _series_to_fit(self, X: Any) -> tuple[Series, list[str] | None]:
        """The training set's series, and the names of X's columns."""
        warn_if_transposed(X)
        return as_series(X), column_names(X)

    def _series(self, X: Any) -> Series:
        """Series to predict, held against the training set's channels."""
        series = as_series(X)
        self._check_names(column_names(X))
        shape: Any = getattr(X, "shape", ())
        if series[0].shape[1] != self.num_channels_:
            cure = "give the same channels in the same order, time before channels ([N, L, D])"
            if len(shape) == 2 and shape[1] == self.num_channels_:
                cure = f"an array {tuple(shape)} is that many series of one channel; one series is X[None]"
            elif len(shape) == 3 and shape[1] == self.num_channels_:
                cure = "sktime's numpy3D is [N, D, L]: give X.transpose(0, 2, 1)"
            raise ValueError(
                f"X must have the {self.num_channels_} channels that {type(self).__name__} was fitted on, got "
                f"{series[0].shape[1]}: {cure}."
            )
        return series

    def _check_names(self, names: list[str] | None) -> None:
        """Channels are taken by position, so their names must be those of ``fit``, in its order."""
        fitted = getattr(self, "feature_names_in_", None)
        estimator = type(self).__name__
        if names is None and fitted is None:
            return
        if fitted is None:
            warnings.warn(f"X has feature names, but {estimator} was fitted without feature names", stacklevel=4)
        elif names is None:
            warnings.warn(
                f"X does not have valid feature names, but {estimator} was fitted with feature names", stacklevel=4
            )
        elif names != list(fitted):
            raise ValueError(_differing(names, list(fitted)))

    def _to_arrays(self) -> dict[str, Any]:
        fitted = {name: getattr(self, name) for name in self._saved()}
        fitted["preprocessing_"] = self.preprocessing_.to_dict()
        if hasattr(self, "feature_names_in_"):
            fitted["feature_names_in_"] = self.feature_names_in_
        return {
            "params": persistence.json_params(self.get_params(deep=False)),
            "fitted": fitted,
            "arrays": {
                **self._model_arrays(),
                "mean": self._preprocessor.mean,
                "deviation": self._preprocessor.deviation,
            },
            "thinned_to": self._preprocessor.max_length,
        }

    def _saved(self) -> tuple[str, ...]:
        """Fitted attributes that are JSON values or arrays."""
        return (
            "candidates_", "num_channels_", "num_inducing_", "depth_", "level_variances_", "validation_nlpp_", "elbo_",
            "n_iter_", "_num_series",
        )  # fmt: skip

    def _from_arrays(self, saved: dict[str, Any]) -> None:
        self.__init__(**saved["params"])  # type: ignore[misc]
        arrays, fitted = dict(saved["arrays"]), dict(saved["fitted"])
        self.preprocessing_ = Preprocessing(**fitted.pop("preprocessing_"))
        self._preprocessor = Preprocessor(
            self.preprocessing_, arrays.pop("mean"), arrays.pop("deviation"), saved["thinned_to"]
        )
        self.__dict__.update(fitted)
        self._build_model(**arrays)

    def _report(self, message: str) -> None:
        if self.verbose:
            print(message, flush=True)


@contextmanager
def _float64() -> Any:
    """GPflow in double precision, whatever it is set to."""
    with gpflow.config.as_context(dataclasses.replace(gpflow.config.config(), float=np.float64)):
        yield


def _overflows(compute: Callable, *of: Any) -> bool:
    try:
        compute(*of)
    except _OVERFLOWS:
        return True
    return False


def _too_far(far: list[int], level_variances: bool) -> str:
    named = ", ".join(str(i) for i in far[:5]) + (", ..." if len(far) > 5 else "")
    cure = "" if level_variances else "level_variances=True, or with "
    return (
        f"X must hold series that reach no farther than the training set's by orders of magnitude, got series {named}, "
        f"whose signature kernel overflows: drop or rescale what is so far out, or fit with {cure}"
        'preprocessing={"scaling": "series"}, which forgets how far a series reaches.'
    )


def _differing(names: list[str], fitted: list[str]) -> str:
    """scikit-learn's message for columns that are not those of ``fit``, and the cure."""
    lines = ["The feature names should match those that were passed during fit."]
    for title, listed in (
        ("Feature names unseen at fit time:", sorted(set(names) - set(fitted))),
        ("Feature names seen at fit time, yet now missing:", sorted(set(fitted) - set(names))),
    ):
        if listed:
            lines += [title, *(f"- {name}" for name in listed[:5]), *(["- ..."] if len(listed) > 5 else [])]
    if len(lines) == 1:
        lines.append("Feature names must be in the same order as they were in fit.")
    lines.append("X must have the columns feature_names_in_: give X[list(estimator.feature_names_in_)].")
    return "\n".join(lines) + "\n"


def _flattened(paths: np.ndarray) -> np.ndarray:
    return paths.reshape(len(paths), -1)


def _affordable(num_series: int, num_latents: int) -> int:
    """How many features the final fit has time and memory for."""
    by_time = (_STEP_BUDGET / (num_series * num_latents)) ** 0.5
    by_memory = (_MAX_COVARIANCE / num_latents) ** 0.5
    return max(int(min(_MAX_WORDS, by_time, by_memory)), 2)
