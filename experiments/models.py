"""The models that are compared."""

MODELS = {"siggpde": "SigGPDE", "gpsig-it": "GPSig-IT", "gpsig-is": "GPSig-IS"}
"""What the command line calls them, and the paper."""
BY_SUMS = ", by sums"
"""After the name of a model that is timed in its authors' way."""
