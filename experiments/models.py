"""The models that are compared."""

MODELS = {"siggpde": "SigGPDE", "gpsig-it": "GPSig-IT", "gpsig-is": "GPSig-IS"}
"""What the command line calls them, and the paper."""
