r"""
Sums over index tuples: the truncated signature kernel without the signature (Király & Oberhauser 2019).

Level k of a path's discretized signature sums dx_{i_1} ⊗ ... ⊗ dx_{i_k} over i_1 <= ... <= i_k. No index may occur
more often than the discretization order says, and an index that occurs r times divides its summand by r!. At order 1
the indices increase strictly. At order k the sum is level k of the signature itself, for the signature of a segment is
the exponential of its increment.

Inner products of such levels, with one another or with tensors of rank one, are sums of products of inner products of
increments. They are computed letter by letter: the sums over tuples of k indices follow from those over k − 1 indices.
"""

import tensorflow as tf


def kernel_of_increments(p: tf.Tensor, weights: tf.Tensor, order: int) -> tf.Tensor:
    r"""
    Weighted sum over levels 1 to n of the inner products of two paths' discretized levels.

    ``ends[r, s]`` holds for each cell (i, j) the sum over tuples that end there, i the r-th time and j the s-th.

    :param p: ⟨dx_i, dy_j⟩, [T1, T2, P]. The pairs of paths come last, so that all operations run over long rows.
    :param weights: [n], where n is known while tracing.
    :param order: the discretization order, from 1 to n.
    :return: [P].
    """
    depth = weights.shape[0]
    ends, everything = {(1, 1): p}, p
    total = weights[0] * tf.reduce_sum(p, axis=[0, 1])
    for level in range(2, depth + 1):
        repeats = range(1, min(order, level))  # of the last index in tuples that may repeat it once more
        same_i = {r: tf.add_n([ends[key] for key in ends if key[0] == r]) for r in repeats}
        same_j = {s: tf.add_n([ends[key] for key in ends if key[1] == s]) for s in repeats}
        before_i = _sums_before_rows(everything)
        if level == depth:  # only the sum over the cells is needed, so the cases are added before they are multiplied
            cases = _sums_before_columns(tf.add_n([before_i, *(same_i[r] / (r + 1) for r in repeats)]))
            if repeats:
                cases += _sums_before_rows(tf.add_n([same_j[s] / (s + 1) for s in repeats]))
                cases += tf.add_n([ends[r, s] / ((r + 1) * (s + 1)) for r in repeats for s in repeats])
            return total + weights[-1] * tf.reduce_sum(p * cases, axis=[0, 1])
        ends = (
            {(1, 1): p * _sums_before_columns(before_i)}
            | {(r + 1, 1): p * _sums_before_columns(same_i[r] / (r + 1)) for r in repeats}
            | {(1, s + 1): p * _sums_before_rows(same_j[s] / (s + 1)) for s in repeats}
            | {(r + 1, s + 1): p * ends[r, s] / ((r + 1) * (s + 1)) for r in repeats for s in repeats}
        )
        everything = tf.add_n(list(ends.values()))
        total += weights[level - 1] * tf.reduce_sum(everything, axis=[0, 1])
    return total  # here the depth is 1


def tensors_on_increments(v: list[list[tf.Tensor]], weights: tf.Tensor, order: int) -> tf.Tensor:
    r"""
    Weighted sum over levels 1 to n of ⟨z_k1 ⊗ ... ⊗ z_kk, discretized level k of a path⟩.

    ``ends[r - 1]`` holds for each step i the sum over tuples that end there, i the r-th time.

    :param v: for each level k the tensors ⟨z_k1, dx_i⟩, ..., ⟨z_kk, dx_i⟩, each [T, ...].
    :param weights: [n].
    :param order: the discretization order, from 1 to n.
    :return: [...].
    """
    levels = []
    for letters in v:
        ends = [letters[0]]
        for letter in letters[1:]:
            repeated = [letter * end / (r + 1) for r, end in enumerate(ends[: order - 1], start=1)]
            ends = [letter * _sums_before_rows(tf.add_n(ends)), *repeated]
        levels.append(tf.reduce_sum(tf.add_n(ends), axis=0))
    return tf.add_n([weights[k] * level for k, level in enumerate(levels)])


def words_on_increments(dx: tf.Tensor, depth: int, order: int) -> tf.Tensor:
    r"""
    The discretized levels 0 to n, word by word.

    ``ends[r - 1]`` holds for each step the sum over tuples that end there for the r-th time.

    :param dx: [N, T, D], where D is known while tracing.
    :param depth: n.
    :param order: the discretization order, from 1 to n.
    :return: [N, 1 + D + ... + D^n], in the order of :func:`sigkernel_tf.words`.
    """
    ends, levels = [dx], [tf.ones([tf.shape(dx)[0], 1], dx.dtype), tf.reduce_sum(dx, axis=1)]
    for level in range(2, depth + 1):
        before = tf.matmul(_strictly_lower(tf.shape(dx)[1], dx.dtype), tf.add_n(ends))
        cases = [before, *(end / (r + 1) for r, end in enumerate(ends[: order - 1], start=1))]
        sums = tf.matmul(tf.add_n(cases), dx, transpose_a=True)  # outer products, summed over all steps
        levels.append(tf.reshape(sums, [-1, dx.shape[2] ** level]))
        if level < depth:
            ends = [_outer(case, dx) for case in cases]
    return tf.concat(levels, axis=1)


def _outer(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """a [N, T, J], b [N, T, D] -> [N, T, J * D]."""
    shape = tf.shape(b)
    return tf.reshape(a[:, :, :, None] * b[:, :, None, :], [shape[0], shape[1], a.shape[2] * b.shape[2]])


# Up to hundreds of steps, a product with a triangular matrix takes a fraction of the time of tf.cumsum.


def _sums_before_rows(x: tf.Tensor) -> tf.Tensor:
    """x [T, ...] -> for each step the sum over all steps before it."""
    shape = tf.shape(x)
    flat = tf.reshape(x, [shape[0], tf.reduce_prod(shape[1:])])
    return tf.ensure_shape(tf.reshape(tf.matmul(_strictly_lower(shape[0], x.dtype), flat), shape), x.shape)


def _sums_before_columns(x: tf.Tensor) -> tf.Tensor:
    """x [T1, T2, P] -> the same along the second axis."""
    return tf.matmul(_strictly_lower(tf.shape(x)[1], x.dtype), x)


def _strictly_lower(size: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    ones = tf.ones([size, size], dtype)
    return tf.linalg.band_part(ones, -1, 0) - tf.eye(size, dtype=dtype)
