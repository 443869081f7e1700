"""Where GPflow is missing or does not import, the error says why and what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from sigkernel_tf.gp._requirements import advice


@pytest.mark.parametrize(
    ("python", "numpy", "gpflow", "expected"),
    [
        ((3, 13), "2.3.1", None, "does not exist for Python 3.13: take Python 3.10 to 3.12"),
        ((3, 12), "2.0.0", None, "NumPy 2.0.0 is installed: pip install 'gpflow>=2.11' 'numpy<2'"),
        ((3, 12), "2.0.0", "2.5.2", "NumPy 2.0.0 is installed: pip install"),
        ((3, 11), "1.26.4", None, "GPflow is not installed: pip install 'gpflow>=2.11'"),
        ((3, 11), "1.26.4", "2.5.2", "GPflow 2.5.2 is installed but cannot be imported: pip install --upgrade"),
    ],
)
def test_advice(python: tuple[int, int], numpy: str, gpflow: str | None, expected: str) -> None:
    assert expected in advice(python, numpy, gpflow)


@pytest.mark.slow
@pytest.mark.ci
def test_without_gpflow_the_operations_work_and_gp_says_what_to_do() -> None:
    code = (
        "import sys; sys.modules['gpflow'] = None\n"
        "import numpy as np, sigkernel_tf as sk\n"
        "print(float(sk.signature_kernel(np.zeros((3, 2)), np.zeros((3, 2)))), sk.SignatureLayer(2).name)\n"
        "try:\n"
        "    sk.gp\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    first, second = done.stdout.strip().splitlines()
    assert first.startswith("1.0 signature_layer")
    assert second.startswith("sigkernel_tf.gp needs GPflow. ")
