"""Layers in a function for any number of examples and positions, which may be 0."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.convolution import FeatureMapAttention
from attnzoo.layers.suppression import suppress, take_best
from attnzoo.layers.transformer import DecoderBlock, EncoderBlock
from attnzoo.layers.windows import WindowBlock, WindowPooling
from tests.arrays import close

UNITS = 6
SEQUENCE, MASK, MAP = [None, None, UNITS], [None, None], [None, None, None, UNITS]
HEADS = {"name": "multi_head", "num_heads": 2}


def on_sequences(layer):
    return lambda inputs, mask: layer(inputs, padding_mask=mask)


LAYERS = {
    "encoder block": lambda: (on_sequences(EncoderBlock(UNITS, HEADS, 7)), SEQUENCE, MASK),
    "decoder block": lambda: (DecoderBlock(UNITS, HEADS, feed_forward_units=7), SEQUENCE, SEQUENCE),
    "block on windows": lambda: (on_sequences(WindowBlock(UNITS, 3, attention=HEADS)), SEQUENCE, MASK),
    "pooling of windows": lambda: (WindowPooling(3), SEQUENCE, MASK),
    "attention on a map": lambda: (FeatureMapAttention(UNITS, HEADS), MAP),
    "gate of positions": lambda: (FeatureMapAttention(UNITS, "spatial"), MAP),
    "gate with a convolution": lambda: (FeatureMapAttention(UNITS, "cbam"), MAP),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_any_number_of_examples_and_positions(name):
    layer, *shapes = LAYERS[name]()
    specs = [tf.TensorSpec(shape, tf.bool if shape is MASK else tf.float32) for shape in shapes]
    traced = tf.function(layer, input_signature=specs, autograph=False)
    is_map = shapes[0] is MAP  # a convolution needs at least one position
    for batch, length in [(2, 5), (0, 4), (1, 1), (3, 7), *([] if is_map else [(2, 0)])]:
        generator = np.random.default_rng(length)
        sizes = [[batch, *[length] * (len(shape) - 1 - (shape is not MASK))] for shape in shapes]
        inputs = [
            tf.fill(size, True)
            if spec.dtype == tf.bool
            else tf.constant(generator.standard_normal([*size, UNITS]), tf.float32)
            for size, spec in zip(sizes, specs, strict=True)
        ]
        outputs = layer(*inputs)
        assert outputs.shape[0] == batch
        close(traced(*inputs), outputs)


@pytest.mark.parametrize("select", [lambda *given: suppress(*given[:2], 0.5, *given[2:]), take_best])
def test_detections_of_no_image_are_none(select):
    @tf.function(input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None, 2])])
    def traced(boxes, scores):
        return select(boxes, scores, 3, 0.001)

    assert traced(tf.zeros([0, 5, 4]), tf.zeros([0, 5, 2])).shape == (0, 3, 6)
