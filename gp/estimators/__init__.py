"""
Estimators on time series with scikit-learn's interface.

A fit goes through these modules in turn: ``panels`` takes series in any form, ``options`` and ``weights`` check the
parameters, ``tasks`` says what is learned from the labels, ``preprocessing`` turns series into paths, and ``search``
chooses how, and by which kernel. A lifted kernel (``lifted``) is fitted by ``final_fit``, on the least squares of
``least_squares`` and the probabilities of ``calibration``, and its ``process`` predicts. A truncated kernel is fitted
by sites, and ``model`` builds its GPflow model. ``base`` is the common part of the two estimators.
"""

from .classifier import SignatureGPClassifier
from .preprocessing import Preprocessing
from .regressor import SignatureGPRegressor

__all__ = ["Preprocessing", "SignatureGPClassifier", "SignatureGPRegressor"]
