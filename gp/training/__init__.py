"""Training a sparse variational Gaussian process as in the paper's appendix B.2."""

from .options import TrainingOptions
from .results import MonitorPoint, TrainingResult
from .run import train

__all__ = ["MonitorPoint", "TrainingOptions", "TrainingResult", "train"]
