"""The paper's protocol: train a model on a data set once for each seed, and score it on the test set."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gpflow
import numpy as np
from gpflow.likelihoods import Bernoulli, Likelihood, MultiClass
from gpflow.models import SVGP

from sigkernel_tf import words
from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    SigGPDE,
    SignatureKernel,
    TrainingOptions,
    TruncatedSignatureKernel,
    flatten_paths,
    predict_in_batches,
    word_relevance,
)
from sigkernel_tf.gp.data.checked_files import write_arrays
from sigkernel_tf.gp.prediction.evaluation import Evaluator

from .datasets import Dataset, Series
from .environment import peak_memory_gb
from .fits import Fitted, fit
from .models import FITS, LIFTED, MODELS
from .results import PREDICTIONS, Results
from .scores import binary_scores

DEPTH, SEQUENCE_LENGTH = 4, 5  # GPSig's truncation level and inducing sequences (section 6, appendix B.2)
_TOP_WORDS = 10  # as many as in figure 4
_EVALUATIONS_PER_PHASE = 20  # on the validation split and the test set, during training
# At most so many test series are scored during training, and all of them at the end; and the spread of the words'
# features is estimated from at most so many training series.
_MOST_SERIES = 5000
_NATURAL_STEP = 0.1  # of natural gradients, for MultiClass allows no long ones
_LIFTED_LENGTHSCALE = 0.5  # of the median distance between points
_AT_ONCE = 500  # series in one call of the model's prediction


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Which model is trained, how and for how long."""

    num_inducing: int
    iterations: int
    """In each of the three phases."""
    batch_size: int
    lengthscale: float
    """Where every channel's lengthscale starts."""
    model: str = "siggpde"
    """One of ``MODELS``."""
    fit: str = "nadam"
    """One of ``FITS``."""
    validation_fraction: float = 0.2
    learning_rate: float = 1e-3

    @property
    def trains_variances(self) -> bool:
        """
        Whether variances are hyperparameters, too: the kernel's, or one for each level of the signature.

        At variances of 1 sites fit worse than least squares, whose ridge stands for a variance: the bound pays for what
        the features leave out of k(x, x), and for means of f as large as the classes ask for.
        """
        return self.fit == "sites"

    def name(self, dataset: str) -> str:
        """The name of an experiment's folder, which tells it from others."""
        model = "" if self.model == "siggpde" else f"-{self.model}"
        fit = "" if self.fit == "nadam" else f"-{self.fit}"
        rate = "" if self.learning_rate == 1e-3 else f"-r{self.learning_rate:g}"
        steps = f"N{self.iterations}-B{self.batch_size}-l{self.lengthscale:g}{rate}"
        return f"{dataset}{model}{fit}-M{self.num_inducing}-{steps}"

    def training_options(self, seed: int, checkpoint_dir: Path | None, progress: bool) -> TrainingOptions:
        """As in appendix B.2, Nadam trains the model, and a part of the training set is held out for validation."""
        return TrainingOptions(
            iterations=self.iterations,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            natural_gradient=_NATURAL_STEP if self.fit == "natural" else None,
            validation_fraction=self.validation_fraction,
            monitor_every=math.ceil(self.iterations / _EVALUATIONS_PER_PHASE),
            seed=seed,
            checkpoint_dir=checkpoint_dir,
            progress=progress,
        )

    def as_json(self, dataset: Dataset) -> dict[str, Any]:
        """Everything that a result depends on beside the data and the seed."""
        training = self.training_options(seed=0, checkpoint_dir=None, progress=False)
        likelihood = type(likelihood_of(dataset)[0]).__name__
        model = {"model": MODELS[self.model], "likelihood": likelihood, "optimizer": FITS[self.fit]}
        options = {**asdict(self), **model, "monitor_every": training.monitor_every}
        if self.trains_variances:
            options["variances"] = "trained"
        if self.fit == "nadam":  # as results were written before there were other fits
            del options["fit"]
        return options


def likelihood_of(dataset: Dataset) -> tuple[Likelihood, int]:
    """``Bernoulli`` with one latent process for two classes, ``MultiClass`` with one per class for more."""
    if dataset.num_classes == 2:
        return Bernoulli(), 1
    return MultiClass(dataset.num_classes), dataset.num_classes


def as_inputs(X: Series) -> np.ndarray:
    """Series as rows [N, L * D] for GPflow. One array is not copied, and keeps its dtype: a million series fit."""
    return X.reshape(len(X), -1) if isinstance(X, np.ndarray) else flatten_paths(X)


def some_rows(number: int, most: int) -> np.ndarray:
    """At most ``most`` of the numbers below ``number``, drawn at random and sorted; the same ones at every call."""
    return np.sort(np.random.default_rng(0).permutation(number)[:most])


def gpsig_kernel(dataset: Dataset, protocol: Protocol, explicit: bool | None = None) -> TruncatedSignatureKernel:
    """
    GPSig's kernel with strictly increasing indices (order 1), as in Toth & Oberhauser (2020).

    :param explicit: see :class:`~sigkernel_tf.gp.TruncatedSignatureKernel`. None chooses the faster computation, False
        that of GPSig's authors; both give the same numbers.
    """
    lengthscales = np.full(dataset.num_channels, protocol.lengthscale)
    kernel = TruncatedSignatureKernel(
        dataset.num_channels, DEPTH, discretization_order=1, lengthscales=lengthscales, explicit=explicit
    )
    gpflow.set_trainable(kernel.level_variances, False)
    return kernel


def lifted_kernel(dataset: Dataset) -> SignatureKernel:
    """The normalised signature kernel over an RBF kernel, whose lengthscale is half the median distance of points."""
    series = [dataset.X_train[row] for row in some_rows(len(dataset.X_train), 100)]
    points = np.concatenate(series)[:: max(sum(map(len, series)) // 600, 1)].astype(float)
    median = np.median(np.linalg.norm(points[:, None] - points, axis=2))
    lengthscales = np.full(dataset.num_channels, max(_LIFTED_LENGTHSCALE * median, 1e-3))
    static = gpflow.kernels.RBF()
    gpflow.set_trainable(static, False)  # the kernel's own lengthscales are trained, one for each channel
    return SignatureKernel(dataset.num_channels, lengthscales=lengthscales, static_kernel=static, normalize=True)


def build_model(dataset: Dataset, protocol: Protocol, seed: int = 0, *, explicit: bool | None = None) -> SVGP:
    """
    Build SigGPDE, a model with GPSig's kernel and inducing tensors or sequences from the training set, or one with the
    signature kernel over an RBF kernel and series of the training set.

    The hyperparameters are the lengthscales, one for each channel (appendix B.2: "the scaling factors for each
    channel"), and start at the same value in all models. Variances stay 1, except in a fit by sites; see
    :attr:`Protocol.trains_variances`.

    :param seed: decides from which series inducing tensors and sequences are made.
    :param explicit: how GPSig's kernel is computed; see :func:`gpsig_kernel`.
    """
    likelihood, num_latent_gps = likelihood_of(dataset)
    by_level = protocol.model == "siggpde" and protocol.trains_variances
    if protocol.model == "siggpde":
        model = SigGPDE(
            dataset.num_channels,
            protocol.num_inducing,
            likelihood=likelihood,
            num_latent_gps=num_latent_gps,
            lengthscales=np.full(dataset.num_channels, protocol.lengthscale),
            level_variances=len(words(dataset.num_channels, protocol.num_inducing)[-1]) if by_level else None,
        )
    elif protocol.model == LIFTED:
        lifted = lifted_kernel(dataset)
        X = as_inputs(dataset.X_train)
        sequences = InducingSequences.from_data(X, protocol.num_inducing, lifted, length=None, seed=seed)
        gpflow.set_trainable(sequences, False)
        model = SVGP(lifted, likelihood, sequences, num_latent_gps=num_latent_gps)
    else:
        kernel = gpsig_kernel(dataset, protocol, explicit)
        X = as_inputs(dataset.X_train)
        if protocol.model == "gpsig-it":
            inducing = InducingTensors.from_data(X, protocol.num_inducing, kernel, seed=seed)
        else:
            inducing = InducingSequences.from_data(X, protocol.num_inducing, kernel, length=SEQUENCE_LENGTH, seed=seed)
        model = SVGP(kernel, likelihood, inducing, num_latent_gps=num_latent_gps)
    gpflow.set_trainable(model.kernel.variance, protocol.trains_variances and not by_level)
    return model


def run(
    dataset: Dataset,
    protocol: Protocol,
    seeds: Sequence[int],
    results: Results,
    *,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """
    Train and score the model once for each seed.

    A seed decides the validation split and the minibatches. Seeds that ``results`` already holds are not trained
    again, and a seed that was interrupted goes on from its checkpoint.

    :param results: where the scores of each seed are added.
    :param progress: whether to show a progress bar.
    :param say: what prints a line for each seed.
    """
    for seed in seeds:
        if seed not in results.seeds:
            results.add(_run_seed(dataset, protocol, seed, results.folder / f"seed-{seed}", progress))
        scores = results.seeds[seed]
        say(f"seed {seed}: accuracy {scores['accuracy']:.4f}, NLPP {scores['nlpp']:.4f}")


def _run_seed(dataset: Dataset, protocol: Protocol, seed: int, folder: Path, progress: bool) -> dict[str, Any]:
    start = time.perf_counter()
    model = build_model(dataset, protocol, seed)
    X_test, y_test = as_inputs(dataset.X_test), dataset.y_test[:, None]
    # In batches of a training step's size, so that Ctrl-C is answered as soon as between two steps.
    evaluator = partial(Evaluator, model, batch_size=protocol.batch_size)
    on_test = evaluator((X_test, y_test))
    chosen = some_rows(len(X_test), _MOST_SERIES)
    during_training = on_test if len(X_test) <= _MOST_SERIES else evaluator((X_test[chosen], y_test[chosen]))
    scoring: list[float] = []  # the CPU seconds of each time

    def record() -> dict[str, float]:
        """The test set's scores for the figure; they do not influence training."""
        at = time.process_time()
        scores = during_training()
        scoring.append(time.process_time() - at)
        named = {"test_accuracy": scores.accuracy, "test_nlpp": scores.nlpp}
        return {name: score for name, score in named.items() if score is not None}

    data = as_inputs(dataset.X_train), dataset.y_train[:, None]
    began = time.process_time()
    fitted = fit(
        model, data, protocol, seed=seed, folder=folder, validation=dataset.validation, record=record, progress=progress
    )
    cpu_seconds = time.process_time() - began - sum(scoring)
    if scoring:  # it may have gone on from a checkpoint: the steps before count as much as those of this process
        cpu_seconds *= len(fitted.history) / len(scoring)
    return {
        "seed": seed,
        **_scores(model, fitted, dataset, on_test, folder),
        **({"relevant_words": _relevant_words(model, dataset, data[0])} if protocol.model == "siggpde" else {}),
        "seconds_per_iteration": fitted.seconds_per_iteration,
        "cpu_seconds": cpu_seconds,
        "peak_memory_gb": peak_memory_gb(),
        "wall_seconds": time.perf_counter() - start,  # only of this process, which may have gone on from a checkpoint
        "lengthscales": model.kernel.lengthscales.numpy().tolist(),
        "best_iteration": fitted.best_iteration,
        "history": fitted.history,
    }


def _scores(model: SVGP, fitted: Fitted, dataset: Dataset, on_test: Evaluator, folder: Path) -> dict[str, Any]:
    """The scores on the test set."""
    if fitted.probabilities is not None:
        p = fitted.probabilities(as_inputs(dataset.X_test).astype(gpflow.default_float(), copy=False))
        right = p[np.arange(len(p)), dataset.y_test]
        scores = {
            "accuracy": float(np.mean(p.argmax(axis=1) == dataset.y_test)),
            "nlpp": float(-np.mean(np.log(right))),
        }
        return {**scores, **(binary_scores(dataset.y_test, p[:, 1]) if dataset.num_classes == 2 else {})}
    found = on_test()
    of_two = _binary_scores(model, dataset, folder) if dataset.num_classes == 2 else {}
    return {"accuracy": found.accuracy, "nlpp": found.nlpp, **of_two}


def _binary_scores(model: SVGP, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """The area under the ROC curve and the calibration; also writes the predictions to a file for the figures."""
    X = as_inputs(dataset.X_test)
    probability = predict_in_batches(model, X)[0][:, 0]
    pieces = (X[start : start + _AT_ONCE] for start in range(0, len(X), _AT_ONCE))
    mean = np.concatenate([model.predict_f(piece.astype(gpflow.default_float()))[0].numpy()[:, 0] for piece in pieces])
    values = {"y": dataset.y_test, "probability": probability, "posterior_mean": mean}
    if dataset.amounts_test is not None:
        values["amount"] = dataset.amounts_test
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(folder / PREDICTIONS, example=np.asarray(dataset.X_test[0]), **values)
    return binary_scores(dataset.y_test, probability)


def _relevant_words(model: SVGP, dataset: Dataset, X: np.ndarray) -> list[dict[str, Any]]:
    """The most relevant words, by their coefficients and the spread of their features over rows of the training set."""
    names = dataset.description.channels or None
    relevance = word_relevance(model, names, X=X[some_rows(len(X), _MOST_SERIES)])
    return [asdict(word) for word in relevance.rows[:_TOP_WORDS]]
