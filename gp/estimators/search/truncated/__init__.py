"""
The search for a truncated signature kernel and its preprocessing, in these steps.

1. ``candidates.py`` turns at most 200 of the series into paths in every way that is to be tried. For each way,
   ``evidence.py`` regresses the labels on the levels of the signature and gives the evidence; the ways are ranked by
   it.
2. ``validation.py`` cross-validates the best few ways by fitting the process itself, with a variance for each level:
   their NLPP on held-out series decides from here on.
3. The lengthscales of the best two are optimised by the evidence, one for each channel, and validated as well.
4. The best way so far is also validated with one variance for all levels, at several common scales of its
   lengthscales.

``choice.py`` walks through these steps and takes what validates best; :func:`features_of` and :func:`fit_choice` then
serve for the final fit to all series.
"""

from .choice import choose_truncated, quick_nlpp
from .validation import Choice, features_of, fit_choice

__all__ = ["Choice", "choose_truncated", "features_of", "fit_choice", "quick_nlpp"]
