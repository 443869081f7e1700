"""
Ways of training a sparse variational Gaussian process.

:func:`fit_least_squares` regresses on labels or numbers in closed form, and is the first to try;
:func:`leave_one_out_log_density` judges hyperparameters by the same regression, and :func:`fit_softmax_mode` is the
logistic regression on the same features. :func:`train` takes minibatch steps in the three phases of the paper's
appendix B.2, with checkpoints. :func:`fit_closed_form` takes natural-gradient steps with all the data, for any
likelihood with expectations in closed form or by quadrature. ``grouped_features`` is the estimators' fit of groups of
features with variances of their own.
"""

from .closed_form import fit_closed_form
from .closed_form_options import ClosedFormOptions, ClosedFormResult, FitPass
from .connection import connect_workers
from .least_squares import LeastSquaresFit, fit_least_squares
from .leave_one_out import leave_one_out_log_density
from .options import TrainingOptions
from .results import MonitorPoint, TrainingResult
from .run import train
from .softmax_mode import SoftmaxMode, fit_softmax_mode

__all__ = [
    "ClosedFormOptions",
    "ClosedFormResult",
    "FitPass",
    "LeastSquaresFit",
    "MonitorPoint",
    "SoftmaxMode",
    "TrainingOptions",
    "TrainingResult",
    "connect_workers",
    "fit_closed_form",
    "fit_least_squares",
    "fit_softmax_mode",
    "leave_one_out_log_density",
    "train",
]
