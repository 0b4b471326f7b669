"""The weights of any attention in a functional model, without a second copy of the model's code."""

from __future__ import annotations

import keras

from attnzoo.attention.base import ScoredLayer


def attention_names(model: keras.Model) -> list[str]:
    """Returns the names of the layers that can tell how they weigh positions, the nearest to the output last.

    These are attention layers and blocks around them: each `ScoredLayer`, but for those that weigh channels.
    """
    return [layer.name for layer in model.layers if weighs_positions(layer)]


def weighs_positions(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer can be asked for its weights of positions."""
    return isinstance(layer, ScoredLayer) and layer.weighs_positions


def with_attention_weights(model: keras.Model, name: str) -> keras.Model:
    """Returns a model of the same layers, and so of the same weights, that also gives one layer's scores.

    Args:
        model: a functional model with one output.
        name: of one of `attention_names`.

    Returns:
        A functional model of the same inputs that gives the output of `model` and the scores,
        <float32>[batch, heads, query, key].
    """
    found = []

    def replace(layer):
        return _WithAttentionWeights(layer) if layer.name == name else layer

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if not isinstance(layer, _WithAttentionWeights):
            return outputs
        outputs, scores = outputs
        found.append(scores)
        return outputs

    copy = keras.models.clone_model(model, clone_function=replace, call_function=call)
    return keras.Model(copy.input, [copy.output, *found], name=model.name)


class _WithAttentionWeights(keras.layers.Layer):
    """A layer that always gives its scores too: Keras remembers how many outputs a layer had at first."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs, **arguments):
        """Returns the layer's outputs and its scores."""
        return self.layer(inputs, **arguments, return_attention_scores=True)
