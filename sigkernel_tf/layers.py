"""
Signatures as Keras 3 layers, on TensorFlow, JAX and PyTorch.

On TensorFlow they call the compiled operation; under ``jit_compile=True`` and on the other backends the same is
computed in Keras operations, level by level for all time steps at once. Importing this module imports no TensorFlow.
Keras loads a saved model that has the layers once they are imported: ``from sigkernel_tf import SignatureLayer``.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from . import _keras_paths, _keras_signatures, _memory, _words
from ._arguments import as_int, check_path_shape

_BASES = ("words", "expanded")
Shape = Sequence[int | None]


class _PathLayer(keras.layers.Layer):
    """What the layers share: how paths are prepared, and the checks. A subclass computes the features of [B, L, D]."""

    def __init__(
        self,
        depth: int,
        stream: bool = False,
        *,
        add_time: bool = False,
        add_basepoint: bool = False,
        trainable_scaling: bool = False,
        scaling_initializer: Any = "ones",
        scaling_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        # No autocast: under a mixed policy the paths come in as they are, and are not rounded to float16 first.
        super().__init__(autocast=False, **kwargs)
        if not keras.backend.is_float_dtype(self.compute_dtype):
            raise ValueError(f"dtype must be a float's or a mixed precision policy, got {self.dtype_policy.name}.")
        self.depth = as_int(depth, "depth", 1)
        if not isinstance(stream, bool):
            raise TypeError(f"stream must be True or False, got {stream!r}.")
        self.stream = stream
        self.add_time = bool(add_time)
        self.add_basepoint = bool(add_basepoint)
        self.trainable_scaling = bool(trainable_scaling)
        self.scaling_initializer = keras.initializers.get(scaling_initializer)
        self.scaling_regularizer = keras.regularizers.get(scaling_regularizer)
        self.scaling: Any = None
        self.supports_masking = True
        self._built_channels: int | None = None

    @property
    def _float(self) -> str:
        """What the features are computed in, before they are cast to the policy's compute dtype."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def build(self, input_shape: Shape) -> None:
        """
        :param input_shape: (paths, time steps, channels), of which the channels must be known.
        :raises ValueError: for another rank, no time steps, no or unknown channels, and where the words of all paths,
            with ``stream`` of all time steps, as far as their numbers are known, do not fit in memory.
        """
        channels = self._path_channels(input_shape)
        self._built_channels = input_shape[2]
        if self.trainable_scaling:
            self.scaling = self.add_weight(
                name="scaling",
                shape=(channels,),
                initializer=self.scaling_initializer,
                regularizer=self.scaling_regularizer,
                autocast=False,
            )

    def call(self, inputs: Any, mask: Any = None, lengths: Any = None) -> Any:
        """
        :param inputs: paths [B, L, D] of floats; on TensorFlow also a ragged tensor [B, (L), D].
        :param mask: [B, L], true where a step counts; Keras hands on that of the layer before.
        :param lengths: [B] integers, how many steps of each path count, in place of a mask: from 0, a path
            that rests at zero, to L. Checked outside compiled functions; within them they are clipped.
        """
        self._check_inputs(inputs)
        if hasattr(inputs, "row_lengths"):  # a ragged tensor
            if lengths is not None or mask is not None:
                raise ValueError("a ragged tensor has lengths of its own: leave out mask and lengths.")
            lengths, inputs = inputs.row_lengths(), inputs.to_tensor()
        if lengths is not None:
            if mask is not None:
                raise ValueError("a path's length comes from mask or from lengths, got both: leave out one.")
            lengths = ops.convert_to_tensor(lengths)
            _check_compatible(lengths, "lengths", "paths", inputs.shape[:1])
            _keras_paths.check_lengths(lengths, inputs.shape[1])
            mask = _keras_paths.mask_of_lengths(lengths, ops.shape(inputs)[1])
        if mask is not None:
            mask = ops.convert_to_tensor(mask)
            _check_compatible(mask, "mask", "paths, time steps", inputs.shape[:2])
        return ops.cast(self._features(self._prepared(ops.cast(inputs, self._float), mask)), self.compute_dtype)

    def _prepared(self, X: Any, mask: Any) -> Any:
        count = None
        if mask is not None:
            X, count = _keras_paths.hold(X, mask)
        if self.add_time:
            X = _keras_paths.add_time(X, count)
        if self.add_basepoint:
            X = _keras_paths.add_basepoint(X)
        if self.scaling is not None:
            X = X * ops.cast(self.scaling, self._float)  # eq. 16: the signature of the rescaled path
        return X

    def _features(self, X: Any) -> Any:
        raise NotImplementedError

    def _count_features(self, channels: int) -> int:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        """(B, F), or (B, L, F) with ``stream``, where L is one more with a base point."""
        features = self._count_features(self._path_channels(input_shape))
        if not self.stream:
            return input_shape[0], features
        length = input_shape[1]
        return input_shape[0], None if length is None else length + self.add_basepoint, features

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """With ``stream``, the inputs' mask, in which a base point counts; else None."""
        if mask is None or not self.stream:
            return None
        mask = ops.cast(mask, "bool")
        return ops.pad(mask, [[0, 0], [1, 0]], constant_values=True) if self.add_basepoint else mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth": self.depth,
            "stream": self.stream,
            "add_time": self.add_time,
            "add_basepoint": self.add_basepoint,
            "trainable_scaling": self.trainable_scaling,
            "scaling_initializer": keras.initializers.serialize(self.scaling_initializer),
            "scaling_regularizer": keras.regularizers.serialize(self.scaling_regularizer),
        }

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Of symbolic inputs, which are checked as ``call`` checks others."""
        self._check_inputs(inputs)
        return super().compute_output_spec(inputs, *args, **kwargs)

    def _check_inputs(self, inputs: Any) -> None:
        """
        :raises TypeError: for inputs that are not floats.
        :raises ValueError: as :meth:`build` does.
        """
        self._path_channels(_known_shape(inputs, self.name))
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise TypeError(
                f"inputs of {self.name} must be floats, got {dtype}: cast them first, "
                "as in keras.ops.cast(inputs, 'float32')."
            )

    def _path_channels(self, shape: Shape) -> int:
        """The channels of the path whose signature is taken, once ``shape``, the inputs', is known to be sound."""
        shape = tuple(shape)
        check_path_shape(shape, f"inputs of {self.name}", "inputs")
        if shape[2] is None:
            raise ValueError(
                f"inputs of {self.name} must have a known number of channels, got shape {shape}: "
                "set it, as in keras.Input((None, 3)) for three channels and any number of time steps."
            )
        if self._built_channels not in (None, shape[2]):
            raise ValueError(
                f"inputs of {self.name} must have the {self._built_channels} channels that it was built with, "
                f"got shape {shape}: build another layer for them."
            )
        channels = shape[2] + self.add_time
        time_steps = None if shape[1] is None else shape[1] + self.add_basepoint
        rows = _memory.known_product([shape[0], time_steps if self.stream else 1])
        self._check_memory(channels, rows)
        return channels

    def _check_memory(self, channels: int, rows: int) -> None:
        """:raises ValueError: where the words of ``rows`` signatures do not fit in memory."""
        _words.num_words_up_to(self.depth, channels, 8 if self._float == "float64" else 4, rows)


def _known_shape(inputs: Any, name: str) -> Shape:
    """:raises ValueError: for inputs that are no array, or of unknown rank."""
    shape = getattr(inputs, "shape", None)
    if shape is None or getattr(shape, "rank", 0) is None:
        raise ValueError(
            f"inputs of {name} must be an array of known rank 3, (paths, time steps, channels), got "
            f"{'unknown rank' if shape is not None else type(inputs).__name__}."
        )
    return shape


def _check_compatible(value: Any, name: str, axes: str, expected: Shape) -> None:
    """:raises ValueError: where the shape is known not to be ``expected``."""
    sizes = tuple(value.shape)
    if len(sizes) != len(expected) or any(None not in (a, b) and a != b for a, b in zip(sizes, expected, strict=True)):
        raise ValueError(f"{name} must have shape ({axes}), {tuple(expected)} here, got {sizes}.")


@keras.saving.register_keras_serializable(package="sigkernel_tf")
class SignatureLayer(_PathLayer):
    r"""
    Truncated signature of each path: the features of all words of 1 to ``depth`` letters (eq. 8 of Lemercier et al.
    2021), exact up to rounding for the piecewise linear path through the given points.

    They are those of :func:`sigkernel_tf.signature`, in the order of :func:`sigkernel_tf.words`. Where the inputs have
    a unit u, a word of k letters has u^k. A path is prepared in this order: masked steps are left out, time is added,
    then a base point, then the channels are rescaled.

    On TensorFlow the compiled operation is called. On JAX and PyTorch, and under ``jit_compile=True``, each level is a
    cumulative sum over time of what the levels below give, in O(L (D^2 + D^(depth-2))) memory a path, O(L D^depth) with
    ``stream``. (Keras itself chooses ``jit_compile=True`` where TensorFlow sees a GPU; ``jit_compile=False`` keeps the
    compiled operation there.)

    Under a mixed precision policy the signature is computed in float32 and cast to the compute dtype, under float64 in
    float64 (JAX needs its own ``jax_enable_x64`` for that).

    Masks make a path's length variable: masked steps, before, after or amid the others, change nothing. With ``stream``
    the signature of a masked step is that of the step before it, and the mask is handed on.

    :param depth: the longest words' number of letters, >= 1: D + ... + D^depth features.
    :param stream: whether to return the signatures of all prefixes of a path, that of its first point first.
    :param include_level_zero: whether to begin with the empty word's feature, 1.
    :param add_time: whether to put time in channel 0, from 0 to 1 over each path's own length, as
        :func:`sigkernel_tf.paths.add_time` does.
    :param add_basepoint: whether to prepend zeros, once time was added, as :func:`sigkernel_tf.paths.add_basepoint`
        does. A stream is then one step longer.
    :param trainable_scaling: whether to multiply each channel, time too, by a trained weight theta, a reciprocal
        lengthscale: the feature of a word is multiplied by the thetas of its letters (eqs. 16, 17).
    :param scaling_initializer: of theta.
    :param scaling_regularizer: of theta.
    :param kwargs: of :class:`keras.layers.Layer`: ``name``, ``dtype``, ``trainable``.
    :raises TypeError: where ``depth`` is no integer or ``stream`` no bool, and for inputs that are not floats.
    :raises ValueError: where ``depth`` is below 1, and for a ``dtype`` of integers; once the inputs' shape is known,
        for another rank than 3, no time steps, no or unknown channels, and where the words of all paths, or what Keras
        operations keep along them, do not fit in memory.
    """

    def __init__(self, depth: int, stream: bool = False, *, include_level_zero: bool = False, **kwargs: Any) -> None:
        super().__init__(depth, stream, **kwargs)
        self.include_level_zero = bool(include_level_zero)

    def _features(self, X: Any) -> Any:
        features = _keras_signatures.signature(X, self.depth, stream=self.stream)
        if not self.include_level_zero:
            return features
        return ops.concatenate([ops.ones_like(features[..., :1]), features], axis=-1)

    def _count_features(self, channels: int) -> int:
        words = sum(channels**k for k in range(self.depth + 1))
        return words if self.include_level_zero else words - 1

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "include_level_zero": self.include_level_zero}


@keras.saving.register_keras_serializable(package="sigkernel_tf")
class LogSignatureLayer(_PathLayer):
    r"""
    Truncated log signature of each path: the logarithm of its signature in the tensor algebra, with fewer features.

    The logarithm lies in the free Lie algebra. ``basis="words"`` keeps its coefficients at the Lyndon words, which
    determine it: by length, then lexicographically, channels, then pairs i < j, and so on. ``basis="expanded"`` keeps
    those of all words of 1 to ``depth`` letters. Everything else is as in :class:`SignatureLayer`.

    :param depth: the longest words' number of letters, >= 1.
    :param stream: whether to return the log signatures of all prefixes of a path, that of its first point, 0, first.
    :param basis: "words" or "expanded".
    :param kwargs: ``add_time``, ``add_basepoint``, ``trainable_scaling``, ``scaling_initializer`` and
        ``scaling_regularizer`` of :class:`SignatureLayer`; those of :class:`keras.layers.Layer`.
    :raises TypeError: and
    :raises ValueError: as :class:`SignatureLayer` does; for another ``basis``.
    """

    def __init__(self, depth: int, stream: bool = False, *, basis: str = "words", **kwargs: Any) -> None:
        super().__init__(depth, stream, **kwargs)
        if basis not in _BASES:
            raise ValueError(f'basis must be "words" or "expanded", got {basis!r}.')
        self.basis = basis

    def _features(self, X: Any) -> Any:
        channels = X.shape[-1]
        if channels == 1:  # exactly, where the series' terms would cancel
            displacement = _keras_signatures.signature(X, 1, stream=self.stream)
            higher = self._count_features(1) - 1
            return ops.pad(displacement, [[0, 0]] * (1 + self.stream) + [[0, higher]])
        signature = _keras_signatures.signature(X, self.depth, stream=self.stream)
        levels = _keras_signatures.logarithm(_keras_signatures.split(signature, channels, self.depth))
        expanded = ops.concatenate(levels, axis=-1)
        if self.basis == "expanded":
            return expanded
        return ops.take(expanded, _words.lyndon_columns(channels, self.depth), axis=-1)

    def _check_memory(self, channels: int, rows: int) -> None:
        super()._check_memory(channels, rows)
        if self.basis == "words":
            _words.check_lyndon_words_fit(channels, self.depth)

    def _count_features(self, channels: int) -> int:
        if self.basis == "words":
            return _words.count_lyndon_words(channels, self.depth)
        return sum(channels**k for k in range(1, self.depth + 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "basis": self.basis}
