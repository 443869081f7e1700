"""
Two ways of training a sparse variational Gaussian process.

:func:`train` takes minibatch steps in the three phases of the paper's appendix B.2, with checkpoints. ``closed_form``
and ``sites`` fit the process to a whole training set at once, for likelihoods whose expectations are known.
"""

from .options import TrainingOptions
from .results import MonitorPoint, TrainingResult
from .run import train

__all__ = ["MonitorPoint", "TrainingOptions", "TrainingResult", "train"]
