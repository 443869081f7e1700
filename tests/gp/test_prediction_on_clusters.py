"""The examples that predict on a cluster's workers, here on two processes of this machine."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sigkernel_tf.gp import predict_in_batches

ROOT = Path(__file__).resolve().parents[2]
# On a busy machine the engines' own processes take longer to start than they are given.
PATIENCE = {
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_worker_niceness": "0",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "600s",
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_the_rows_are_in_order_and_have_the_bits_of_one_process(engine: str, tmp_path: Path) -> None:
    for package in {"dask": ["distributed"], "ray": ["ray", "pyarrow"]}[engine]:
        pytest.importorskip(package, reason=f"the example for {engine} needs {package}")
    script = ROOT / "examples" / f"predict_on_{engine}.py"
    environment = {**os.environ, **PATIENCE, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, str(script), str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert "7300 rows predicted in 4 tasks" in done.stdout
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    X = np.load(tmp_path / "run" / "X.npy")
    expected = predict_in_batches(module.load(tmp_path / "run"), X, batch_size=module.BATCH)
    for name, values in zip(("mean", "variance"), expected, strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "run" / f"{name}.npy"), values)
