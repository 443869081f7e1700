"""
Three ways of training a sparse variational Gaussian process.

:func:`fit_least_squares` regresses on labels or numbers in closed form, and is the first to try. :func:`train` takes
minibatch steps in the three phases of the paper's appendix B.2, with checkpoints. ``closed_form`` and ``sites`` fit the
process to a whole training set at once, for likelihoods whose expectations are known.
"""

from .least_squares import LeastSquaresFit, fit_least_squares
from .options import TrainingOptions
from .results import MonitorPoint, TrainingResult
from .run import train

__all__ = ["LeastSquaresFit", "MonitorPoint", "TrainingOptions", "TrainingResult", "fit_least_squares", "train"]
