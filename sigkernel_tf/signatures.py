"""The truncated signature of piecewise linear paths. The first letter of a word is integrated first."""

import functools
from decimal import Decimal
from typing import Any

import tensorflow as tf

from . import _batches, _checks, _library, _memory, _words
from ._arguments import as_bool, as_int
from ._gradients import attributes_of, differentiable_once


def signature(X: Any, depth: int | None = None, *, num_words: int | None = None, stream: bool = False) -> tf.Tensor:
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

    :param X: [..., L, D], float32 or float64; there may be any number of leading axes, or none for a single path.
    :param depth: the last level, >= 0, which makes M = 1 + D + ... + D^depth words. Give this or ``num_words``.
    :param num_words: the number M itself, >= 1.
    :param stream: whether to return the signatures of all prefixes of a path, beginning with that of its first point.
    :return: [..., M], or [..., L, M] with ``stream``.
    :raises ValueError: where both or neither of ``depth`` and ``num_words`` are given, or it is too small; where the
        words of all paths, as far as their number is known, do not fit in memory; where ``depth`` is given and the
        number of channels is unknown; for a rank below 2, no time steps or no channels.
    :raises TypeError: where ``depth`` or ``num_words`` is no integer or ``stream`` no bool, and for another dtype.
    :raises tf.errors.InvalidArgumentError: for NaN or infinite values (which path, which step) and a signature that
        overflows the dtype (which path, counted through all leading axes); for the faults above where shapes become
        known only at run time. Where even the rank is unknown while a function is traced, it must be 3.
    """
    X, stream = _checks.as_batches(X, "X"), as_bool(stream, "stream")
    if depth is not None and num_words is None:
        depth = as_int(depth, "depth", 0)
        num_words = num_words_of(X, depth, stream=stream, alternative=", or give num_words instead")
    elif num_words is not None and depth is None:
        num_words = as_int(num_words, "num_words", 1)
        _memory.check_fits(Decimal(num_words), f"num_words={num_words}", X.dtype.size, _known_rows(X, stream))
    else:
        raise ValueError(
            f"signature takes either depth or num_words, got depth={depth} and num_words={num_words}: "
            "depth=3 keeps all words of up to three letters, num_words=100 the first hundred words."
        )
    by_paths = functools.partial(_library.ops().sigkernel_tf_signature, num_words=num_words, stream=stream)
    return _batches.on_merged(by_paths, X)


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
