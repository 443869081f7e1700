"""The models that the experiments compare."""

MODELS = {"siggpde": "SigGPDE", "gpsig-it": "GPSig-IT", "gpsig-is": "GPSig-IS"}
"""Their names on the command line and in the paper."""
BY_SUMS = ", by sums"
"""Added to the name of a model if it is timed as its authors compute it: see :mod:`.timing`."""
