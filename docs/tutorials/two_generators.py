# %% [markdown]
# # A test of two generators
#
# You have real paths, and two simulators that claim to produce paths like them. Which one is right? The maximum mean
# discrepancy (MMD) compares two sets of paths by their mean signatures, and a permutation test gives it a p-value.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a quiet TensorFlow

import functools

import numpy as np
import tensorflow as tf
from matplotlib import pyplot

import sigkernel_tf as sk

rng = np.random.default_rng(0)


def simulate(count: int, lag: int) -> np.ndarray:
    """Two random walks, [N, 30, 2], of which the second repeats steps of the first ``lag`` steps later, with noise."""
    steps = rng.normal(size=(count, 30 + lag))
    first, second = steps[:, lag:], steps[:, : steps.shape[1] - lag]
    noisy = 0.8 * second + 0.6 * rng.normal(size=second.shape)
    return np.stack([first, noisy], axis=-1).cumsum(axis=1) / 5


# %% [markdown]
# In the real paths the second channel follows the first by one step. Generator A has that right. In generator B both
# move at once. Channel by channel, all three are the same: random walks with steps of one size. So no comparison of
# single channels can tell them apart.

# %%
real, from_a, from_b = simulate(150, lag=1), simulate(150, lag=1), simulate(150, lag=0)
for name, paths in {"real": real, "A": from_a, "B": from_b}.items():
    print(name, "deviation of the steps:", np.diff(paths, axis=1).std(axis=(0, 1)).round(3))

# %% [markdown]
# ## The test
#
# Time beside the path lets the kernel see when something happens, and an RBF kernel lifts the points. The test deals
# all paths out to two sets again and again; the p-value is the share of these whose MMD is as large as the real one.

# %%
with_time = {"real": sk.paths.add_time(real), "A": sk.paths.add_time(from_a), "B": sk.paths.add_time(from_b)}
kernel = {"static_kernel": functools.partial(sk.static_kernels.rbf, lengthscale=0.5)}
tests = {
    name: sk.mmd_test(with_time["real"], with_time[name], num_permutations=199, seed=0, **kernel) for name in ("A", "B")
}
for name, test in tests.items():
    print(f"generator {name}: MMD² = {test.statistic:.5f}, p = {test.p_value:.3f}")

figure, axes = pyplot.subplots(1, 2, figsize=(8, 2.4), sharex=True, layout="constrained")
for ax, (name, test) in zip(axes, tests.items(), strict=True):
    ax.hist(test.permuted, bins=30, color="#9fbcdc")
    ax.axvline(test.statistic, color="#c0632c")
    ax.set(title=f"generator {name}, p = {test.p_value:.3f}", xlabel="MMD² of permuted sets; the line: as given")

# %% [markdown]
# Generator B is refused, and nothing speaks against A.
#
# ## Fit a simulator
#
# The MMD can be differentiated, so it is a loss as well. Here the size of the steps is unknown: it starts at half of
# the truth, which is 1, and gradient steps find it. Memory does not grow with the number of pairs.

# %%
scale = tf.Variable(0.5, dtype=tf.float64)
optimizer = tf.keras.optimizers.Adam(0.1)
for step in range(25):
    with tf.GradientTape() as tape:
        loss = sk.mmd(scale * simulate(60, lag=1), real[:60], **kernel)
    optimizer.apply([tape.gradient(loss, scale)], [scale])
    if step % 5 == 4:
        print(f"step {step + 1}: scale {float(scale):.2f}")

# %% [markdown]
# [Comparing sets of paths](../../two_sample/) has scoring rules for forecasts and random features for larger sets.
