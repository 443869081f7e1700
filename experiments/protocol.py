"""The paper's protocol: a model trained on a data set once for each seed, and scored on its test set."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gpflow
import numpy as np
from gpflow.likelihoods import Bernoulli, Likelihood, MultiClass
from gpflow.models import SVGP

from sigkernel_tf.gp import (
    InducingSequences,
    InducingTensors,
    SigGPDE,
    TrainingOptions,
    TrainingResult,
    TruncatedSignatureKernel,
    flatten_paths,
    predict_in_batches,
    train,
    word_relevance,
)
from sigkernel_tf.gp.prediction.evaluation import Evaluator

from .datasets import Dataset, Series
from .models import MODELS
from .results import PREDICTIONS, Results, peak_memory_gb
from .scores import binary_scores

DEPTH, SEQUENCE_LENGTH = 4, 5  # GPSig's truncation level and inducing sequences (section 6, appendix B.2)
_TOP_WORDS = 10  # figure 4's
_LOOKS_PER_PHASE = 20
_LOOKED_AT = 5000  # test series that are scored on the way, at the end all are; training series for words' spread
_AT_ONCE = 500  # series in a prediction


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is trained, and for how long."""

    num_inducing: int
    iterations: int
    """In each of the three phases."""
    batch_size: int
    lengthscale: float
    """Where every channel's lengthscale starts."""
    model: str = "siggpde"
    """One of ``MODELS``."""
    validation_fraction: float = 0.2
    learning_rate: float = 1e-3

    def name(self, dataset: str) -> str:
        """A folder name that tells one experiment from another."""
        model = "" if self.model == "siggpde" else f"-{self.model}"
        rate = "" if self.learning_rate == 1e-3 else f"-r{self.learning_rate:g}"
        return (
            f"{dataset}{model}-M{self.num_inducing}-N{self.iterations}-B{self.batch_size}-l{self.lengthscale:g}{rate}"
        )

    def training_options(self, seed: int, checkpoint_dir: Path | None, progress: bool) -> TrainingOptions:
        """As in appendix B.2: Nadam, and a part of the training set for validation."""
        return TrainingOptions(
            iterations=self.iterations,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            validation_fraction=self.validation_fraction,
            monitor_every=math.ceil(self.iterations / _LOOKS_PER_PHASE),
            seed=seed,
            checkpoint_dir=checkpoint_dir,
            progress=progress,
        )

    def as_json(self, dataset: Dataset) -> dict[str, Any]:
        """All that decides a result, beside the data and the seed."""
        training = self.training_options(seed=0, checkpoint_dir=None, progress=False)
        likelihood = type(likelihood_of(dataset)[0]).__name__
        model = {"model": MODELS[self.model], "likelihood": likelihood, "optimizer": "Nadam"}
        return {**asdict(self), **model, "monitor_every": training.monitor_every}


def likelihood_of(dataset: Dataset) -> tuple[Likelihood, int]:
    """For two classes ``Bernoulli`` with one latent process, for more ``MultiClass`` with one for each class."""
    if dataset.num_classes == 2:
        return Bernoulli(), 1
    return MultiClass(dataset.num_classes), dataset.num_classes


def as_inputs(X: Series) -> np.ndarray:
    """[N, L * D] for GPflow. One array is taken as it is, without a copy and in its dtype: a million series fit."""
    return X.reshape(len(X), -1) if isinstance(X, np.ndarray) else flatten_paths(X)


def some_rows(number: int, most: int) -> np.ndarray:
    """At most so many of a number of rows, drawn at random, in their order; the same at every call."""
    return np.sort(np.random.default_rng(0).permutation(number)[:most])


def gpsig_kernel(dataset: Dataset, protocol: Protocol, explicit: bool | None = None) -> TruncatedSignatureKernel:
    """
    GPSig's kernel, with strictly increasing indices, order 1, as in Toth & Oberhauser (2020).

    :param explicit: as :class:`~sigkernel_tf.gp.TruncatedSignatureKernel` takes it: None is the faster way, False
        GPSig's own; both give the same numbers.
    """
    lengthscales = np.full(dataset.num_channels, protocol.lengthscale)
    kernel = TruncatedSignatureKernel(
        dataset.num_channels, DEPTH, discretization_order=1, lengthscales=lengthscales, explicit=explicit
    )
    gpflow.set_trainable(kernel.level_variances, False)
    return kernel


def build_model(dataset: Dataset, protocol: Protocol, seed: int = 0, *, explicit: bool | None = None) -> SVGP:
    """
    SigGPDE, or GPSig's kernel with inducing tensors or sequences, which are initialised from the training set.

    The hyperparameters are the lengthscales, one for each channel, and start alike in all models; variances stay 1
    (appendix B.2: "the scaling factors for each channel").

    :param seed: decides from which series inducing tensors and sequences are made.
    :param explicit: how GPSig's kernel is computed, see :func:`gpsig_kernel`.
    """
    likelihood, num_latent_gps = likelihood_of(dataset)
    if protocol.model == "siggpde":
        model = SigGPDE(
            dataset.num_channels,
            protocol.num_inducing,
            likelihood=likelihood,
            num_latent_gps=num_latent_gps,
            lengthscales=np.full(dataset.num_channels, protocol.lengthscale),
        )
    else:
        kernel = gpsig_kernel(dataset, protocol, explicit)
        X = as_inputs(dataset.X_train)
        if protocol.model == "gpsig-it":
            inducing = InducingTensors.from_data(X, protocol.num_inducing, kernel, seed=seed)
        else:
            inducing = InducingSequences.from_data(X, protocol.num_inducing, kernel, length=SEQUENCE_LENGTH, seed=seed)
        model = SVGP(kernel, likelihood, inducing, num_latent_gps=num_latent_gps)
    gpflow.set_trainable(model.kernel.variance, False)
    return model


def run(
    dataset: Dataset,
    protocol: Protocol,
    num_seeds: int,
    results: Results,
    *,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """
    Train and score once for each seed from 0, which decides the validation split and the minibatches.

    Seeds that ``results`` already holds are left alone; a seed that was interrupted goes on from its checkpoint.

    :param progress: whether to show a progress bar.
    :param say: what prints a line for each seed.
    """
    for seed in range(num_seeds):
        if seed not in results.seeds:
            results.add(_run_seed(dataset, protocol, seed, results.folder / f"seed-{seed}", progress))
        scores = results.seeds[seed]
        say(f"seed {seed}: accuracy {scores['accuracy']:.4f}, NLPP {scores['nlpp']:.4f}")


def _run_seed(dataset: Dataset, protocol: Protocol, seed: int, folder: Path, progress: bool) -> dict[str, Any]:
    start = time.perf_counter()
    model = build_model(dataset, protocol, seed)
    X_test, y_test = as_inputs(dataset.X_test), dataset.y_test[:, None]
    on_test = Evaluator(model, (X_test, y_test))
    chosen = some_rows(len(X_test), _LOOKED_AT)
    on_the_way = on_test if len(X_test) <= _LOOKED_AT else Evaluator(model, (X_test[chosen], y_test[chosen]))

    def record() -> dict[str, float]:
        """For the figure; training takes no notice of it."""
        scores = on_the_way()
        named = {"test_accuracy": scores.accuracy, "test_nlpp": scores.nlpp}
        return {name: score for name, score in named.items() if score is not None}

    options = protocol.training_options(seed, folder, progress)
    data = as_inputs(dataset.X_train), dataset.y_train[:, None]
    result: TrainingResult = train(model, data, options, validation=dataset.validation, record=record)
    scores = on_test()
    seconds = result.seconds_per_iteration
    return {
        "seed": seed,
        "accuracy": scores.accuracy,
        "nlpp": scores.nlpp,
        **(_binary_scores(model, dataset, folder) if dataset.num_classes == 2 else {}),
        **({"relevant_words": _relevant_words(model, dataset, data[0])} if protocol.model == "siggpde" else {}),
        "seconds_per_iteration": None if math.isnan(seconds) else seconds,
        "peak_memory_gb": peak_memory_gb(),
        "wall_seconds": time.perf_counter() - start,  # of this process: less where a checkpoint was resumed
        "lengthscales": model.kernel.lengthscales.numpy().tolist(),
        "best_iteration": result.best_iteration,
        "history": [asdict(point) for point in result.history],
    }


def _binary_scores(model: SVGP, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Area under the ROC curve and calibration curve; and predictions in a file for the figures."""
    X = as_inputs(dataset.X_test)
    probability = predict_in_batches(model, X)[0][:, 0]
    pieces = (X[start : start + _AT_ONCE] for start in range(0, len(X), _AT_ONCE))
    mean = np.concatenate([model.predict_f(piece.astype(gpflow.default_float()))[0].numpy()[:, 0] for piece in pieces])
    values = {"y": dataset.y_test, "probability": probability, "posterior_mean": mean}
    if dataset.amounts_test is not None:
        values["amount"] = dataset.amounts_test
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / PREDICTIONS, example=np.asarray(dataset.X_test[0]), **values)
    return binary_scores(dataset.y_test, probability)


def _relevant_words(model: SVGP, dataset: Dataset, X: np.ndarray) -> list[dict[str, Any]]:
    """The most relevant words by the spread of their features over some of the training set X."""
    names = dataset.description.channels or None
    relevance = word_relevance(model, names, X=X[some_rows(len(X), _LOOKED_AT)])
    return [asdict(word) for word in relevance.rows[:_TOP_WORDS]]
