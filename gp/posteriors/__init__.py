"""
Posterior processes of the inducing variables, and what tells whether they can be trusted.

Importing this registers them, and the divergences KL[q(u) || p(u)], with GPflow.
"""

from . import whitened as whitened
from .orthogonal import OrthogonalPosterior, check_residual, residual_share

__all__ = ["OrthogonalPosterior", "check_residual", "residual_share"]
