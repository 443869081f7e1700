"""Estimators on time series with scikit-learn's interface."""

from .classifier import SignatureGPClassifier
from .preprocessing import Preprocessing
from .regressor import SignatureGPRegressor

__all__ = ["Preprocessing", "SignatureGPClassifier", "SignatureGPRegressor"]
