"""What training shows in TensorBoard, by gpflow.monitor."""

import functools
from pathlib import Path

from gpflow.models import GPModel
from gpflow.monitor import ModelToTensorBoard, ScalarToTensorBoard

from .results import MonitorPoint


class TensorBoard:
    """Writes each evaluation of a training, and the model's hyperparameters at it, to a folder for TensorBoard."""

    def __init__(self, folder: str | Path, model: GPModel) -> None:
        """:raises ImportError: where TensorBoard, which writes the files, is not installed."""
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "tensorboard_dir needs TensorBoard, which TensorFlow does not install: pip install tensorboard."
            ) from error
        self._folder = str(folder)
        self._parameters = ModelToTensorBoard(self._folder, model)

    def write(self, point: MonitorPoint) -> None:
        """Add an evaluation to the files."""
        values = {"elbo": point.elbo, "validation_nlpp": point.validation_nlpp, "phase": point.phase, **point.recorded}
        for name, value in values.items():
            if value is not None:
                ScalarToTensorBoard(self._folder, functools.partial(float, value), f"training/{name}")(point.iteration)
        self._parameters(point.iteration)
