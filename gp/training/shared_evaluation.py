"""The NLPP of the validation split, of which each process scores a part."""

import numpy as np
from gpflow.models import SVGP

from ..data import Rows
from ..prediction import Evaluation
from ..prediction.evaluation import Evaluator
from .workers import Alone


class SharedEvaluator:
    """Scores a model on rows each time it is called, as :class:`Evaluator` does, with the same result everywhere."""

    def __init__(self, model: SVGP, rows: Rows, workers: Alone, *, batch_size: int) -> None:
        """A process without any rows of its own, as there are fewer rows than processes, scores nothing."""
        own = rows.subset(np.arange(len(rows))[workers.share(len(rows))])
        self._workers, self._counts = workers, (len(own), len(rows))
        self._score = Evaluator(model, own, batch_size=batch_size) if len(own) else None

    def __call__(self) -> Evaluation:
        own, count = self._counts
        with self._workers.together():
            nlpp = self._score().nlpp if self._score is not None else 0.0
        return Evaluation(nlpp=float(self._workers.total(np.float64(own * nlpp))) / count, accuracy=None)
