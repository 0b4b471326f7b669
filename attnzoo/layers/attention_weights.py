"""Attention weights of any layer of a functional model, without a second version of the model's code."""

from __future__ import annotations

import keras

from attnzoo.attention.base import ScoredLayer


def attention_names(model: keras.Model) -> list[str]:
    """Returns the names of the layers that can return weights of positions, the closest to the output last.

    These are attention layers and blocks that contain them: each `ScoredLayer` that does not weight channels.
    """
    return [layer.name for layer in model.layers if weighs_positions(layer)]


def weighs_positions(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer can return attention weights of positions."""
    return isinstance(layer, ScoredLayer) and layer.weighs_positions


def with_attention_weights(model: keras.Model, *names: str) -> keras.Model:
    """Returns a model with the same layers that also outputs the attention weights of some layers.

    Args:
        model: a functional model.
        *names: names of layers, among `attention_names`.

    Returns:
        A functional model with the same inputs that outputs the output of `model` and, for each name, the
        attention weights of the layer, <float32>[batch, heads, query, key].

    Examples:
        >>> from attnzoo.attention import MultiHeadAttention
        >>> inputs = keras.Input([7, 16])
        >>> model = keras.Model(inputs, MultiHeadAttention(16, name="attention")(inputs))
        >>> outputs, weights = with_attention_weights(model, "attention")(keras.random.normal([2, 7, 16]))
        >>> weights.shape
        TensorShape([2, 4, 7, 7])
    """
    attention_weights = {}

    def replace(layer):
        return _WithAttentionWeights(layer) if layer.name in names else layer

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if not isinstance(layer, _WithAttentionWeights):
            return outputs
        outputs, attention_weights[layer.name] = outputs
        return outputs

    copy = keras.models.clone_model(model, clone_function=replace, call_function=call)
    return keras.Model(
        copy.input, [copy.output, *(attention_weights[name] for name in names)], name=model.name
    )


class _WithAttentionWeights(keras.layers.Layer):
    """A layer that always returns its attention weights too: Keras expects a fixed number of outputs."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs, **arguments):
        """Returns the layer's outputs and attention weights."""
        return self.layer(inputs, **arguments, return_attention_scores=True)
