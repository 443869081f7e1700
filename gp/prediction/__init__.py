"""Predictions of a model at many inputs with flat memory, and scores of the model on labelled data."""

from .batches import predict_in_batches, predict_probabilities, predict_quantiles, sample_posterior
from .evaluation import Evaluation, Evaluator, evaluate

__all__ = [
    "Evaluation",
    "Evaluator",
    "evaluate",
    "predict_in_batches",
    "predict_probabilities",
    "predict_quantiles",
    "sample_posterior",
]
