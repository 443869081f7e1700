"""The signature kernel of what a Keras model makes of paths."""

import copy
from typing import Any

import keras
import tensorflow as tf
from gpflow.base import TensorType

from sigkernel_tf._batches import on_merged
from sigkernel_tf._path_lengths import points_up_to_last_change

from .signature import SignatureKernel


class DeepSignatureKernel(SignatureKernel):
    r"""
    The signature kernel of the paths that a Keras model returns, k(x, y) = k_sig(g(x), g(y)), on flattened paths of x.

    It is a deep kernel (Wilson et al. 2016), and with recurrent layers the kernel of GPSig's GP-Sig-LSTM and GP-Sig-GRU
    (Toth & Oberhauser 2020). The weights of the model are hyperparameters: ``train``, GPflow's optimizers and the
    bound's gradient reach them together with lengthscales and variance. All that :class:`SignatureKernel` has is as
    there, but of g(x): the orthogonal signature features exist, and lengthscales and half-lives are of the channels
    that g returns.

    Where g keeps the number of time steps, a path that was padded with its last value, and so any constant tail, ends
    with what g returns at its last change. Layers that look ahead would see the padding; recurrent layers and causal
    convolutions do not.

    >>> network = keras.Sequential([keras.Input([None, 2], dtype="float64"), keras.layers.Dense(3, dtype="float64")])
    >>> DeepSignatureKernel(network, lengthscales=1.0)(rows).shape
    TensorShape([20, 20])
    """

    def __init__(self, network: keras.Model, **options: Any) -> None:
        """
        :param network: a built Keras model of one input [N, L, C] and one output [N, L', D]. It is used as in
            prediction: without dropout, and with the moving averages that a normalization has.
        :param options: those of :class:`SignatureKernel` after ``num_channels``, but for ``channels``.
        :raises TypeError: for what is no Keras model.
        :raises ValueError: for a model that is not built or has other inputs or outputs, and for ``channels``.
        """
        if not isinstance(network, keras.Model):
            raise TypeError(f"network must be a keras.Model, got {type(network).__name__}: wrap layers by Sequential.")
        shapes: tuple[Any, Any] = (network.input_shape, network.output_shape) if network.built else ((), ())
        if any(len(shape) != 3 or not isinstance(shape[-1], int) for shape in shapes):
            raise ValueError(
                "network must be built, with one input (None, steps, channels) and one output (None, steps, channels), "
                f"got {shapes[0] or 'no input'} and {shapes[1] or 'no output'}: begin with keras.Input([None, 3]) and "
                "let recurrent layers return_sequences=True."
            )
        if options.get("channels") is not None:
            raise ValueError(f"channels must be None here, got {options['channels']}: let the network choose them.")
        self._num_returned = int(shapes[1][-1])
        super().__init__(int(shapes[0][-1]), **options)
        self.network = network
        self._weights = _variables(network)  # where GPflow finds them

    @property
    def num_channels_seen(self) -> int:
        """D, the number of channels that the network returns."""
        return self._num_returned

    def _paths(self, X: TensorType, name: str) -> tf.Tensor:
        return on_merged(self._returned, super()._paths(X, name))

    def _returned(self, paths: tf.Tensor) -> tf.Tensor:
        """What the network returns for paths [N, L, C]: [N, L', D]."""
        given = tf.cast(paths, self.network.inputs[0].dtype)
        points = tf.cast(self.network(given, training=False), paths.dtype)
        if points.shape[1] not in (None, paths.shape[1]):
            return points
        return _held(points, points_up_to_last_change(paths))

    def __deepcopy__(self, memo: dict[int, Any]) -> "DeepSignatureKernel":
        """A copy whose network has weights of its own."""
        network = keras.models.clone_model(self.network)
        network.set_weights(self.network.get_weights())
        memo[id(self.network)] = network
        memo |= {id(own): other for own, other in zip(self._weights, _variables(network), strict=True)}
        kernel = type(self).__new__(type(self))
        memo[id(self)] = kernel
        for name, value in vars(self).items():
            kernel.__dict__[name] = copy.deepcopy(value, memo)
        return kernel


def _variables(network: keras.Model) -> list[tf.Variable]:
    """The trainable weights as TensorFlow's variables, which Keras' are not."""
    return [weight.value for weight in network.trainable_weights]


def _held(points: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Paths [N, L, D] that stay from point ``lengths`` on where they were at this point."""
    steps = tf.minimum(tf.range(tf.shape(points)[1])[None, :], lengths[:, None] - 1)
    return tf.gather(points, steps, batch_dims=1)
