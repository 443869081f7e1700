"""Stand-ins for data that are not shipped."""

from pathlib import Path

import numpy as np
import pytest

TRAIN_COUNTS = (780, 779, 780, 719, 780, 720, 720, 778, 719, 719)
TEST_COUNTS = (363, 364, 364, 336, 364, 335, 336, 364, 336, 336)


@pytest.fixture
def pendigits_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Random series with PenDigits' shapes and counts, in the folder of SIGKERNEL_TF_DATA."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, counts in (("train", TRAIN_COUNTS), ("test", TEST_COUNTS)):
        y = rng.permutation(np.repeat(np.arange(10), counts))
        arrays[f"X_{split}"] = (rng.integers(0, 101, (len(y), 8, 2)) + 3 * y[:, None, None]).astype(np.float32)
        arrays[f"y_{split}"] = y
    folder = tmp_path / "data"
    folder.mkdir()
    np.savez(folder / "PenDigits.npz", **arrays)
    monkeypatch.setenv("SIGKERNEL_TF_DATA", str(folder))
    return arrays
