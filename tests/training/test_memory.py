"""How much memory a step is said to take."""

import pytest
import tensorflow as tf

from attnzoo.attention import AdditiveAttention
from attnzoo.errors import UserError
from attnzoo.startup import memory_bytes
from attnzoo.training import memory, run
from tests import recipes

MEBI = 1 << 20


def _graph(function, *shapes):
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(function, autograph=False).get_concrete_function(*specs).graph


def test_tensors_count_while_they_are_used():
    def chain(value):  # <float32>[MEBI] are 4 MiB
        for _ in range(7):
            value = tf.sort(tf.tanh(value))
        return tf.reduce_sum(value)

    def kept(value):
        values = [tf.tanh(value * number) for number in range(7)]
        return tf.add_n(values)

    assert 4 * MEBI <= memory.peak_bytes(_graph(chain, [MEBI])) <= 13 * MEBI
    assert 28 * MEBI <= memory.peak_bytes(_graph(kept, [MEBI])) <= 37 * MEBI


def test_what_called_functions_keep_counts_and_views_do_not():
    inner = tf.function(lambda value: tf.add_n([tf.tanh(value * number) for number in range(5)]))
    inner.get_concrete_function(tf.TensorSpec([MEBI]))
    assert memory.peak_bytes(_graph(lambda value: inner(value), [MEBI])) >= 20 * MEBI
    views = _graph(lambda value: tf.reshape(tf.identity(value), [2, -1])[0, 0], [MEBI])
    assert memory.peak_bytes(views) < MEBI


def test_loops_and_what_their_gradients_add_to_them_are_passed_through():
    def looped(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            (total,) = tf.while_loop(
                lambda total: tf.reduce_sum(total) < 1e9, lambda total: (tf.tanh(total) + value,), (value,)
            )
        return tape.gradient(total, value)

    assert 4 * MEBI <= memory.peak_bytes(_graph(looped, [MEBI])) <= 60 * MEBI


@pytest.mark.parametrize(
    ("option", "what", "lower"),
    [
        (
            "train.batch_size=4000000",
            "a training step of 4000000 examples",
            r"train\.batch_size \(now 4000000\), data\.image_size \(now \[8, 8\]\) or "
            r"model\.stages \(now \[\[5\]\]\)",
        ),
        pytest.param(
            "eval.batch_size=16000000",
            "an evaluation of 16000000 examples at a time",
            r"eval\.batch_size \(now 16000000\), data\.image_size",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_batch_far_above_memory_is_refused_before_there_is_a_run(
    tmp_path, monkeypatch, option, what, lower
):
    monkeypatch.setattr(memory, "free_memory", lambda: (min(8000 * MEBI, memory_bytes()), "this machine"))
    config = recipes.image_config(tmp_path, option)
    message = (
        rf"^out of memory: {what} needs about [\d,]+ MiB, but this machine allows only [\d,]+ MiB; "
        rf"reduce {lower}"
    )
    with pytest.raises(UserError, match=message):
        run.train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_pairs_that_attention_keeps_count():
    layer = AdditiveAttention(3, hidden_units=7)
    layer.build((None, None, 3))
    graph = _graph(lambda value: layer(value), [11, 101, 3])
    pairs = 11 * 101 * 101 * 4
    assert 7 * pairs < memory.peak_bytes(graph) < 25 * pairs
