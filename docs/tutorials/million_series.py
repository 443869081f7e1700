# %% [markdown]
# # A million series from disk
#
# This tutorial writes series to files, batch by batch, and fits a Gaussian process to them without ever holding them in
# memory. It uses 20,000 series unless you ask for more: `NUM_SERIES=1000000 python docs/tutorials/million_series.py`
# writes half a gigabyte.

# %%
import os
import resource
import tempfile
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a quiet TensorFlow

import gpflow
import numpy as np

from sigkernel_tf.gp import (
    ClosedFormOptions,
    OrthogonalSignatureFeatures,
    SignatureKernel,
    evaluate,
    fit_closed_form,
    flatten_paths,
    predict_in_batches,
    read_shards,
    write_shards,
)

NUM_SERIES = int(os.environ.get("NUM_SERIES", "20000"))
BATCH = 5000


def memory() -> str:
    """The most memory that this process has had."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


# %% [markdown]
# ## Write
#
# Any generator of pairs (X, Y) will do: here two channels of 24 steps, simulated, whose classes differ in which of them
# leads. In your program it would read a data base or decode files. `flatten_paths` makes a row of each path, as GPflow
# wants it.


# %%
def batches(count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    t = np.linspace(0.0, 1.0, 24)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        lead, centre = rng.uniform(-0.15, 0.15, size=size), rng.uniform(0.3, 0.7, size=size)
        places = np.stack([centre - lead / 2, centre + lead / 2], axis=-1)
        paths = np.tanh((t[:, None] - places[:, None]) / 0.1) + 0.2 * rng.normal(size=(size, 24, 2))
        yield flatten_paths(paths), (lead > 0).astype(float)[:, None]


folder = tempfile.TemporaryDirectory()
num_files = write_shards(folder.name, batches(NUM_SERIES, seed=0), rows_per_shard=max(1, NUM_SERIES // 4))
X, Y = read_shards(folder.name)  # X reads its rows when they are needed
print(f"{len(X)} series in {num_files} files; at most {memory()} of memory so far")

# %% [markdown]
# ## Fit
#
# With `rows_per_step` a pass reads that many rows, in a random order, instead of all of them: 12 steps of 4,096 rows
# are about as good as whole passes. The hyperparameters move on 1,000 rows before.

# %%
model = gpflow.models.SVGP(
    SignatureKernel(2), gpflow.likelihoods.Bernoulli(), OrthogonalSignatureFeatures(63), num_data=len(X)
)
options = ClosedFormOptions(rows_per_step=min(4096, len(X)), max_passes=12, progress=False)
fit_closed_form(model, (X, Y), options)
print(f"fitted; at most {memory()} of memory so far")

# %% [markdown]
# ## Predict
#
# Predictions come batch by batch, too, here from the generator itself. `predict_in_batches(..., out=...)` would write
# them to a file.

# %%
test = [np.concatenate(parts) for parts in zip(*batches(5000, seed=1), strict=True)]
print(evaluate(model, (test[0], test[1])))
mean, _ = predict_in_batches(model, (rows for rows, _ in batches(5000, seed=1)))
print("accuracy:", np.mean((mean > 0.5) == (test[1] > 0.5)))
folder.cleanup()

# %% [markdown]
# ## Where to go next
#
# * [Training](../../training/) has memory-mapped files, TFRecords and `tf.data`, and what a million series cost.
# * [More than one machine](../../distributed/): several processes that share the rows.
