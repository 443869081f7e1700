"""The truncated signature of piecewise linear paths. The first letter of a word is integrated first."""

import functools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import tensorflow as tf

from . import _batches, _checks, _library, _memory, _selected_words, _words
from ._arguments import as_bool, as_int
from ._gradients import attributes_of, differentiable_once
from .tensor_algebra import signature_combine


def signature(
    X: Any,
    depth: int | None = None,
    *,
    num_words: int | None = None,
    words: Sequence[Sequence[int]] | None = None,
    stream: bool = False,
    initial: Any = None,
    inverse: bool = False,
) -> tf.Tensor:
    r"""
    The truncated signature of each path, by Chen's identity.

    The feature of a word (i_1, ..., i_k) is the iterated integral of dx^{i_1} ... dx^{i_k} over
    0 < t_1 < ... < t_k < 1 (eq. 8 of Lemercier et al. 2021). It is exact up to rounding for the piecewise linear path
    through the given points. Column 0, that of the empty word, is 1; a path of one point has the signature (1, 0, ...).
    Columns are ordered as :func:`words` lists them, and ``num_words`` may cut the last level midway.

    Units: where X has a unit u, the feature of a word of k letters has the unit u^k. The signature is differentiable
    once, in X. A path costs O(L M) for M words, forward and backward. Beyond the output each thread holds a few
    signatures of 16 paths; where there are few long paths, they are cut into stretches, with one or two signatures for
    each stretch and at most 64 MB. The gradient does not store anything along the path either, which it walks back from
    its end: where ``stream`` is False its rounding error is up to 2^depth times that of the signature, which can be
    seen in float32 at great depths. On the CPU results do not depend on the number of threads.

    Of selected ``words``, only the channels that they have are read. Where the words are few among those of their
    levels, only they and their prefixes are computed, in TensorFlow's operations: this takes O(L S) time and memory
    where the prefixes have S letters together, and its gradient keeps what it needs along the path.

    >>> corner = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])  # first along channel 0, then along channel 1
    >>> sk.signature(corner, depth=2).numpy().tolist()  # (), 0, 1, 00, 01, 10, 11: 1 moves after 0 has, not before
    [1.0, 1.0, 1.0, 0.5, 1.0, 0.0, 0.5]
    >>> sk.signature(corner, words=[(0, 1)]).numpy().tolist()
    [1.0]
    >>> x = tf.Variable(corner)
    >>> with tf.GradientTape() as tape:
    ...     S = sk.signature(x, words=[(0, 1), (1, 0)])
    ...     area = (S[0] - S[1]) / 2
    >>> bool(np.allclose(tape.gradient(area, x), [[-0.5, 0.0], [0.5, -0.5], [0.0, 0.5]]))  # the corner moves out
    True

    :param X: [..., L, D], float32 or float64; there may be any number of leading axes, or none for a single path.
    :param depth: the last level, >= 0, which makes M = 1 + D + ... + D^depth words. Give this, ``num_words`` or
        ``words``.
    :param num_words: the number M itself, >= 1.
    :param words: M words in any order, each a tuple of channels, as :func:`weighted_words` returns them.
    :param stream: whether to return the signatures of all prefixes of a path, beginning with that of its first point.
    :param initial: [..., M], what the same call returned, without ``stream``, for the path that came before, which ends
        where X begins. The result is that of both together, by Chen's identity; X continues with ``stream``. It costs
        a product for each row of the result, :func:`signature_combine`.
    :param inverse: whether to return the inverse of the signature, which is the signature of the path run backwards;
        with ``stream``, that of each prefix. ``initial`` then is an inverse, too.
    :return: [..., M], or [..., L, M] with ``stream``.
    :raises ValueError: where not just one of ``depth``, ``num_words`` and ``words`` is given, or it is too small; for a
        word with a letter that is no channel, and no words; where the words of all paths, as far as their number is
        known, do not fit in memory; where the number of channels is unknown, except with ``num_words`` alone; for a
        rank below 2, no time steps or no channels; for an ``initial`` of another shape, and with ``words``, where it
        would not be enough.
    :raises TypeError: where ``depth`` or ``num_words`` is no integer, ``words`` no list of tuples of integers, or
        ``stream`` or ``inverse`` no bool; for another dtype, and an ``initial`` of another one than X.
    :raises tf.errors.InvalidArgumentError: for NaN or infinite values (which path, which step; with ``inverse`` counted
        from the end) and a signature that overflows the dtype (which path, counted through all leading axes); for the
        faults above where shapes become known only at run time. Where even the rank is unknown while a function is
        traced, it must be 3.
    """
    X, stream, inverse = _checks.as_batches(X, "X"), as_bool(stream, "stream"), as_bool(inverse, "inverse")
    given = {"depth": depth, "num_words": num_words, "words": words}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(
            f"signature takes either depth, num_words or words, got {' and '.join(names) or 'none of them'}: depth=3 "
            "keeps all words of up to three letters, num_words=100 the first hundred words, words=[(0, 1)] that one."
        )
    if words is not None:
        if initial is not None:
            raise ValueError("initial takes all words up to a level, got words, too: give depth and use word_index.")
        return _at_words(X, words, stream=stream, inverse=inverse)
    if depth is not None:
        depth = as_int(depth, "depth", 0)
        num_words = num_words_of(X, depth, stream=stream, alternative=", or give num_words instead")
    else:
        num_words = as_int(num_words, "num_words", 1)
        _memory.check_fits(Decimal(num_words), f"num_words={num_words}", X.dtype.size, _known_rows(X, stream))
    if not inverse:
        S = _of_paths(X, num_words, stream=stream)
    elif not stream:
        S = _of_paths(tf.reverse(X, [-2]), num_words, stream=False)
    else:
        S = _inverses_of_prefixes(X, num_words)
    return S if initial is None else _continued(S, initial, _known_channels(X, "initial"), stream, inverse)


def _of_paths(X: tf.Tensor, num_words: int, *, stream: bool) -> tf.Tensor:
    """The compiled operation."""
    by_paths = functools.partial(_library.ops().sigkernel_tf_signature, num_words=num_words, stream=stream)
    return _batches.on_merged(by_paths, X)


def _inverses_of_prefixes(X: tf.Tensor, num_words: int) -> tf.Tensor:
    """The inverse has at each word the signature's number at the word read backwards, times (-1)^letters."""
    channels = _known_channels(X, "inverse=True with stream=True")
    depth = len(_words.level_sizes(channels, num_words)) - 1
    S = _of_paths(X, num_words_of(X, depth, stream=True), stream=True)  # a cut level has not all of them backwards
    columns, signs = _words.reversed_columns(channels, num_words)
    return _batches.columns_at(S, columns) * tf.constant(signs, S.dtype)


def _continued(S: tf.Tensor, initial: Any, num_channels: int, stream: bool, inverse: bool) -> tf.Tensor:
    """The signatures S [..., M] or [..., L, M], or inverses, of what follows a path with this signature, or inverse."""
    initial = _checks.as_float_tensor(initial, "initial")
    _checks.check_same_dtype(initial, S, "initial and X")
    shape = [*S.shape[:-2], S.shape[-1]] if stream else S.shape
    if not initial.shape.is_compatible_with(shape):
        raise ValueError(
            f"initial must be a signature for each path, with as many words as the result, of shape {tuple(shape)}, "
            f"got {initial.shape}: nothing is broadcast; give what signature returned without stream."
        )
    if stream:
        initial = tf.broadcast_to(initial[..., None, :], tf.shape(S))
    return signature_combine(S, initial, num_channels) if inverse else signature_combine(initial, S, num_channels)


def _at_words(X: tf.Tensor, words: Any, *, stream: bool, inverse: bool) -> tf.Tensor:
    """The signature, or its inverse, at selected words: [..., W] or [..., L, W]."""
    channels = _known_channels(X, "words")
    chosen = _words.as_words(words, channels)
    if inverse:
        signs = tf.constant([(-1.0) ** len(word) for word in chosen], X.dtype)
        return signs * _at_words(X, [word[::-1] for word in chosen], stream=stream, inverse=False)
    letters = sorted(set().union(*chosen)) or [0]
    if len(letters) < channels:
        X = _batches.columns_at(X, letters)
        place = {letter: i for i, letter in enumerate(letters)}
        chosen = tuple(tuple(place[letter] for letter in word) for word in chosen)
    plan = _selected_words.plan_of(chosen, len(letters))
    if not plan.is_cheaper:
        cause = f"{len(chosen)} words among the first {plan.num_words}"
        _memory.check_fits(Decimal(plan.num_words), cause, X.dtype.size, _known_rows(X, stream))
        return _batches.columns_at(_of_paths(X, plan.num_words, stream=stream), plan.columns)
    _memory.check_fits(
        Decimal(plan.num_letters), f"{len(chosen)} words with their prefixes", X.dtype.size, _known_rows(X, True)
    )
    return _batches.on_merged(functools.partial(_selected_words.signature_at, plan=plan, stream=stream), X)


def _known_channels(X: tf.Tensor, argument: str) -> int:
    """:raises ValueError: where the number of channels is unknown, which the argument needs."""
    channels = None if X.shape.rank is None else X.shape[-1]
    if channels is None:
        raise ValueError(
            f"{argument} needs a number of channels known while the function is traced, got shape {X.shape}: "
            "set it with X = tf.ensure_shape(X, [None, None, D])."
        )
    return channels


@tf.RegisterGradient("SigkernelTfSignature")
def _signature_gradient(op: tf.Operation, upstream: tf.Tensor) -> tf.Tensor:
    return _library.ops().sigkernel_tf_signature_grad(
        op.inputs[0], op.outputs[0], upstream, **attributes_of(op, "num_words", "stream")
    )


tf.RegisterGradient("SigkernelTfSignatureGrad")(
    differentiable_once("the signature", "; tf.autodiff.ForwardAccumulator asks for one as well")
)


def _known_rows(X: tf.Tensor, stream: bool) -> int:
    """The number of signatures: one for each path or, with ``stream``, time step of X; unknown sizes count as 1."""
    return _memory.known_product(X.shape[: -1 if stream else -2] if X.shape.rank is not None else ())


def num_words_of(X: tf.Tensor, depth: int, *, stream: bool, alternative: str = "") -> int:
    """
    The number of words over the channels of X with at most ``depth`` letters.

    :param stream: whether there is a signature for each time step.
    :param alternative: ends the advice of the error about an unknown number of channels.
    :raises ValueError: where the number of channels is unknown, and where the signatures do not fit in memory.
    """
    channels = None if X.shape.rank is None else X.shape[-1]
    if channels is None:
        raise ValueError(
            f"depth={depth} needs a number of channels known while the function is traced, got shape {X.shape}: "
            f"set it with X = tf.ensure_shape(X, [None, None, D]){alternative}."
        )
    return _words.num_words_up_to(depth, channels, X.dtype.size, _known_rows(X, stream))
