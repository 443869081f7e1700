"""The package's version, here and nowhere else; CITATION.cff repeats it, and a test compares them."""

__version__ = "0.1.0"
