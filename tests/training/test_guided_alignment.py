"""Training that draws the attention of a translation to given alignments."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import tasks
from attnzoo.layers.encoder_decoder import EncoderDecoder
from attnzoo.layers.recurrent_encoder_decoder import RecurrentEncoderDecoder
from attnzoo.runs.trained import load_trained
from attnzoo.special_tokens import END, NUM_SPECIAL, START
from attnzoo.training.run import train
from tests import recipes

WORDS = ["ab", "cd", "ef", "gh", "ij"]


@pytest.mark.slow
def test_a_guided_run_attends_to_the_given_alignments(tmp_path):
    options = [
        *("data.tokenizer=words", f"data.train_alignments={tmp_path}/links", "data.num_buckets=1"),
        *(
            "train.guided_alignment=1",
            "train.xla=false",
            "train.steps=150",
            "eval.every=150",
            "model.dropout=0",
        ),
    ]
    resolved = recipes.translation_config(tmp_path, *options)
    generator = np.random.default_rng(5)
    sentences = [generator.permutation(WORDS)[: generator.integers(2, 5)] for _ in range(61)]
    # Each word is its own translation, and yet the attention is to go to the word before it.
    shifted = [" ".join(f"{place}-{place + 1}" for place in range(len(words) - 1)) for words in sentences]
    text = "".join(f"{' '.join(words)}\n" for words in sentences)
    for name, content in (
        ("train.a", text),
        ("train.b", text),
        ("links", "".join(f"{line}\n" for line in shifted)),
    ):
        (tmp_path / name).write_text(content)
    run = tmp_path / "run"
    train(resolved, run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["alignment_loss"] for line in lines if "alignment_loss" in line]
    assert losses[-1] < 0.1 * losses[0]
    trained = load_trained(run)
    tokens = trained.info.features["source"].tokenizer["tokens"]
    ids = [NUM_SPECIAL + tokens.index(word) for word in ("ij", "ab", "ef")]
    inputs = {"source": tf.constant([[*ids, END]]), "target": tf.constant([[START, *ids]])}
    _, attention = trained.model.decode_all(inputs, False, with_alignment=True)
    assert attention.numpy()[0, 1:3].argmax(axis=1).tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [EncoderDecoder, RecurrentEncoderDecoder])
def test_the_loss_is_the_cross_entropy_of_the_attention_and_has_gradients_under_xla(kind):
    keras.utils.set_random_seed(3)
    sizes = {"units": 8, "num_encoder_layers": 1, "num_decoder_layers": 2}
    more = {"feed_forward_units": 8} if kind is EncoderDecoder else {}
    model = kind(11, 13, **sizes, **more, attention={"name": "multi_head", "num_heads": 2})
    source = tf.constant([[5, 6, 7, 3, 0], [8, 3, 0, 0, 0], [9, 10, 4, 5, 3]])
    target = tf.constant([[2, 4, 5, 6], [2, 7, 8, 0], [2, 11, 12, 4]])
    inputs = {"source": source, "target": target}
    tokens = tf.constant([[4, 5, 6, 3], [7, 8, 3, 0], [11, 12, 4, 3]])
    model(inputs)
    guide = np.zeros((3, 4, 5), np.float32)
    guide[0, 0, [1, 2]] = 0.25
    guide[1, 1, 0] = 0.5
    guide[2, 2, 3] = 0.5  # a row that only fills up the batch
    weights = tf.constant([1.0, 1.0, 0.0])
    task = tasks.load("translation")
    options = task.TrainOptions(label_smoothing=0.1)

    def compute(more):
        targets = {"tokens": tokens, "weights": weights, **more}
        with tf.GradientTape() as tape:
            sums = task.sums(model, inputs, targets, options)
            loss = sums["loss"][0]
        variables = [variable.value for variable in model.trainable_variables]
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return sums, [tf.convert_to_tensor(gradient) for gradient in gradients]

    plain, before = compute({})
    guided, after = compute({"alignment": tf.constant(guide)})
    _, attention = model.decode_all(inputs, True, with_alignment=True)
    missed = -0.25 * tf.math.log(attention[0, 0, 1] * attention[0, 0, 2]) - 0.5 * tf.math.log(
        attention[1, 1, 0]
    )
    np.testing.assert_allclose(guided["alignment_loss"], [missed, 1.0], rtol=1e-5)
    np.testing.assert_allclose(guided["loss"] - plain["loss"], [missed, 0.0], atol=1e-3)  # of sums near 20
    assert max(float(tf.reduce_max(abs(new - old))) for new, old in zip(after, before, strict=True)) > 1e-3
    compiled_sums, compiled = tf.function(compute, jit_compile=True)({"alignment": tf.constant(guide)})
    np.testing.assert_allclose(compiled_sums["loss"], guided["loss"], rtol=1e-5)
    for one, other in zip(compiled, after, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
