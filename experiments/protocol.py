"""The paper's protocol: SigGPDE trained on a data set once for each seed, and scored on its test set."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gpflow
import numpy as np

from sigkernel_tf.gp import SigGPDE, TrainingOptions, TrainingResult, flatten_paths, train
from sigkernel_tf.gp.evaluation import Evaluator

from .datasets import Dataset
from .results import Results

_LOOKS_PER_PHASE = 20


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is trained, and for how long."""

    num_inducing: int
    iterations: int
    """In each of the three phases."""
    batch_size: int
    lengthscale: float
    """Where every channel's lengthscale starts."""

    def name(self, dataset: str) -> str:
        """A folder name that tells one experiment from another."""
        return f"{dataset}-M{self.num_inducing}-N{self.iterations}-B{self.batch_size}-l{self.lengthscale:g}"

    def training_options(self, seed: int, checkpoint_dir: Path, progress: bool) -> TrainingOptions:
        """Appendix B.2: Nadam at 1e-3, a fifth of the training set for validation."""
        return TrainingOptions(
            iterations=self.iterations,
            batch_size=self.batch_size,
            monitor_every=math.ceil(self.iterations / _LOOKS_PER_PHASE),
            seed=seed,
            checkpoint_dir=checkpoint_dir,
            progress=progress,
        )

    def as_json(self) -> dict[str, Any]:
        """All that decides a result, beside the data and the seed."""
        training = asdict(self.training_options(seed=0, checkpoint_dir=Path(), progress=False))
        chosen = {name: training[name] for name in ("learning_rate", "validation_fraction", "monitor_every")}
        return {**asdict(self), "model": "SigGPDE", "likelihood": "MultiClass", "optimizer": "Nadam", **chosen}


def build_model(dataset: Dataset, protocol: Protocol) -> SigGPDE:
    """
    SigGPDE with GPflow's ``MultiClass`` likelihood (robust-max), a latent process for each class.

    The hyperparameters are the lengthscales, one for each channel; the kernel's variance stays 1 (appendix B.2: "the
    scaling factors for each channel").
    """
    model = SigGPDE(
        dataset.num_channels,
        protocol.num_inducing,
        likelihood=gpflow.likelihoods.MultiClass(dataset.num_classes),
        num_latent_gps=dataset.num_classes,
        lengthscales=np.full(dataset.num_channels, protocol.lengthscale),
    )
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
    model = build_model(dataset, protocol)
    on_test = Evaluator(model, (flatten_paths(dataset.X_test), dataset.y_test[:, None]))

    def record() -> dict[str, float]:
        """For the figure; training takes no notice of it."""
        scores = on_test()
        named = {"test_accuracy": scores.accuracy, "test_nlpp": scores.nlpp}
        return {name: score for name, score in named.items() if score is not None}

    options = protocol.training_options(seed, folder, progress)
    data = flatten_paths(dataset.X_train), dataset.y_train[:, None]
    result: TrainingResult = train(model, data, options, record=record)
    scores = on_test()
    seconds = result.seconds_per_iteration
    return {
        "seed": seed,
        "accuracy": scores.accuracy,
        "nlpp": scores.nlpp,
        "seconds_per_iteration": None if math.isnan(seconds) else seconds,
        "lengthscales": model.kernel.lengthscales.numpy().tolist(),
        "best_iteration": result.best_iteration,
        "history": [asdict(point) for point in result.history],
    }
