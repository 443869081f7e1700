"""
The process of one fit: ``python -m benchmarks.accuracy.fitting FOLDER`` reads a problem there and writes the answer.

A method is made from the problem's order and its number of channels. Its module is imported, and what it compiles is
compiled on a few numbers, before the clock starts. Then ``fit(X, y)``, ``calibrate(X, y)`` where it has that, and
``predict(X)`` are timed each. Peak memory is the whole process's, with the libraries that it has loaded.
"""

import importlib
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .exchange import CLASSIFICATION, REGRESSION, read_problem, write_answer

METHODS: dict[str, dict[str, str]] = {
    "SignatureGP": {CLASSIFICATION: "ours:Classifier", REGRESSION: "ours:Regressor"},
    "RFSF": {CLASSIFICATION: "fourier:RandomFeatures", REGRESSION: "fourier:RandomFeatures"},
    "MiniRocket": {CLASSIFICATION: "peers:MiniRocketClassifier", REGRESSION: "peers:MiniRocketRegressor"},
    "MultiRocket": {CLASSIFICATION: "peers:MultiRocketClassifier", REGRESSION: "peers:MultiRocketRegressor"},
    "DTW": {CLASSIFICATION: "peers:NearestNeighbour"},
    "SVM": {CLASSIFICATION: "peers:SupportVectorClassifier", REGRESSION: "peers:SupportVectorRegressor"},
    "GP": {REGRESSION: "peers:GaussianProcess"},
    "Frequencies": {CLASSIFICATION: "peers:Frequencies", REGRESSION: "peers:Frequencies"},
}
"""Names of methods, and for each task that a method knows, where it is."""
OURS = "SignatureGP"
OF_THIS_LIBRARY = (OURS, "RFSF")
"""Those that run by the Python of this process; the peers may have one of their own."""


def make(order: Any, num_channels: int) -> Any:
    """The method that an order names, compiled and ready."""
    module, _, name = METHODS[order.method][order.task].partition(":")
    method = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return method(order, num_channels, **order.options)


def fit(folder: Path) -> None:
    """Fit the method to the problem in a folder, and write what it predicts, and what that took."""
    problem = read_problem(folder)
    method = make(problem.order, problem.X[0].shape[1])
    measured: dict[str, Any] = {"memory_before_mb": resident_mb("VmRSS")}
    _, measured["fit_seconds"] = _timed(lambda: method.fit(problem.X, problem.y))
    calibrate = getattr(method, "calibrate", None)
    if calibrate is not None:
        _, measured["calibration_seconds"] = _timed(lambda: calibrate(problem.X, problem.y))
    predicted, measured["predict_seconds"] = _timed(lambda: method.predict(problem.X_test))
    measured["peak_memory_mb"] = resident_mb("VmHWM")
    measured["versions"] = _versions()
    if hasattr(method, "describe"):
        measured |= method.describe(folder)
    write_answer(folder, {name: np.asarray(values) for name, values in predicted.items()}, measured)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def _versions() -> dict[str, str]:
    """Of Python, and of the packages that this process has imported, as far as results may depend on them."""
    names = {"sklearn": "scikit-learn"} | {name: name for name in ("numpy", "numba", "sktime", "tslearn", "tensorflow")}
    found = {package: metadata.version(package) for module, package in names.items() if module in sys.modules}
    return {"python": platform.python_version(), **found}


def resident_mb(name: str) -> float | None:
    """
    Resident memory of this process in megabytes; None where the system does not tell.

    :param name: "VmRSS" for the present, "VmHWM" for the peak. ``resource.getrusage`` would count the parent's, too.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)


if __name__ == "__main__":
    try:
        fit(Path(sys.argv[1]))
    except ImportError as error:
        print(f"needs a package that is missing: {error}", file=sys.stderr)
        sys.exit(1)
