# %% [markdown]
# # Which words matter
#
# A model that predicts well may still leave you wondering *why*. With orthogonal signature features, each parameter of
# the model belongs to one **word**: a sequence of channels, such as *humidity → pressure*, whose feature says how much
# the pressure moved after the humidity had moved. `word_relevance` ranks the words by how much the model uses them.
#
# Here is weather of three channels, simulated so that we know the right answer: on each day humidity and pressure rise
# or fall for a while, and it rains if the humidity changed first. The wind has nothing to do with it.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a quiet TensorFlow

import gpflow
import numpy as np

import sigkernel_tf as sk
from sigkernel_tf.gp import ClosedFormOptions, SigGPDE, evaluate, fit_closed_form, flatten_paths, word_relevance

CHANNELS = ["humidity", "pressure", "wind"]
rng = np.random.default_rng(0)


def weather(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Paths [N, 24, 3] and whether it rained, [N, 1]."""
    t = np.linspace(0.0, 1.0, 24)
    lead, centre, size = rng.uniform(-0.2, 0.2, count), rng.uniform(0.4, 0.6, count), rng.uniform(-1.0, 1.0, count)
    bumps = [np.exp(-0.5 * ((t - (centre + side * lead)[:, None]) / 0.12) ** 2) for side in (-0.5, 0.5)]
    wind = rng.normal(size=(count, 24)).cumsum(axis=1) / 10
    paths = np.stack([size[:, None] * bumps[0], size[:, None] * bumps[1], wind], axis=-1)
    return paths + 0.02 * rng.normal(size=paths.shape), (lead > 0).astype(float)[:, None]


paths, rain = weather(400)
paths_test, rain_test = weather(400)

# %% [markdown]
# ## The model
#
# `SigGPDE` is a sparse Gaussian process with one inducing variable for each of the first words: with 40 these are all
# words of up to three letters of three channels. `fit_closed_form` fits it in a few passes over the data.

# %%
X = flatten_paths(paths)  # GPflow takes each path as one row
model = SigGPDE(3, 40, likelihood=gpflow.likelihoods.Bernoulli(), lengthscales=np.ones(3))
result = fit_closed_form(model, (X, rain), ClosedFormOptions(progress=False))
print(evaluate(model, (flatten_paths(paths_test), rain_test)))
print("lengthscales:", dict(zip(CHANNELS, model.kernel.lengthscales.numpy().round(2), strict=True)))

# %% [markdown]
# ## The words
#
# The relevance of a word is how far the model's answer moves when the word's feature moves by its standard deviation
# over the data. The sign says in which direction.

# %%
relevance = word_relevance(model, CHANNELS, X=X)
print(relevance)
ax = sk.plot_relevance(relevance, top=8)

# %% [markdown]
# The two words that decide are the right ones: *humidity → pressure* speaks for rain and *pressure → humidity* against
# it, as it should be.

# %%
print("on top:", [row.name for row in relevance.rows[:2]])

# %% [markdown]
# ## What to keep in mind
#
# * Words overlap: *humidity → pressure* and *pressure → humidity* add up to the product of what both channels moved by.
#   What they have in common may be attributed to either.
# * Give `X=`. Without it all features count as equally spread, and long words come out too high.
# * A relevance says what the model uses, not what causes the rain.
#
# [Training](../../training/) says more.
