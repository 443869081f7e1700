# %% [markdown]
# # Regression with intervals
#
# Something swings, and a noisy sensor watches it for a while. How strongly is it damped? We want a number from each
# recording, and an interval that says how far off that number may be. The data are simulated, so that the truth is
# known.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a quiet TensorFlow

import numpy as np

import sigkernel_tf as sk
from sigkernel_tf.gp import SignatureGPRegressor

rng = np.random.default_rng(0)


def recordings(damping: np.ndarray) -> list[np.ndarray]:
    """Position and velocity of one swing for each damping, [L, 2] each, of unequal lengths, with noise."""
    found = []
    for one in damping:
        t = np.linspace(0.0, 6.0, int(rng.integers(40, 61)))
        swing = np.exp((-one + 1j * rng.uniform(2.5, 3.5)) * t + 1j * rng.uniform(0, 2 * np.pi))
        found.append(np.stack([swing.real, swing.imag], axis=1) + 0.05 * rng.normal(size=(len(t), 2)))
    return found


y, y_test = rng.uniform(0.05, 0.6, size=120), rng.uniform(0.05, 0.6, size=100)
X, X_test = recordings(y), recordings(y_test)

# %% [markdown]
# ## Fit and predict
#
# The frequency and the phase of a swing differ from recording to recording, and so does the number of measurements.
# None of this has to be aligned first. `return_std=True` gives the standard deviation of each prediction.

# %%
regressor = SignatureGPRegressor(effort=0.1, random_state=0).fit(X, y)
mean, deviation = regressor.predict(X_test, return_std=True)
print("kernel:", regressor.kernel_kind_)
print("R²:", round(regressor.score(X_test, y_test), 3))
print("largest and smallest deviation:", deviation.max().round(3), deviation.min().round(3))

# %% [markdown]
# ## Do the intervals keep their word?
#
# An interval of two deviations (1.96, to be exact) to both sides should hold the truth in 95 of 100 cases. The title of
# the picture says how many did. With 100 series anything from 90 to 99 is within chance.

# %%
ax = sk.plot_predictions(y_test, mean, deviation, coverage=0.95)
inside = np.mean(np.abs(y_test - mean) <= 1.96 * deviation)
print("share inside:", inside)

# %% [markdown]
# ## When it has not seen such a thing before
#
# A Gaussian process becomes unsure where its training data end. Here are swings that grow instead of dying down: the
# deviations are larger, and tell you not to rely on these predictions.

# %%
strange = recordings(np.full(20, -0.3))
_, deviation_strange = regressor.predict(strange, return_std=True)
print("median deviation:", np.median(deviation).round(3), "on swings that grow:", np.median(deviation_strange).round(3))

# %% [markdown]
# ## Where to go next
#
# * [Estimators](../../estimators/) for scikit-learn, and `predict_quantiles` in [training](../../training/) for
#   likelihoods whose intervals are not symmetric.
