"""Gaussian processes on time series, in GPflow."""

import importlib
from typing import Any

from sigkernel_tf import _library

# First what says what to do where GPflow is missing. Importing covariances and posteriors registers Kuu, Kuf, the
# posterior and the divergence with GPflow.
from . import _requirements as _requirements
from . import covariances as covariances
from .inducing_variables import InducingSequences, InducingTensors, OrthogonalSignatureFeatures
from .kernels import DeepSignatureKernel, SignatureKernel, TruncatedSignatureKernel, flatten_paths
from .models import SigGPDE
from .posteriors import check_residual, residual_share

_library.ops()  # needed to load a SavedModel that holds the operations

# Names that a model does not need, and the package where each is defined.
_HOME = {
    "ClosedFormOptions": "training",
    "ClosedFormResult": "training",
    "Evaluation": "prediction",
    "FitPass": "training",
    "LeastSquaresFit": "training",
    "MonitorPoint": "training",
    "Preprocessing": "estimators",
    "SignatureGPClassifier": "estimators",
    "SignatureGPRegressor": "estimators",
    "SoftmaxMode": "training",
    "TrainingOptions": "training",
    "TrainingResult": "training",
    "connect_workers": "training",
    "evaluate": "prediction",
    "fit_closed_form": "training",
    "fit_least_squares": "training",
    "fit_softmax_mode": "training",
    "leave_one_out_log_density": "training",
    "path_dataset": "data",
    "predict_in_batches": "prediction",
    "predict_probabilities": "prediction",
    "predict_quantiles": "prediction",
    "predict_rows": "prediction",
    "read_shards": "data",
    "read_tfrecords": "data",
    "sample_posterior": "prediction",
    "train": "training",
    "word_relevance": "interpretation",
    "write_shards": "data",
    "write_tfrecords": "data",
}

__all__ = [
    "DeepSignatureKernel",
    "InducingSequences",
    "InducingTensors",
    "OrthogonalSignatureFeatures",
    "SigGPDE",
    "SignatureKernel",
    "TruncatedSignatureKernel",
    "check_residual",
    "flatten_paths",
    "residual_share",
    *_HOME,
]


def __getattr__(name: str) -> Any:  # PEP 562: imported when first asked for
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
