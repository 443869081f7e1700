# %% [markdown]
# # Coming from another library
#
# For each of four libraries: what you would write there, in a comment, and the same here, on paths small enough to
# check the numbers by hand. [Coming from another library](../../coming_from/) has the full tables of names.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a quiet TensorFlow

import functools

import gpflow
import numpy as np
import tensorflow as tf

import sigkernel_tf as sk
from sigkernel_tf.gp import InducingTensors, TruncatedSignatureKernel, flatten_paths

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(2, 5, 10, 3)).cumsum(axis=2) / 5  # two sets of 5 paths of 10 points in 3 channels
corner = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])  # one path: first along channel 0, then along channel 1

# %% [markdown]
# ## From sigkernel
#
# sigkernel solves by finite differences on a refined grid. The default here is a power series, whose only error is
# rounding: as the grid is refined, the other comes closer to it.

# %%
# sigkernel.SigKernel(sigkernel.LinearKernel(), dyadic_order=n).compute_Gram(X, Y)
exact = sk.signature_kernel_gram(X, Y)
for n in range(4):
    K = sk.signature_kernel_gram(X, Y, solver=sk.FiniteDifference(n))
    print("dyadic order", n, "is off by", f"{np.abs(K / exact - 1).max():.0e}")

# sigkernel.RBFKernel(sigma) is exp(-|x - y|² / sigma): a lengthscale of (sigma / 2) ** 0.5
sigma = 0.5
rbf = functools.partial(sk.static_kernels.rbf, lengthscale=(sigma / 2) ** 0.5)
print("MMD²:", float(sk.mmd(X, Y, static_kernel=rbf)))  # compute_mmd(X, Y)
print("p-value:", sk.mmd_test(X, Y, num_permutations=99, seed=0).p_value)  # hypothesis_test, which prints it

# gradients reach both paths
x = tf.Variable(X)
with tf.GradientTape() as tape:
    total = tf.reduce_sum(sk.signature_kernel(x, Y))
print("gradient:", tape.gradient(total, x).shape)

# %% [markdown]
# ## From signatory and iisignature
#
# Both leave out the constant 1 at the front; here it is column 0. The corner's words by hand: it moves by 1 along each
# channel, so the words (0) and (1) are 1; channel 1 moves after channel 0 has, so the word (0, 1) is 1 and (1, 0) is 0;
# and a channel after itself gives 1/2.

# %%
S = sk.signature(corner[None], depth=2)  # signatory.signature(corner, 2); iisignature.sig(corner, 2)
print(dict(zip(sk.words(2, 7), S[0].numpy().tolist(), strict=True)))
assert np.allclose(S, [[1, 1, 1, 0.5, 1, 0, 0.5]])

L = sk.log_signature(corner[None], depth=2)  # signatory.logsignature(..., mode="words"); iisignature.logsig
print(dict(zip(sk.lyndon_words(2, 2), L[0].numpy().tolist(), strict=True)))  # the area of the triangle is 1/2
assert np.allclose(L, [[1, 1, 0.5]])

# signatory.signature_combine, iisignature.sigcombine: two paths, one after the other
first, second = sk.signature(corner[None, :2], 2), sk.signature(corner[None, 1:], 2)
assert np.allclose(sk.signature_combine(first, second, 2), S)

path = sk.Path(X)  # signatory.Path(X, depth)
print("interval:", path.signature(3, start=2, end=7).shape)  # as signatory's, the points 2 to 6
stream = sk.signature(X, 3, stream=True)  # signatory.signature(X, 3, stream=True)
print("stream:", stream.shape, "a row for each point, the first of a single point")

# %% [markdown]
# ## From GPSig
#
# GPSig runs on TensorFlow 1.15 and GPflow 1.5; its model is here for TensorFlow 2 and GPflow 2. Rows are flattened
# paths in both.

# %%
# kern = gpsig.kernels.SignatureRBF(input_dim=30, num_features=3, num_levels=4, lengthscales=1.0)
kernel = TruncatedSignatureKernel(3, 4, discretization_order=1, static_kernel=gpflow.kernels.RBF(lengthscales=1.0))
print("kernel:", kernel(flatten_paths(X)).shape)

# feat = gpsig.inducing_variables.InducingTensors(Z, num_levels=4); m = gpsig.models.SVGP(X, Y, kern, lik, feat)
linear = TruncatedSignatureKernel(3, 4, discretization_order=1)
Z = InducingTensors.from_data(flatten_paths(X), 4, linear)
model = gpflow.models.SVGP(linear, gpflow.likelihoods.Gaussian(), Z)
print("bound:", float(model.elbo((flatten_paths(X), X[:, -1, :1]))))

# %% [markdown]
# For a model that inverts no matrix, take `SignatureKernel` with `OrthogonalSignatureFeatures`, as in
# [Which words matter](../which_words_matter/).
