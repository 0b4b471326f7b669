"""Batch normalization that replicas share, and its fused form for feature maps."""

from __future__ import annotations

import keras
import tensorflow as tf

from attnzoo.attention.precision import at_least_float32
from attnzoo.errors import UserError
from attnzoo.layers.replicas import gather_from_replicas, num_replicas


@keras.saving.register_keras_serializable("attnzoo")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` of the last axis, by statistics that all replicas share.

    On one replica it is that of Keras. Several normalize by the statistics of the whole batch, which all of
    them store; with that of Keras each has its own.

    Args:
        **kwargs: arguments of `keras.layers.BatchNormalization` except `axis` and `renorm`.

    Call arguments:
        inputs: <float>[batch, ..., channels].
        training: whether to normalize by the statistics of the batch and update the moving averages.
        mask: <bool>[batch, ...], positions that count; only on one replica.

    Returns:
        <float>[batch, ..., channels].

    Raises:
        ValueError: `axis` or `renorm` is not the default; a mask in training on several replicas.

    Reference: Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167

    Examples:
        >>> outputs = BatchNormalization()(tf.random.normal([32, 3], mean=9.0), training=True)
        >>> tf.abs(tf.reduce_mean(outputs, 0)).numpy().round(3).tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(self, **kwargs) -> None:
        for name, supported in (("axis", -1), ("renorm", False)):
            if kwargs.get(name, supported) != supported:
                raise ValueError(f"`{name}` can only be {supported}. Received: {name}={kwargs[name]}")
        super().__init__(**kwargs)

    def call(self, inputs, training=None, mask=None):
        """Normalizes."""
        if training and self.trainable and num_replicas() > 1:
            return self._normalize_over_replicas(inputs, mask)
        return super().call(inputs, training=training, mask=mask)

    def _normalize_over_replicas(self, inputs, mask):
        if mask is not None:
            raise ValueError(
                "Replicas share statistics of all positions alone: leave the mask out, or train with one "
                f"replica. Received: mask.shape={mask.shape}"
            )
        values = at_least_float32(inputs)
        moments = tf.stack(tf.nn.moments(values, list(range(values.shape.rank - 1))))
        moments = gather_from_replicas(moments)  # [replicas, 2, channels]
        # Replicas have equally many rows. The variance is that inside of them and that between them.
        mean, variance = tf.unstack(tf.reduce_mean(moments, axis=0))
        variance += tf.reduce_mean(tf.square(moments[:, 0] - mean), axis=0)
        self._update_moving_average(self.moving_mean, mean)
        self._update_moving_average(self.moving_variance, variance)
        outputs = tf.nn.batch_normalization(
            values,
            mean,
            variance,
            self.beta.value if self.center else None,
            self.gamma.value if self.scale else None,
            self.epsilon,
        )
        return tf.cast(outputs, self.compute_dtype)

    def _update_moving_average(self, variable, value) -> None:
        variable.assign(variable.value * self.momentum + value * (1.0 - self.momentum))


@keras.saving.register_keras_serializable("attnzoo")
class MapNormalization(BatchNormalization):
    """`BatchNormalization` for feature maps, as one fused operation with the same variables.

    Keras computes the mean, the variance and the scaled map in separate passes over the map in float32.
    TensorFlow's fused operation takes about a third of the time on a CPU without XLA and does not cast
    half-precision maps: only the sums are float32. Under XLA both compile to the same program.

    Args:
        **kwargs: arguments of `keras.layers.BatchNormalization` except `axis` and `renorm`.

    Call arguments:
        inputs: <float>[batch, height, width, channels].
        training: whether to normalize by the statistics of the batch and update the moving averages.
        mask: <bool>[batch, height, width], positions that count; only on one replica.

    Returns:
        <float>[batch, height, width, channels].

    Raises:
        ValueError: see `BatchNormalization`.

    Examples:
        >>> outputs = MapNormalization()(tf.random.normal([32, 5, 7, 3], mean=9.0), training=True)
        >>> tf.abs(tf.reduce_mean(outputs, [0, 1, 2])).numpy().round(3).tolist()
        [0.0, 0.0, 0.0]
    """

    def call(self, inputs, training=None, mask=None):
        """Normalizes."""
        use_batch_statistics = bool(training and self.trainable)
        shares_statistics = use_batch_statistics and num_replicas() > 1
        # The fused operation supports none of these.
        if shares_statistics or mask is not None or inputs.dtype == tf.float64:
            return super().call(inputs, training=training, mask=mask)
        inputs = tf.cast(inputs, self.compute_dtype)
        channels = inputs.shape[-1]
        no_statistics = tf.zeros([0], tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value if self.scale else tf.ones([channels]),
            offset=self.beta.value if self.center else tf.zeros([channels]),
            mean=no_statistics if use_batch_statistics else self.moving_mean.value,
            variance=no_statistics if use_batch_statistics else self.moving_variance.value,
            epsilon=self.epsilon,
            is_training=use_batch_statistics,
        )
        if use_batch_statistics:
            count = tf.cast(tf.size(inputs) // channels, tf.float32)
            self._update_moving_average(self.moving_mean, mean)
            # The operation returns the unbiased variance, but normalizes by the biased one.
            self._update_moving_average(self.moving_variance, variance * (count - 1.0) / count)
        return outputs


def has_batch_statistics(model: keras.Model) -> bool:
    """Returns whether a layer of the model normalizes by statistics of the whole batch in training."""
    layers = model._flatten_layers(include_self=False)
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


def require_shared_statistics(model: keras.Model) -> None:
    """Checks that replicas of the model normalize by statistics of the whole batch.

    Raises:
        UserError: a layer would have statistics of its own on each replica (exit code 2).
    """
    for layer in model._flatten_layers(include_self=False):
        is_batch_normalization = isinstance(layer, keras.layers.BatchNormalization)
        if is_batch_normalization and not isinstance(layer, BatchNormalization) and not layer.synchronized:
            raise UserError(
                f"Each replica would store other statistics in the layer '{layer.path}', a "
                "keras.layers.BatchNormalization; take the one of attnzoo.layers.batch_normalization, or "
                "train.replicas: 1."
            )
