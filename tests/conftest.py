"""Set before TensorFlow is imported: a quiet log, and threads few enough for several workers on two cores."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from quadruple import Oracle, compile_oracle


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def quadruple(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The solver in quadruple precision, with which errors are measured."""
    return compile_oracle(tmp_path_factory.mktemp("oracle"))
