"""The Keras layers on JAX and PyTorch, each in a process of its own; what each backend imports; files between them."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import sigkernel_tf as sk

pytestmark = pytest.mark.backends

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
EVERY_BACKEND = [
    str(path) for path in sorted(FOLDER.glob("test_layers*.py"))
    if path.stem not in ("test_layers_backends", "test_layers_tensorflow")
]  # fmt: skip
USE = (
    "import sys, numpy as np, sigkernel_tf as sk\n"
    "X = np.random.default_rng(0).normal(size=(2, 5, 2)).astype('float32')\n"
    "print(sk.SignatureLayer(3)(X).shape[1], sk.LogSignatureLayer(3)(X).shape[1], 'tensorflow' in sys.modules)"
)


def backend(name: str) -> object:
    missing = importlib.util.find_spec(name) is None
    skip = pytest.mark.skipif(missing, reason=f"{name} is not installed: pip install -e '.[backends]'")
    return pytest.param(name, marks=skip)


def run(backend: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", [backend("jax"), backend("torch")])
def test_the_layers_on_another_backend(name):
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    said = run(name, "-m", "pytest", *options, *EVERY_BACKEND, JAX_ENABLE_X64="1")
    assert " passed" in said


@pytest.mark.parametrize("name", [backend("jax"), backend("torch")])
def test_no_tensorflow_is_imported(name):
    assert run(name, "-c", USE) == "14 5 False"


def test_tensorflow_needs_no_jax():
    hide = "import sys; sys.modules['jax'] = None\n"
    assert run("tensorflow", "-c", hide + USE) == "14 5 True"


@pytest.mark.parametrize("name", [backend("tensorflow"), backend("jax"), backend("torch")])
def test_a_saved_model_is_loaded_elsewhere(name, tmp_path):
    X = np.random.default_rng(0).normal(size=(2, 5, 2)).astype("float32")
    model = keras.Sequential([
        keras.Input((None, 2)), sk.SignatureLayer(3, True, trainable_scaling=True), sk.LogSignatureLayer(1),
        keras.layers.Dense(2),
    ])  # fmt: skip
    model.layers[0].set_weights([np.array([0.5, -2.0])])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "X.npy", X)
    load = (
        "import sys, keras, numpy as np, sigkernel_tf.layers\n"
        "model = keras.saving.load_model(sys.argv[1] + '/model.keras')\n"
        "np.save(sys.argv[1] + '/Y.npy', model.predict(np.load(sys.argv[1] + '/X.npy'), verbose=0))"
    )
    run(name, "-c", load, str(tmp_path))
    np.testing.assert_allclose(np.load(tmp_path / "Y.npy"), model.predict(X, verbose=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [backend("tensorflow"), backend("jax"), backend("torch")])
def test_the_example_of_the_documentation_trains(name):
    pytest.importorskip("sktime")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "layers.md").read_text(), re.DOTALL)
    accuracy = float(run(name, "-c", code).split("test accuracy")[1])
    assert accuracy > 0.75  # by chance: 0.25
