"""Kuu and Kuf of the inducing variables, on GPflow's dispatchers: importing this registers them."""

from . import orthogonal as orthogonal
