r"""
Tensors of rank one, z_k = z_k1 ⊗ ... ⊗ z_kk for each level k = 1, ..., n, and their inner products.

An array [M, n (n + 1) / 2, D] holds the vectors of M inducing variables, level after level: z_11, z_21, z_22, z_31, and
so on. Level 0 of each is 1.
"""

import itertools

import tensorflow as tf


def vectors_of_levels(Z: tf.Tensor, depth: int) -> list[list[tf.Tensor]]:
    """For each level k its k vectors, [M, D] each."""
    vectors = iter(tf.unstack(Z, num=depth * (depth + 1) // 2, axis=1))
    return [list(itertools.islice(vectors, level)) for level in range(1, depth + 1)]


def explicit_tensors(Z: tf.Tensor, depth: int) -> tf.Tensor:
    """The tensors written out word by word, level 0 first: [M, 1 + D + ... + D^n]."""
    levels = [tf.ones_like(Z[:, 0, :1])]
    for vectors in vectors_of_levels(Z, depth):
        level = vectors[0]
        for vector in vectors[1:]:
            level = tf.reshape(level[:, :, None] * vector[:, None, :], [-1, level.shape[1] * vector.shape[1]])
        levels.append(level)
    return tf.concat(levels, axis=1)


def gram_of_tensors(Z: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    r"""Σ_k w_k Π_i ⟨z_ki, z'_ki⟩ over levels 0 to n, for all pairs: [M, M]."""
    total = weights[0]
    for level, vectors in enumerate(vectors_of_levels(Z, weights.shape[0] - 1), start=1):
        product = weights[level]
        for vector in vectors:
            product *= tf.matmul(vector, vector, transpose_b=True)
        total += product
    return total
