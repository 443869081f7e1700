"""
Posterior processes of the inducing variables, and the divergences KL[q(u) || p(u)]. Importing this package registers
both with GPflow.

A posterior answers one question: given q(u), what are the mean and the variance of f at new paths? Of the variance, a
part comes from q(u) and a part from the prior, namely what the inducing variables leave unexplained.

- ``orthogonal``: for orthogonal signature features, where Kuu is the identity and nothing is factorised (eq. 29).
- ``residual``: the prior's part there, k(x, x) − |S_M(x)|².
- ``whitened``: for GPSig's inducing variables, where Kuu needs its Cholesky factor.
- ``batches``: predictions at rows with leading batch dimensions, which all of these take.
- ``packed``: the factor of q(u)'s covariance in the form in which GPflow stores it, which both posteriors use directly.
- ``diagnostics``: whether a solver is accurate enough for eq. 29 to hold, and how much of the prior's variance lies
  beyond the features.
"""

from . import whitened as whitened
from .diagnostics import check_residual, residual_share
from .orthogonal import OrthogonalPosterior

__all__ = ["OrthogonalPosterior", "check_residual", "residual_share"]
