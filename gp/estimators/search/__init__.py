"""
The search for the kernel of a training set, in these steps.

1. Each kind of kernel has a module that proposes candidates: ``lifted.py``, the signature kernel over an RBF kernel of
   time and channels; ``windows.py``, that of windows that are not differenced. ``candidate.py`` computes the kernel's
   matrix of a few hundred series or less for each, and ranks them by a quick NLPP of series that are left out; where
   numbers are predicted, by the evidence.
2. The best of each kind are screened again on more series. The best five of all are validated: least squares with all
   these series but one predict that one, and the NLPP decides from here on.
3. ``refinement.py`` moves the parameters of the best one along the gradient of how well left-out series are predicted;
   the result is validated as well. In large training sets ``neighbours.py`` goes on from the best one, on the series of
   the validation.
4. ``truncated/`` is the search for a truncated kernel and its preprocessing. Where lifted kernels are tried as well, it
   comes last, and only where a quick look says that it may win.

``choice.py`` walks through these steps. How many series each step uses follows from the cells of the Goursat problems
to be solved, and from ``effort``; nothing depends on the clock.
"""

from .choice import Found, choose

__all__ = ["Found", "choose"]
