"""What the arguments of a call of attention must be."""

import pytest
import tensorflow as tf

from attnzoo.attention.kernel import attention

query, key, value = tf.zeros([2, 6, 5, 7]), tf.zeros([2, 3, 11, 7]), tf.zeros([2, 3, 11, 13])
REFUSED = {
    "query without heads": ({"query": query[0]}, r"`query` must have 4 axes.*query.shape=\(6, 5, 7\)"),
    "key without heads": ({"key": key[0]}, r"`key` must have 4 axes.*key.shape=\(3, 11, 7\)"),
    "value without heads": ({"value": value[0]}, r"`value` must have 4 axes.*value.shape=\(3, 11, 13\)"),
    "value of another length": (
        {"value": value[:, :, :3]},
        r"batch size, number of heads and length.*key.shape=\(2, 3, 11, 7\), value.shape=\(2, 3, 3, 13\)",
    ),
    "key of another dim": (
        {"key": key[..., :5]},
        r"batch size and dim.*query.shape=\(2, 6, 5, 7\), key.shape=\(2, 3, 11, 5\)",
    ),
    "key of another batch": (
        {"key": key[:1], "value": value[:1]},
        r"batch size and dim.*query.shape=\(2, 6, 5, 7\), key.shape=\(1, 3, 11, 7\)",
    ),
    "heads that do not divide": (
        {"query": query[:, :5]},
        r"multiple of the heads of `key`.*query.shape=\(2, 5, 5, 7\), key.shape=\(2, 3, 11, 7\)",
    ),
    "two types": (
        {"key": tf.cast(key, tf.float16)},
        r"same floating-point dtype. Received: float32, float16, float32",
    ),
    "integers": (
        {"query": tf.cast(query, tf.int32), "key": tf.cast(key, tf.int32), "value": tf.cast(value, tf.int32)},
        r"same floating-point dtype. Received: int32, int32, int32",
    ),
    "bias of rank 3": (
        {"bias": tf.zeros([6, 5, 11])},
        r"`bias` must broadcast to .*= \(2, 6, 5, 11\). Received: bias.shape=\(6, 5, 11\)",
    ),
    "bias of other heads": (
        {"bias": tf.zeros([2, 3, 5, 11])},
        r"`bias` must broadcast to .*= \(2, 6, 5, 11\). Received: bias.shape=\(2, 3, 5, 11\)",
    ),
    "distance bias": (
        {"distance_bias": tf.zeros([6, 16])},
        r"`distance_bias`.*query \+ key - 1\] = \(6, 15\). Received: distance_bias.shape=\(6, 16\)",
    ),
    "slopes": (
        {"alibi_slopes": tf.zeros([3])},
        r"`alibi_slopes`.*\[heads\] = \(6,\). Received: alibi_slopes.shape=\(3,\)",
    ),
    "sink": ({"sink": tf.zeros([6, 1])}, r"`sink`.*\[heads\] = \(6,\). Received: sink.shape=\(6, 1\)"),
    "padding of queries": (
        {"padding_mask": tf.ones([2, 5])},
        r"`padding_mask`.*\[batch, key\] = \(2, 11\). Received: padding_mask.shape=\(2, 5\)",
    ),
    "segments of queries": (
        {"segment_ids": (tf.zeros([2, 7]), tf.zeros([2, 11]))},
        r"`segment_ids`.*\[batch, query\] = \(2, 5\). Received: segment_ids.shape=\(2, 7\)",
    ),
    "one tensor of segments for two lengths": (
        {"segment_ids": tf.zeros([2, 5])},
        r"`segment_ids`.*\[batch, key\] = \(2, 11\). Received: segment_ids.shape=\(2, 5\)",
    ),
    "window below 0": (
        {"window": (2, -3)},
        r"Both sides of `window` must be 0 or more. Received: window=\(2, -3\)",
    ),
    "one window below 0": (
        {"window": -1},
        r"Both sides of `window` must be 0 or more. Received: window=\(-1, -1\)",
    ),
    "align": ({"align": "middle"}, r"top_left.*bottom_right.*Received: align='middle'"),
    "soft cap of 0": ({"soft_cap": 0.0}, r"`soft_cap` must be above 0. Received: soft_cap=0.0"),
    "dropout of everything": (
        {"dropout": 1.0, "seed": 1},
        r"must be in \[0, 1\). Received: dropout=1.0",
    ),
    "dropout without seed": ({"dropout": 0.5}, r"needs a seed.*Received: dropout=0.5, seed=None"),
    "implementation": ({"implementation": "flash"}, r"xla.*reference.*Received: implementation='flash'"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        attention(**{"query": query, "key": key, "value": value, **arguments})


def test_unknown_number_of_heads_is_refused():
    specification = [tf.TensorSpec([2, None, 5, 7]), tf.TensorSpec(key.shape), tf.TensorSpec(value.shape)]
    with pytest.raises(ValueError, match=r"heads and dim must be static.*query.shape=\(2, None, 5, 7\)"):
        tf.function(attention, input_signature=specification, autograph=False).get_concrete_function()
