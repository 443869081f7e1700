"""Stand-ins for data that are not shipped, and for the server that the archive's data sets are downloaded from."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from experiments import protocol
from experiments.datasets import archive
from experiments.datasets.folder import VARIABLE

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


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Made-up scores in place of training: the model, the number of inducing variables and the seed of each call."""
    calls: list[tuple[str, int, int]] = []

    def run_seed(dataset: object, options: protocol.Protocol, seed: int, folder: Path, progress: bool) -> dict:
        calls.append((options.model, options.num_inducing, seed))
        scores = {"accuracy": 0.5 + 0.1 * seed, "nlpp": 1.0, "seconds_per_iteration": None}
        return {"seed": seed, **scores, "history": [{"elbo": -float(options.num_inducing)}]}

    monkeypatch.setattr(protocol, "_run_seed", run_seed)
    return calls


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A server of files that does not log its requests."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that a server on this machine serves in place of the archive's; an empty cache, and no data folder."""
    folder = tmp_path / "server"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv(VARIABLE, raising=False)
        monkeypatch.setattr(archive, "URL", f"http://127.0.0.1:{running.server_port}/{{name}}.zip")
        yield folder
        running.shutdown()
