"""The search for the preprocessing and the kernel that a training set gets."""

from .choice import Options, choose
from .validation import Choice, features_of, fit_choice

__all__ = ["Choice", "Options", "choose", "features_of", "fit_choice"]
