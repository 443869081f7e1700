"""
Signatures as Keras 3 layers, on TensorFlow, JAX and PyTorch.

On TensorFlow they call the compiled operation. Under ``jit_compile=True`` and on the other backends the same is
computed in Keras operations, level by level for all time steps at once. Importing this module imports no TensorFlow.
Before Keras can load a saved model that has the layers, import them: ``from sigkernel_tf import SignatureLayer``.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from . import _keras_paths, _keras_signatures, _memory, _words
from ._arguments import as_bool, as_int, check_path_shape, check_unmasked

_BASES = ("words", "expanded")
Shape = Sequence[int | None]


class _PathLayer(keras.layers.Layer):
    """
    What the layers share: the checks, and how paths are prepared.

    A subclass says how many features there are, and computes them of prepared paths [B, L, D].
    """

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
        # Without autocast the paths come in as they are under a mixed policy, and are not rounded to float16 first.
        super().__init__(autocast=False, **kwargs)
        if not keras.backend.is_float_dtype(self.compute_dtype):
            raise ValueError(f"dtype must be a float's or a mixed precision policy, got {self.dtype_policy.name}.")
        self.depth = as_int(depth, "depth", 1)
        self.stream = as_bool(stream, "stream")
        self.add_time = as_bool(add_time, "add_time")
        self.add_basepoint = as_bool(add_basepoint, "add_basepoint")
        self.trainable_scaling = as_bool(trainable_scaling, "trainable_scaling")
        self.scaling_initializer = keras.initializers.get(scaling_initializer)
        self.scaling_regularizer = keras.regularizers.get(scaling_regularizer)
        self.scaling: Any = None
        self.supports_masking = True
        self._built_channels: int | None = None

    @property
    def _float(self) -> str:
        """The dtype in which the features are computed, before they are cast to the compute dtype of the policy."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def build(self, input_shape: Shape) -> None:
        """
        :param input_shape: (paths, time steps, channels), of which the channels must be known.
        :raises ValueError: for a rank other than 3, for no time steps, for no or unknown channels, and where the words
            of all paths, or with ``stream`` of all time steps, do not fit in memory, as far as their numbers are known.
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

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """As :meth:`call`, once it is known that no mask of NumPy's gets lost; Keras makes tensors of arrays."""
        cure = "give values without a mask, and mask=~numpy.ma.getmaskarray(inputs).any(axis=-1), [B, L]"
        check_unmasked(inputs, f"inputs of {self.name}", cure)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any, mask: Any = None, lengths: Any = None) -> Any:
        """
        :param inputs: paths [B, L, D] of floats; on TensorFlow also a ragged tensor [B, (L), D].
        :param mask: [B, L], true where a step counts; Keras passes the mask of the layer before.
        :param lengths: [B] integers from 0 to L, the number of steps of each path that count, in place of a mask. A
            path of length 0 rests at zero. Outside compiled functions the values are checked; inside they are clipped.
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
            # The signature of the rescaled path (eq. 16). Scaling far from 0 would round away the increments' digits.
            X = (X - X[:, :1]) * ops.cast(self.scaling, self._float)
        return X

    def _features(self, X: Any) -> Any:
        raise NotImplementedError

    def _count_features(self, channels: int) -> int:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        """(B, F), or with ``stream`` (B, L, F), where L includes the base point."""
        features = self._count_features(self._path_channels(input_shape))
        if not self.stream:
            return input_shape[0], features
        length = input_shape[1]
        return input_shape[0], None if length is None else length + self.add_basepoint, features

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """With ``stream`` the mask of the inputs, with a true entry for the base point; else None."""
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
        """The output's shape and dtype for symbolic inputs, which are checked as ``call`` checks arrays."""
        self._check_inputs(inputs)
        return super().compute_output_spec(inputs, *args, **kwargs)

    def _check_inputs(self, inputs: Any) -> None:
        """
        Refuses inputs that are not paths of floats.

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
        """
        The number of channels of the prepared paths, for inputs of this shape.

        :raises ValueError: as :meth:`build` does, and where the layer was built for another number of channels.
        """
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
        """
        Refuses signatures whose words do not fit in memory.

        :param rows: how many signatures are returned.
        :raises ValueError: where they do not fit.
        """
        _words.num_words_up_to(self.depth, channels, 8 if self._float == "float64" else 4, rows)


def _known_shape(inputs: Any, name: str) -> Shape:
    """
    The shape of the inputs, in which sizes may be unknown.

    :raises ValueError: for inputs that are no array, and for an unknown rank.
    """
    shape = getattr(inputs, "shape", None)
    if shape is None or getattr(shape, "rank", 0) is None:
        raise ValueError(
            f"inputs of {name} must be an array of known rank 3, (paths, time steps, channels), got "
            f"{'unknown rank' if shape is not None else type(inputs).__name__}."
        )
    return shape


def _check_compatible(value: Any, name: str, axes: str, expected: Shape) -> None:
    """
    Refuses a tensor of another shape than ``expected``, where either may have unknown sizes.

    :param axes: what the axes stand for, for the error.
    :raises ValueError: where the shape is known to be another.
    """
    sizes = tuple(value.shape)
    if len(sizes) != len(expected) or any(None not in (a, b) and a != b for a, b in zip(sizes, expected, strict=True)):
        raise ValueError(f"{name} must have shape ({axes}), {tuple(expected)} here, got {sizes}.")


@keras.saving.register_keras_serializable(package="sigkernel_tf")
class SignatureLayer(_PathLayer):
    r"""
    The truncated signature of each path: the features of all words of 1 to ``depth`` letters (eq. 8 of Lemercier et al.
    2021). They are exact up to rounding for the piecewise linear path through the given points.

    The features are those of :func:`sigkernel_tf.signature`, in the order of :func:`sigkernel_tf.words`. Where the
    inputs have a unit u, the feature of a word of k letters has the unit u^k. A path is prepared in this order: masked
    steps are left out, time is added, a base point is added, and the channels are rescaled.

    On TensorFlow the compiled operation is called. On JAX and PyTorch, and under ``jit_compile=True``, each level is a
    cumulative sum over time of products of the levels below. A path then takes O(L (D^2 + D^(depth-2))) memory, or
    O(L D^depth) with ``stream``. Where TensorFlow sees a GPU, Keras chooses ``jit_compile=True`` by itself;
    ``jit_compile=False`` keeps the compiled operation there.

    Under a mixed precision policy the signature is computed in float32 and cast to the compute dtype. Under float64 it
    is computed in float64, for which JAX needs its own option ``jax_enable_x64``.

    Masks allow paths of unequal length: masked steps before, after or amid the others change nothing. With ``stream``
    the signature of a masked step is that of the step before it, and the next layer gets the mask.

    >>> layer = sk.SignatureLayer(3, add_time=True)
    >>> tuple(layer(np.zeros((8, 50, 2), np.float32)).shape)  # 3 + 9 + 27 words of time and two channels
    (8, 39)

    :param depth: the number of letters of the longest words, >= 1, which makes D + ... + D^depth features.
    :param stream: whether to return the signatures of all prefixes of a path, beginning with that of its first point.
    :param include_level_zero: whether to begin with the feature of the empty word, which is 1.
    :param add_time: whether to put time in channel 0, from 0 to 1 over each path's own length, as
        :func:`sigkernel_tf.paths.add_time` does.
    :param add_basepoint: whether to put a first step of zeros in front of each path, after time was added, as
        :func:`sigkernel_tf.paths.add_basepoint` does. A stream is then one step longer.
    :param trainable_scaling: whether to multiply each channel, and also time, by a trained weight theta, a reciprocal
        lengthscale. The feature of a word is then multiplied by the thetas of its letters (eqs. 16, 17).
    :param scaling_initializer: the Keras initializer of theta.
    :param scaling_regularizer: the Keras regularizer of theta.
    :param kwargs: options of :class:`keras.layers.Layer`: ``name``, ``dtype`` and ``trainable``.
    :raises TypeError: where ``depth`` is no integer or a switch no bool, and for inputs that are not floats.
    :raises ValueError: where ``depth`` is below 1, and for a ``dtype`` of integers; once the shape of the inputs is
        known, for a rank other than 3, for no time steps, for no or unknown channels, and where the words of all paths,
        or what Keras operations keep along the paths, do not fit in memory.
    """

    def __init__(self, depth: int, stream: bool = False, *, include_level_zero: bool = False, **kwargs: Any) -> None:
        super().__init__(depth, stream, **kwargs)
        self.include_level_zero = as_bool(include_level_zero, "include_level_zero")

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
    The truncated log signature of each path, which determines the signature and can have fewer features.

    It is the logarithm of the signature in the tensor algebra, an element of the free Lie algebra. ``basis="words"``
    keeps its coefficients at the Lyndon words, which determine it, in the order of :func:`sigkernel_tf.lyndon_words`:
    the channels first, then the pairs i < j, and so on. ``basis="expanded"`` keeps the coefficients of all words of 1
    to ``depth`` letters. Everything else is as in :class:`SignatureLayer`.

    >>> layer = sk.LogSignatureLayer(3)
    >>> tuple(layer(np.zeros((8, 50, 2), np.float32)).shape)  # as many as sk.lyndon_words(2, 3)
    (8, 5)

    :param depth: the number of letters of the longest words, >= 1.
    :param stream: whether to return the log signatures of all prefixes of a path, beginning with that of its first
        point, which is 0.
    :param basis: "words" or "expanded".
    :param kwargs: ``add_time``, ``add_basepoint``, ``trainable_scaling``, ``scaling_initializer`` and
        ``scaling_regularizer``, as in :class:`SignatureLayer`, and options of :class:`keras.layers.Layer`.
    :raises TypeError: where ``depth`` is no integer or a switch no bool, and for inputs that are not floats.
    :raises ValueError: for a ``basis`` that is neither of the two, where a list of the Lyndon words does not fit in
        memory, and for all that :class:`SignatureLayer` raises it for.
    """

    def __init__(self, depth: int, stream: bool = False, *, basis: str = "words", **kwargs: Any) -> None:
        super().__init__(depth, stream, **kwargs)
        if basis not in _BASES:
            raise ValueError(f'basis must be "words" or "expanded", got {basis!r}.')
        self.basis = basis

    def _features(self, X: Any) -> Any:
        channels = X.shape[-1]
        if channels == 1:  # the exact result, where the terms of the series would cancel
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
