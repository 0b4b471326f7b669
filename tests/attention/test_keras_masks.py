"""Masks that Keras carries along with a tensor, as from `Embedding(mask_zero=True)`, reach every layer."""

import keras
import numpy as np
import pytest

from attnzoo.attention import AttentionPooling, mechanisms
from tests import mechanisms as known

UNITS = 16
LONG, SHORT = np.array([[5, 6, 7, 0, 0]]), np.array([[5, 6, 7]])


pytestmark = pytest.mark.filterwarnings("error:.*does not support masking:UserWarning")


@pytest.fixture
def embedding():
    keras.utils.set_random_seed(3)
    return keras.layers.Embedding(9, UNITS, mask_zero=True)


def plain(tensor):
    """Without a mask."""
    return keras.ops.convert_to_tensor(np.asarray(tensor))


def close(one, other):
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-5)


@pytest.mark.parametrize("name", known.NAMES)
def test_a_mask_of_the_query_hides_padding_from_attention_within_a_sequence(embedding, name):
    layer = mechanisms.build(name, UNITS)
    close(layer(embedding(LONG))[:, :3], layer(embedding(SHORT)))


@pytest.mark.parametrize("name", known.CROSS)
@pytest.mark.parametrize("masked", ["key", "value", "both"])
def test_masks_of_key_and_value_both_apply(embedding, name, masked):
    layer = mechanisms.build(mechanisms.parse(name).for_cross_attention(), UNITS)
    query = np.ones([1, 2, UNITS], np.float32)
    key = embedding(LONG) if masked != "value" else plain(embedding(LONG))
    value = embedding(LONG) if masked != "key" else plain(embedding(LONG))
    short = plain(embedding(SHORT))
    close(layer(query, value, key), layer(query, short))


@pytest.mark.slow
@pytest.mark.parametrize("name", known.CROSS)
def test_a_mask_applies_together_with_segments(embedding, name):
    layer = mechanisms.build(name, UNITS)
    segments = np.array([[1, 1, 1, 1, 1]])
    masked = layer(embedding(LONG), segment_ids=keras.ops.convert_to_tensor(segments))
    close(masked[:, :3], layer(embedding(SHORT)))


def test_pooling_uses_the_mask_of_its_input_also_in_a_functional_model(embedding):
    layer = AttentionPooling()
    close(layer(embedding(LONG)), layer(embedding(SHORT)))
    ids = keras.Input([None], dtype="int32")
    model = keras.Model(ids, layer(embedding(ids)))
    close(model(LONG), model(SHORT))
    weights = layer(embedding(LONG), return_attention_scores=True)[1]
    assert np.asarray(weights)[0, 0, 0, 3:].tolist() == [0.0, 0.0]
