"""
Ways of training a sparse variational Gaussian process.

:func:`fit_least_squares` regresses on labels or numbers in closed form, and is the first to try;
:func:`leave_one_out_log_density` judges hyperparameters by the same regression, and :func:`fit_softmax_mode` is the
logistic regression on the same features. :func:`train` takes minibatch steps in the three phases of the paper's
appendix B.2, with checkpoints. ``closed_form`` and ``sites`` fit the process to a whole training set at once, for
likelihoods whose expectations are known.
"""

from .least_squares import LeastSquaresFit, fit_least_squares
from .leave_one_out import leave_one_out_log_density
from .options import TrainingOptions
from .results import MonitorPoint, TrainingResult
from .run import train
from .softmax_mode import SoftmaxMode, fit_softmax_mode

__all__ = [
    "LeastSquaresFit",
    "MonitorPoint",
    "SoftmaxMode",
    "TrainingOptions",
    "TrainingResult",
    "fit_least_squares",
    "fit_softmax_mode",
    "leave_one_out_log_density",
    "train",
]
