"""Kuu and Kuf of the inducing variables. Importing this package registers them with GPflow's dispatchers."""

from . import orthogonal as orthogonal
from . import points as points
from . import sequences as sequences
from . import tensors as tensors
