"""
Estimators on time series with scikit-learn's interface.

A fit goes through these modules in turn: ``panels`` takes series in any form, ``options`` checks the parameters,
``preprocessing`` turns series into paths, ``search`` chooses how, ``tasks`` says what is learned from the labels, and
``model`` builds the GPflow model of what was fitted. ``base`` is the common part of the two estimators.
"""

from .classifier import SignatureGPClassifier
from .preprocessing import Preprocessing
from .regressor import SignatureGPRegressor

__all__ = ["Preprocessing", "SignatureGPClassifier", "SignatureGPRegressor"]
