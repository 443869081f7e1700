"""
Predict at many paths by the workers of a Dask cluster, each task a range of rows (docs/distributed.md).

    pip install "dask[distributed]==2026.8.0"           # the version that this was tested with
    python predict_on_dask.py predictions               # on two processes of this machine
    python predict_on_dask.py predictions HOST:8786     # on the workers of a scheduler, which all see the folder
"""

import sys
from pathlib import Path

import gpflow
import numpy as np
from dask.distributed import Client, LocalCluster, get_worker

from sigkernel_tf.gp import SigGPDE, flatten_paths, predict_rows

BATCH, TASK = 500, 2000  # rows that are predicted at a time, and in a task: a multiple of BATCH
OUT = ("mean", "variance")


def prepare(folder: Path, count: int = 7300) -> None:
    """Write what stands for your data and your trained model."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "X.npy", flatten_paths(rng.normal(size=(count, 12, 3)).cumsum(axis=1)))
    model = untrained()
    model.q_mu.assign(rng.normal(size=model.q_mu.shape))
    np.savez(folder / "parameters.npz", **gpflow.utilities.read_values(model))
    for name in OUT:  # in which each task writes its rows
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", float, (count, 3)).flush()


def untrained() -> gpflow.models.SVGP:
    return SigGPDE(3, 40, likelihood=gpflow.likelihoods.MultiClass(3), num_latent_gps=3, lengthscales=np.full(3, 8.0))


def load(folder: Path) -> gpflow.models.SVGP:
    model = untrained()
    with np.load(folder / "parameters.npz") as values:
        gpflow.utilities.multiple_assign(model, dict(values))
    return model


def predict(first: int, folder: Path) -> int:
    """One task: predict some rows and write them in their place."""
    worker = get_worker()
    if not hasattr(worker, "model"):  # loaded once in each worker
        worker.model = load(folder)
    X = np.load(folder / "X.npy", mmap_mode="r")
    out = [np.load(folder / f"{name}.npy", mmap_mode="r+") for name in OUT]
    rows = range(first, min(first + TASK, len(X)))
    predict_rows(worker.model, X, rows, batch_size=BATCH, out=out)
    for array in out:
        array.flush()
    return len(rows)


def main(folder: Path, scheduler: str | None) -> None:
    prepare(folder)
    count = len(np.load(folder / "X.npy", mmap_mode="r"))
    here = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) if scheduler is None else None
    with Client(here or scheduler) as client:
        # A task that is lost with its worker is tried again. It writes the same rows.
        done = client.gather(client.map(predict, range(0, count, TASK), folder=folder, retries=2))
    if here is not None:
        here.close()
    print(f"{sum(done)} rows predicted in {len(done)} tasks: {folder / 'mean.npy'}, {folder / 'variance.npy'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2] if len(sys.argv) > 2 else None)
