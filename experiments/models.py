"""The models that the experiments compare, and the ways of fitting them."""

PAPERS_MODELS = {"siggpde": "SigGPDE", "gpsig-it": "GPSig-IT", "gpsig-is": "GPSig-IS"}
"""The paper's models: their names on the command line, and in the paper."""
LIFTED = "lifted"
MODELS = {**PAPERS_MODELS, LIFTED: "lifted kernel"}
"""All models. The last has the signature kernel over an RBF kernel, and training series as inducing variables."""
BY_SUMS = ", by sums"
"""Added to the name of a model if it is timed as its authors compute it: see :mod:`.timing`."""

FITS = {
    "nadam": "Nadam",
    "natural": "natural gradients",
    "sites": "closed form",
    "least-squares": "least squares",
}
"""The ways of fitting a model: by Nadam, as in the paper; by ``train`` with natural gradients for q(u); by
``fit_closed_form``; by ``fit_least_squares``."""
