"""The weights of any attention in a functional model, without a second copy of the model's code."""

from __future__ import annotations

import inspect

import keras


def attention_names(model: keras.Model) -> list[str]:
    """Returns the names of the layers that can tell how they weigh positions, the nearest to the output last.

    These are attention layers and blocks around them: all whose call takes `return_attention_scores`, but for
    those that weigh channels.
    """
    return [layer.name for layer in model.layers if _weighs_positions(layer)]


def _weighs_positions(layer: keras.layers.Layer) -> bool:
    attention = getattr(layer, "attention", layer)  # of a block
    has_scores = "return_attention_scores" in inspect.signature(layer.call).parameters
    return has_scores and getattr(attention, "weighs_positions", True)


def with_scores(model: keras.Model, name: str) -> keras.Model:
    """Returns a model of the same layers, and so of the same weights, that also gives one layer's scores.

    Args:
        model: a functional model with one output.
        name: of one of `attention_names`.

    Returns:
        A functional model of the same inputs that gives the output of `model` and the scores,
        <float32>[batch, heads, query, key].
    """
    found = []

    def call(layer, *args, **kwargs):
        if layer.name != name:
            return layer(*args, **kwargs)
        outputs, scores = layer(*args, **kwargs, return_attention_scores=True)
        found.append(scores)
        return outputs

    copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(copy.input, [copy.output, *found], name=model.name)
