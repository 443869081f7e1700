"""
Predictions of a model at many inputs, and its scores on labelled data, a batch at a time so that memory stays flat.

``batches`` holds the machinery, which the other modules share, and the prediction of means and variances.
"""

from .batches import predict_in_batches, predict_rows
from .evaluation import Evaluation, Evaluator, evaluate
from .probabilities import predict_probabilities
from .quantiles import predict_quantiles
from .samples import sample_posterior

__all__ = [
    "Evaluation",
    "Evaluator",
    "evaluate",
    "predict_in_batches",
    "predict_probabilities",
    "predict_quantiles",
    "predict_rows",
    "sample_posterior",
]
