import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.encoder_decoder import EncoderDecoder


def encoded(position, attention, source):
    tf.keras.utils.set_random_seed(2)
    model = EncoderDecoder(
        11,
        13,
        units=8,
        num_encoder_layers=2,
        num_decoder_layers=1,
        feed_forward_units=16,
        attention={"name": "multi_head", "num_heads": 2, "position": attention},
        position=position,
    )
    return model.encode(tf.constant(source))[0].numpy()


@pytest.mark.parametrize(
    ("position", "attention", "ordered"),
    [
        ("none", "none", False),
        ("none", "rotary", True),
        ("none", "alibi", True),
        ("sinusoidal", "none", True),
    ],
)
def test_order_matters_with_a_position_encoding(position, attention, ordered):
    there = encoded(position, attention, [[5, 6, 7]])
    swapped = encoded(position, attention, [[6, 5, 7]])[:, [1, 0, 2]]
    assert np.allclose(there, swapped, atol=1e-5) is not ordered
