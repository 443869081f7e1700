"""Kuu and Kuf of the inducing variables, on GPflow's dispatchers: importing this registers them."""

from . import orthogonal as orthogonal
from . import sequences as sequences
from . import tensors as tensors
