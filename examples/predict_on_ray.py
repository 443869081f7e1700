"""
Predict at many paths by the workers of a Ray cluster, with Ray Data (docs/distributed.md).

    pip install "ray[data]==2.60.0" "pyarrow==25.0.1"   # the versions that this was tested with
    python predict_on_ray.py predictions                # on two processes of this machine
    python predict_on_ray.py predictions auto           # on the cluster that this machine belongs to, all of which see
                                                        # the folder
"""

import sys
from pathlib import Path

import gpflow
import numpy as np
import ray

from sigkernel_tf.gp import SigGPDE, flatten_paths, predict_rows

BATCH, TASK = 500, 2000  # rows that are predicted at a time, and in a task: a multiple of BATCH


def prepare(folder: Path, count: int = 7300) -> None:
    """Write what stands for your data and your trained model."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "X.npy", flatten_paths(rng.normal(size=(count, 12, 3)).cumsum(axis=1)))
    model = untrained()
    model.q_mu.assign(rng.normal(size=model.q_mu.shape))
    np.savez(folder / "parameters.npz", **gpflow.utilities.read_values(model))


def untrained() -> gpflow.models.SVGP:
    return SigGPDE(3, 40, likelihood=gpflow.likelihoods.MultiClass(3), num_latent_gps=3, lengthscales=np.full(3, 8.0))


def load(folder: Path) -> gpflow.models.SVGP:
    model = untrained()
    with np.load(folder / "parameters.npz") as values:
        gpflow.utilities.multiple_assign(model, dict(values))
    return model


class Predictor:
    """A worker, which loads the model once."""

    def __init__(self, folder: Path) -> None:
        self.model, self.X = load(folder), np.load(folder / "X.npy", mmap_mode="r")

    def __call__(self, task: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        first = int(task["id"][0]) * TASK
        rows = range(first, min(first + TASK, len(self.X)))
        mean, variance = predict_rows(self.model, self.X, rows, batch_size=BATCH)
        return {"row": np.array(rows), "mean": mean, "variance": variance}


def main(folder: Path, address: str | None) -> None:
    prepare(folder)
    count = len(np.load(folder / "X.npy", mmap_mode="r"))
    ray.init(address, **({} if address else {"num_cpus": 3, "include_dashboard": False}))  # one of them reads
    tasks = -(-count // TASK)
    predicted = ray.data.range(tasks, override_num_blocks=tasks).map_batches(
        Predictor,
        fn_constructor_args=(folder,),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    mean, variance = (
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", float, (count, 3)) for name in ("mean", "variance")
    )
    done = 0
    for part in predicted.iter_batches(batch_size=TASK):  # as they are ready; their numbers give the order
        mean[part["row"]], variance[part["row"]] = part["mean"], part["variance"]
        done += len(part["row"])
    print(f"{done} rows predicted in {tasks} tasks: {folder / 'mean.npy'}, {folder / 'variance.npy'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2] if len(sys.argv) > 2 else None)
