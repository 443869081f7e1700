# %% [markdown]
# # A layer in a Keras model
#
# `SignatureLayer` turns series of any length into a fixed number of features, in the middle of a neural network. Here a
# small network tells nine speakers apart by how they say two vowels: 12 channels, 7 to 29 time steps. (The data set is
# JapaneseVowels.) The layer runs on TensorFlow, JAX and PyTorch; `KERAS_BACKEND` chooses.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a quiet TensorFlow

import keras
import numpy as np
from sktime.datasets import load_japanese_vowels

import sigkernel_tf as sk

keras.utils.set_random_seed(0)
PADDING = -100.0  # no value of the data


def padded(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Series [N, 29, 12], padded at the end, and speakers [N], counted from 0."""
    frame, speakers = load_japanese_vowels(split=split, return_type="nested_univ")
    X = np.full((len(frame), 29, 12), PADDING, dtype=np.float32)
    for i, row in enumerate(frame.itertuples(index=False)):
        series = np.stack([np.asarray(channel) for channel in row], axis=1)
        X[i, : len(series)] = series
    return X, speakers.astype(int) - 1


(X, y), (X_test, y_test) = padded("train"), padded("test")
print(X.shape, X_test.shape)

# %% [markdown]
# ## The model
#
# A dense layer first mixes the 12 channels to 6, time step by time step: signatures grow fast with the number of
# channels. The signature layer then looks at the path that these six make. `Masking` tells it where each series ends,
# `add_time` lets it see the speed, and `add_basepoint` where the series starts.

# %%
signature_layer = sk.SignatureLayer(2, add_time=True, add_basepoint=True, trainable_scaling=True)
model = keras.Sequential(
    [
        keras.Input((None, 12)),
        keras.layers.Masking(PADDING),
        keras.layers.Dense(6),
        signature_layer,
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(9, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(X, y, epochs=40, batch_size=30, verbose=0)
print("features of a series:", signature_layer(np.zeros((1, 5, 6), np.float32)).shape[-1])
print("training accuracy:", round(history.history["accuracy"][-1], 3))
print("test accuracy:", round(model.evaluate(X_test, y_test, verbose=0)[1], 3))

# %% [markdown]
# ## What the padding holds makes no difference
#
# The same series with two more steps of padding have the same predictions.

# %%
longer = np.pad(X_test[:5], [(0, 0), (0, 2), (0, 0)], constant_values=PADDING)
difference = np.abs(model.predict(longer, verbose=0) - model.predict(X_test[:5], verbose=0)).max()
print("largest difference:", f"{difference:.0e}")

# %% [markdown]
# ## Where to go next
#
# * [Layers](../../layers/): log signatures, the features of every prefix (`stream=True`), precision, files.
# * [Kernels](../../kernels/) has the same idea for Gaussian processes: a network before the signature kernel.
