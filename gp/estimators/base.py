"""What the classifier and the regressor share: options, fitting, and prediction of the latent processes."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gpflow
import numpy as np
import tensorflow as tf
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, check_random_state

from .._chunks import row_slices
from ..training.grouped_features import Features, Fit, SiteLikelihood
from ..training.logistic import LogisticRegression
from . import persistence
from .channels import check_names, check_number, column_names
from .final_fit import fit_lifted
from .fits import SITES
from .model import arrays_of, build_model, float64
from .options import Options, checked_options
from .overflows import OVERFLOWS, too_far
from .panels import Series, as_series, sizes, warn_if_transposed
from .preprocessing import Preprocessing
from .search import choose
from .search.candidate import LiftedCandidate
from .search.truncated import Choice, features_of, fit_choice
from .tasks import Task
from .threads import one_thread

_BATCH = 256  # series predicted at a time
_SMALL_STEP = 2e9  # multiply-adds of a step of the fit that several threads would only slow down
_OF_TRUNCATED = ("depth_", "level_variances_", "elbo_", "n_iter_")  # attributes that only its fits have


class SignatureGP(BaseEstimator):
    """The options of both estimators; see :class:`SignatureGPClassifier`."""

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
        verbose: bool | int = False,
        random_state: Any = None,
    ) -> None:
        """
        :param kernel: "lifted", the signature kernel over an RBF kernel of time and channels; "windows", the same of
            windows that are not differenced, for shapes that recur anywhere; "truncated", the kernel of truncated
            signatures; "auto": the training set chooses. ``preprocessing``, ``lengthscales`` and ``level_variances``
            belong to the truncated kernel: where one of them is given, "auto" means "truncated".
        :param preprocessing: "auto", or None: the training set chooses; a :class:`Preprocessing` or a dict of its
            fields fixes it; a list of these: the training set chooses one of them.
        :param num_inducing: M, the largest number of inducing series of a lifted kernel, or of signature features of
            a truncated one, where only whole levels of the signature are used. None: all series, up to some 2,000, or
            as many as ``effort`` affords; and up to 600 features, fewer for many series and classes.
        :param lengthscales: of the paths' channels, a number or [D]; None: the training set chooses them.
        :param level_variances: True: each level of the signature up to the depth has a variance of its own, and there
            are no others; False: all levels have the same variance, which is the signature kernel itself; None:
            whichever predicts held-out series better.
        :param max_length: the largest number of time steps, or of windows; longer series are thinned to it. Lifted
            kernels take at most 110 at effort 1.
        :param max_iterations: the largest number of steps of the final fit of a truncated kernel.
        :param effort: a factor on the work that the search and the fit of lifted kernels may take, in cells of Goursat
            problems and multiply-adds. At 1 a small training set takes some ten seconds, and one of 7,000 series of 46
            time steps some minutes.
        :param verbose: whether to print progress.
        :param random_state: decides which series of a large training set the search uses.
        """
        self.kernel = kernel
        self.preprocessing = preprocessing
        self.num_inducing = num_inducing
        self.lengthscales = lengthscales
        self.level_variances = level_variances
        self.max_length = max_length
        self.max_iterations = max_iterations
        self.effort = effort
        self.verbose = verbose
        self.random_state = random_state

    def flat_paths(self, X: Any) -> np.ndarray:
        """
        Series in the form that ``model_`` and ``kernel_`` take: as preprocessed, padded paths, flattened to [N, L * D].

        :param X: series, as in ``fit``.
        """
        check_is_fitted(self)
        return self._flat_paths(self._series(X))

    def save(self, path: str | Path) -> None:
        """
        Write the fitted estimator to a file of arrays and JSON, without pickle (NumPy's .npz).

        :param path: replaced where it exists; its folder must exist.
        :raises sklearn.exceptions.NotFittedError: before ``fit``.
        :raises FileNotFoundError: where there is no such folder.
        :raises TypeError: for options or class labels that JSON cannot hold.
        """
        check_is_fitted(self)
        if not Path(path).parent.is_dir():
            raise FileNotFoundError(f"path must lie in a folder that exists, got {str(path)!r}: make its folder first.")
        persistence.save(Path(path), self)

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """
        The estimator that :meth:`save` wrote; nothing in the file is executed.

        :raises FileNotFoundError: where there is no such file.
        :raises ValueError: where it is another file, damaged, of a newer version, or another estimator's.
        """
        estimator = cls.__new__(cls)
        persistence.restore(Path(path), estimator)
        return estimator

    def __sklearn_is_fitted__(self) -> bool:
        return "_process" in self.__dict__ or "_sites" in self.__dict__

    @property
    def model_(self) -> gpflow.models.SVGP:
        """
        The fitted GPflow model. That of a lifted kernel is built when it is first asked for.

        :raises AttributeError: before ``fit``, and for a model that would not fit into memory.
        """
        return self._process.model if "_process" in self.__dict__ else self._sites

    @property
    def kernel_(self) -> gpflow.kernels.Kernel:
        """The kernel of ``model_``."""
        return self._process.gpflow_kernel if "_process" in self.__dict__ else self._sites.kernel

    def __getattr__(self, name: str) -> Any:
        """Say why a fitted attribute is missing. Python asks here also where ``model_`` raises an AttributeError."""
        kind = self.__dict__.get("kernel_kind_")
        if name == "model_" and kind is not None:
            raise AttributeError(self._process.too_large)
        if name in _OF_TRUNCATED and kind not in (None, "truncated"):
            raise AttributeError(
                f'{name} belongs to fits of a truncated kernel, and this fit has kernel_kind_="{kind}": see model_, '
                'candidates_ and validation_nlpp_, or fit with kernel="truncated".'
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}, or not before fit.")

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if "_sites" in state:  # GPflow's models cannot be pickled
            state |= {**self._learnt(), "_model_arrays": arrays_of(self._sites)}
            del state["_sites"]
        return {**state, "_sklearn_version": super().__getstate__().get("_sklearn_version")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        state.pop("_sklearn_version", None)
        arrays = state.pop("_model_arrays", None)
        self.__dict__.update(state)
        if arrays is not None:
            self._build_model(arrays)

    def _fit(self, series: Series, names: list[str] | None, task: Task) -> None:
        """Choose the preprocessing and the kernel, fit the process to all series, and keep what was found."""
        start = time.perf_counter()
        self.num_channels_, self._num_series = series[0].shape[1], len(series)
        options = checked_options(self.get_params(deep=False), len(series), self.num_channels_, task.num_latents)
        kinds = ", ".join(options.kernels)
        self._report(f"{type(self).__name__}: {sizes(series)}; kernels to try: {kinds}")
        random = np.random.default_rng(self._seed())
        with float64():
            found, self.candidates_ = choose(series, task, options, random, self._report)
            self._forget()
            self.kernel_kind_, self.validation_nlpp_ = found.kind, found.validation_nlpp
            if isinstance(found.candidate, LiftedCandidate):
                self._fit_lifted(found.candidate, series, task, options, random)
            else:
                self._fit_truncated(found.candidate, series, task)
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):  # scikit-learn's estimators have none without names
            del self.feature_names_in_
        self._report(
            f"chosen: {found.candidate if self.kernel_kind_ != 'truncated' else self.preprocessing_}; "
            f"M = {self.num_inducing_}; {time.perf_counter() - start:.1f} s"
        )

    def _forget(self) -> None:
        """Drop what an earlier fit has left and a fit of another kernel would not replace."""
        for name in ("_process", "_sites", "calibration_", *_OF_TRUNCATED):
            self.__dict__.pop(name, None)

    def _fit_lifted(
        self, candidate: LiftedCandidate, series: Series, task: Task, options: Options, random: np.random.Generator
    ) -> None:
        self._preprocessor = candidate.preprocessor
        self.preprocessing_ = candidate.preprocessor.preprocessing
        fit = fit_lifted(
            candidate,
            self._flat_paths(series),
            task,
            options,
            num_channels=self.num_channels_,
            random=random,
            report=self._report,
        )
        self._process = fit.process
        self.num_inducing_ = len(fit.process.inducing)
        self.fit_method_, self.fit_nlpps_ = fit.method, fit.nlpps
        self._set_calibration(fit.calibration)

    def _fit_truncated(self, choice: Choice, series: Series, task: Task) -> None:
        features = _features(choice, series)
        fit, arrays = self._final_fit(choice, features, task)
        self._keep(choice, fit)
        self.num_inducing_ = features.S.shape[1]
        self.fit_method_, self.fit_nlpps_ = SITES, {}
        self._build_model(arrays)
        self._report(f"ELBO {self.elbo_:.2f}")

    def _set_calibration(self, calibration: LogisticRegression | None) -> None:
        """Take over what turns the process into probabilities; numbers need nothing."""

    def _seed(self) -> int:
        return 0 if self.random_state is None else check_random_state(self.random_state).randint(2**31 - 1)

    def _final_fit(self, choice: Choice, features: Features, task: Task) -> tuple[Fit, dict[str, np.ndarray]]:
        """The fit to all series, and the arrays from which the model is built."""
        cost = task.num_latents * features.S.size * min(features.S.shape)
        with one_thread() if cost < _SMALL_STEP else nullcontext():
            rows = np.arange(len(features.S))
            fit = fit_choice(choice, features, task, rows, max_iterations=self.max_iterations, report=self._report)
            q_mu, q_sqrt = fit.posterior(features)
        variances = {"lengthscales": choice.lengthscales, "variances": fit.variances}
        return fit, {**variances, "q_mu": q_mu, "q_sqrt": q_sqrt}

    def _keep(self, choice: Choice, fit: Fit) -> None:
        """Set the fitted attributes that do not depend on the model."""
        self._preprocessor = choice.candidate.preprocessor
        self.preprocessing_ = choice.candidate.preprocessing
        self.depth_ = choice.candidate.depth
        self.level_variances_ = choice.learned
        self.elbo_ = fit.elbo
        self.n_iter_ = fit.iterations
        self._set_likelihood(fit.likelihood)

    def _build_model(self, arrays: dict[str, np.ndarray]) -> None:
        self._sites = build_model(
            arrays, self._gpflow_likelihood, level_variances=self.level_variances_, num_series=self._num_series
        )

    def _set_likelihood(self, fitted: SiteLikelihood) -> None:
        """Take over what the likelihood has learnt in the fit; those of classes have learnt nothing."""

    def _learnt(self) -> dict[str, Any]:
        """
        What a copy of the model needs beside its arrays, as the model has it now.

        Someone may have trained the model further since the fit. The estimator itself stays as it is.
        """
        num_data = self._sites.num_data
        return {"_num_series": None if num_data is None else int(num_data)}

    def _gpflow_likelihood(self) -> gpflow.likelihoods.Likelihood:
        raise NotImplementedError

    def _marginals(self, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the latent processes at series, [N, C] each."""

        def predict(paths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if self.kernel_kind_ != "truncated":
                return self._process.mean(paths), self._process.variances(paths)
            mean, variance = (part.numpy() for part in self.model_.predict_f(tf.constant(paths)))
            if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
                raise OverflowError
            return mean, variance

        return self._in_batches(predict, series)

    def _means(self, series: Series) -> np.ndarray:
        """The mean alone of the process of a lifted kernel, [N, C]."""
        return self._in_batches(lambda paths: (self._process.mean(paths),), series)[0]

    def _in_batches(self, predict: Callable[[np.ndarray], tuple[np.ndarray, ...]], series: Series) -> Any:
        """What ``predict`` makes of flattened paths, some series at a time."""
        parts = []
        with float64():
            for rows in row_slices(len(series), _BATCH):
                flat = self._flat_paths(series[rows])
                try:
                    parts.append(predict(flat))
                except OVERFLOWS as error:
                    one_by_one = (flat[i : i + 1] for i in range(len(flat)))
                    learned = self.kernel_kind_ == "truncated" and self.level_variances_
                    raise ValueError(too_far(predict, one_by_one, first=rows.start, level_variances=learned)) from error
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    def _flat_paths(self, series: Series) -> np.ndarray:
        paths = self._preprocessor.paths(series)
        return paths.reshape(len(paths), -1)

    def _series_to_fit(self, X: Any) -> tuple[Series, list[str] | None]:
        """The training set's series, and the names of X's columns."""
        warn_if_transposed(X)
        return as_series(X), column_names(X)

    def _series(self, X: Any) -> Series:
        """Series to predict, once it is known that their channels are those of the training set."""
        series = as_series(X)
        estimator = type(self).__name__
        fitted = getattr(self, "feature_names_in_", None)
        check_names(column_names(X), None if fitted is None else list(fitted), estimator)
        check_number(series, self.num_channels_, X, estimator)
        return series

    def _saved(self) -> tuple[str, ...]:
        """The fitted attributes that are JSON values or arrays, and so can be saved as they are."""
        of_fit = ("kernel_kind_", "validation_nlpp_", "fit_method_", "fit_nlpps_")
        common = ("candidates_", "num_channels_", "num_inducing_", "_num_series", *of_fit)
        return common + _OF_TRUNCATED if self.kernel_kind_ == "truncated" else common

    def _report(self, message: str) -> None:
        if self.verbose:
            print(message, flush=True)


def _features(choice: Choice, series: Series) -> Features:
    """The features of all series of the training set, of which the search may have seen only some."""
    try:
        return features_of(choice, series)
    except OVERFLOWS as error:
        message = too_far(lambda one: features_of(choice, [one]), series, level_variances=choice.learned)
        raise ValueError(message) from error
