"""Which layers can be asked where they attend, and what is taken of their weights."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import catalog, tasks
from attnzoo.config.sections import EvalOptions
from attnzoo.errors import UserError
from attnzoo.explain.view import attention_received, choose_layer
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.features.text import Text
from attnzoo.layers.attention_weights import attention_names, weighs_positions, with_attention_weights
from attnzoo.layers.transformer import EncoderBlock
from attnzoo.models import text_classifier

INFO = DataInfo(
    "text_classification",
    features={"text": Text(vocabulary_size=11), "label": Label(names=("a", "b", "c"))},
    buckets=({"text": 7},),
)


def model_with(attention: str, **options):
    config = text_classifier.Config(units=8, attention={"name": attention}, **options)
    return text_classifier.build(config, INFO)


def test_the_weight_of_a_token_is_the_mean_over_heads_and_over_queries_that_are_not_padding():
    scores = np.zeros([1, 2, 3, 3], np.float32)
    scores[0, :, 0] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    scores[0, :, 1] = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    scores[0, :, 2] = [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]  # padding
    result = attention_received(tf.constant(scores), tf.constant([[True, True, False]]))
    np.testing.assert_allclose(result, [[0.75, 0.25, 0.0]])
    of_pooling = attention_received(tf.constant(scores[:, :1, 1:2]), tf.constant([[True, True, False]]))
    np.testing.assert_allclose(of_pooling, [[1.0, 0.0, 0.0]])
    nothing = attention_received(tf.constant(scores), tf.constant([[False, False, False]]))
    np.testing.assert_allclose(nothing, np.zeros([1, 3]))


@pytest.mark.parametrize("name", catalog.names("attention"))
def test_every_attention_over_tokens_returns_its_weights(name):
    assert weighs_positions(EncoderBlock(8, name)) == (name != "squeeze_excitation")


@pytest.mark.parametrize("name", ["linear", "spatial"])
def test_attention_weights_come_with_the_outputs_of_the_model_itself(name):
    model = model_with(name)
    assert attention_names(model) == ["block_0", "pooling"]
    ids = tf.constant([[4, 5, 6, 0], [7, 0, 0, 0]])
    outputs = model({"text": ids})
    paths = [weight.path for weight in model.weights]
    explained = with_attention_weights(model, "block_0")
    again, scores = explained({"text": ids}, training=False)
    np.testing.assert_allclose(again, outputs, atol=1e-6)
    assert [weight.path for weight in explained.weights] == paths
    assert all(one is other for one, other in zip(explained.weights, model.weights, strict=True))
    valid = tf.cast(ids != 0, tf.float32)
    result = attention_received(scores, ids != 0)
    np.testing.assert_allclose(result * (1 - valid), tf.zeros([2, 4]))
    np.testing.assert_allclose(tf.reduce_sum(result, axis=1), [1.0, 1.0], atol=1e-5)


def test_a_model_without_attention_is_reported():
    model = model_with("multi_head", num_layers=0, pooling="max")
    with pytest.raises(UserError, match="has no layer with attention over positions"):
        choose_layer(model)
    assert tasks.load("text_classification").attention_view(model, INFO, EvalOptions()) is None
