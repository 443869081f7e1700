# %% [markdown]
# # Classify gestures
#
# A smart watch measures how its wearer moves: three channels of acceleration and three of rotation. The data set
# BasicMotions has 40 recordings of ten seconds to learn from and 40 to test on. Which of four activities is each?
#
# You need no knowledge of signatures here: the classifier is used as any of scikit-learn's.

# %%
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a quiet TensorFlow

import numpy as np
from matplotlib import pyplot
from sktime.datasets import load_basic_motions

import sigkernel_tf as sk
from sigkernel_tf.gp import SignatureGPClassifier

# %% [markdown]
# The classifier takes arrays [N, L, D]: series, time steps, channels. sktime puts the channels before the time steps,
# so two axes are exchanged.

# %%
X, y = load_basic_motions(split="train", return_type="numpy3D")
X_test, y_test = load_basic_motions(split="test", return_type="numpy3D")
X, X_test = X.transpose(0, 2, 1), X_test.transpose(0, 2, 1)
print(X.shape, X_test.shape, np.unique(y))

figure, axes = pyplot.subplots(1, 4, figsize=(10, 2), sharey=True, layout="constrained")
for ax, activity in zip(axes, np.unique(y), strict=True):
    ax.plot(X[y == activity][0])
    ax.set_title(activity)

# %% [markdown]
# ## Fit
#
# `fit` tries kernels and ways to prepare the series, on the training set only, and keeps what predicts best there.
# `effort` says how much it tries: 1 is the default, and 0.1 is a tenth of the work.

# %%
classifier = SignatureGPClassifier(effort=0.1, random_state=0).fit(X, y)
print("kernel:", classifier.kernel_kind_, classifier.kernel_)
print("test accuracy:", classifier.score(X_test, y_test))

# %% [markdown]
# ## Look at the probabilities
#
# Each prediction comes with the probability of each class. A good picture has bright blocks along its diagonal, and dim
# ones only where it is wrong.

# %%
ax = sk.plot_predictions(y_test, classifier.predict_proba(X_test))

# %% [markdown]
# What else was tried? `candidates_` has all of it, the chosen one first; `pandas.DataFrame(classifier.candidates_)`
# makes a table of it.

# %%
for candidate in classifier.candidates_[:3]:
    print(candidate)

# %% [markdown]
# ## Recordings that break off
#
# Series need not have one length. Here each test recording breaks off after 5 to 10 seconds. A list of arrays does for
# series of unequal lengths.

# %%
lengths = np.random.default_rng(0).integers(50, 101, size=len(X_test))
broken_off = [series[:length] for series, length in zip(X_test, lengths, strict=True)]
print("accuracy on recordings that break off:", classifier.score(broken_off, y_test))

# %% [markdown]
# ## Save and load
#
# The files hold numbers and text, no pickles, so that loading them runs no code.

# %%
with tempfile.TemporaryDirectory() as folder:
    classifier.save(f"{folder}/gestures")
    loaded = SignatureGPClassifier.load(f"{folder}/gestures")
print("the same predictions:", bool((loaded.predict(X_test) == classifier.predict(X_test)).all()))

# %% [markdown]
# ## Where to go next
#
# * [Estimators](../../estimators/): all that `fit` does, and how it compares with other methods.
# * [Which model to take](../../choosing/), if you know something about your data.
