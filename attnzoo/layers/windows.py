"""Layers for long texts, which split them into windows."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from attnzoo.attention.base import ScoredLayer, check_positive
from attnzoo.attention.pooling import AttentionPooling
from attnzoo.layers.transformer import EncoderBlock


def split_windows(values, window: int):
    """Splits [batch, time, ...] into [batch * windows, window, ...]; the last window is padded with 0."""
    batch, time, *rest = keras.ops.shape(values)
    windows = _num_windows(time, window)
    padding = [[0, 0], [0, windows * window - time]] + [[0, 0]] * len(rest)
    return keras.ops.reshape(tf.pad(values, padding), [batch * windows, window, *rest])


def first_mask(inputs, *given):
    """Returns the first of the given masks that is not None; without, <bool>[batch, time] of True."""
    mask = next((one for one in given if one is not None), None)
    return tf.ones(keras.ops.shape(inputs)[:2], tf.bool) if mask is None else tf.cast(mask, tf.bool)


def _num_windows(time, window: int):
    return -(-time // window)


@keras.saving.register_keras_serializable("attnzoo")
class WindowBlock(EncoderBlock):
    """An `EncoderBlock` applied to each window of a sequence; its cost grows linearly with the length.

    Args:
        units: width of input and output, 1 or more.
        window: number of positions in a window, 1 or more.
        **kwargs: other arguments of `EncoderBlock`.

    Call arguments:
        inputs: <float>[batch, time, units].
        padding_mask: <bool>[batch, time], True = may attend; None for all.
        training: whether dropout is active.
        mask, inputs_mask: padding mask that Keras passes along with the inputs, used if there is no
            `padding_mask`.

    Returns:
        <float>[batch, time, units].

    Raises:
        ValueError: `window` below 1; also raises what `EncoderBlock` raises.

    Examples:
        >>> block = WindowBlock(units=16, window=50, attention="linear")
        >>> block(keras.random.normal([2, 120, 16]), padding_mask=tf.fill([2, 120], True)).shape
        TensorShape([2, 120, 16])
    """

    def __init__(self, units: int, window: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.window = check_positive("window", window)

    @property
    def weighs_positions(self) -> bool:
        """Always False: weights within a window are not weights of the sequence."""
        return False

    def call(self, inputs, *, padding_mask=None, training=None, mask=None, inputs_mask=None):  # type: ignore[override]
        """Splits the sequence into windows, applies the block, and joins them."""
        batch, time, units = keras.ops.shape(inputs)
        padding_mask = first_mask(inputs, padding_mask, mask, inputs_mask)
        windowed, mask = split_windows(inputs, self.window), split_windows(padding_mask, self.window)
        outputs = super().call(windowed, padding_mask=mask, training=training)
        padded_time = _num_windows(time, self.window) * self.window
        return keras.ops.reshape(outputs, [batch, padded_time, units])[:, :time]

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable("attnzoo")
class WindowPooling(ScoredLayer):
    """Hierarchical attention pooling: over the positions of each window, then over the windows.

        y_j = sum_t w_jt x_jt        y = sum_j v_j y_j        weight of a position: v_j w_jt

    Args:
        window: number of positions in a window, 1 or more.
        hidden_units: width of the tanh layer of both scores, 0 or more; 0 for linear scores.
        **kwargs: arguments of `keras.layers.Layer`.

    Call arguments, returns: those of `AttentionPooling`.

    Raises:
        ValueError: `window` below 1, `hidden_units` below 0.

    Reference: Yang et al. 2016, https://aclanthology.org/N16-1174

    Examples:
        >>> inputs, mask = keras.random.normal([2, 120, 16]), tf.fill([2, 120], True)
        >>> pooled, weights = WindowPooling(window=50)(inputs, mask, return_attention_scores=True)
        >>> pooled.shape, tf.reduce_sum(weights, axis=-1).numpy().round(3).ravel().tolist()
        (TensorShape([2, 16]), [1.0, 1.0])
    """

    def __init__(self, window: int, hidden_units: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = check_positive("window", window)
        self.positions = AttentionPooling(hidden_units, name="positions", dtype=self.dtype_policy)
        self.windows = AttentionPooling(hidden_units, name="windows", dtype=self.dtype_policy)

    def build(self, inputs_shape):
        """Builds both poolings."""
        self.positions.build((None, self.window, inputs_shape[-1]))
        self.windows.build((None, None, inputs_shape[-1]))
        self.built = True

    def compute_output_shape(self, inputs_shape):
        """Returns the shape of the output, without that of `return_attention_scores`."""
        return inputs_shape[0], inputs_shape[-1]

    def call(self, inputs, padding_mask=None, return_attention_scores=False, mask=None):
        """Pools twice."""
        batch, time, units = keras.ops.shape(inputs)
        padding_mask = first_mask(inputs, padding_mask, mask)
        windowed, mask = split_windows(inputs, self.window), split_windows(padding_mask, self.window)
        pooled, within = self.positions(windowed, mask, return_attention_scores=True)
        windows = _num_windows(time, self.window)
        by_window = keras.ops.reshape(pooled, [batch, windows, units])
        any_valid = keras.ops.reshape(tf.reduce_any(mask, axis=1), [batch, windows])
        outputs, between = self.windows(by_window, any_valid, return_attention_scores=True)
        if not return_attention_scores:
            return outputs
        within = keras.ops.reshape(within, [batch, windows, self.window])
        weights = within * between[:, 0, 0, :, None]  # [batch, windows, window]
        return outputs, keras.ops.reshape(weights, [batch, 1, 1, windows * self.window])[..., :time]

    def get_config(self):
        """Returns the constructor's arguments."""
        hidden_units = self.windows.score.hidden_units
        return {**super().get_config(), "window": self.window, "hidden_units": hidden_units}
