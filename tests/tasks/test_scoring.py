import dataclasses
import math
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.config.sections import EvalOptions, TranslationOptions
from attnzoo.data import examples as data_examples
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import DataInfo, DataSplits, Split
from attnzoo.layers.decoding import Translations
from attnzoo.tasks import (
    classification,
    classification_scores,
    image_classification,
    scoring,
    translation,
    translation_scores,
)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_smoothed_cross_entropy_is_that_of_the_smoothed_target(smoothing):
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(7, 11)).astype(np.float32)
    labels = generator.integers(0, 11, 7).astype(np.int32)
    target = np.eye(11)[labels] * (1 - smoothing) + smoothing / 11
    expected = keras.losses.categorical_crossentropy(target, logits, from_logits=True)
    found = scoring.smoothed_cross_entropy(tf.constant(logits), tf.constant(labels), smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_half_precision_logits_are_scored_in_float32():
    logits = tf.constant([[0.0, 12.0]], tf.float16)
    loss = scoring.smoothed_cross_entropy(logits, tf.constant([1]), 0.0)
    assert loss.dtype == tf.float32
    assert float(loss[0]) == pytest.approx(math.log1p(math.exp(-12.0)), rel=2e-2)


def test_a_metric_without_examples_is_not_a_number_and_never_a_zero():
    assert math.isnan(scoring.to_metrics({"loss": np.zeros(2)})["loss"])


def test_perplexity_belongs_to_losses_of_tokens():
    metrics = scoring.to_metrics({"loss": np.array([6.0, 3.0]), "token_accuracy": np.array([1.0, 2.0])})
    assert metrics == {"loss": 2.0, "token_accuracy": 0.5, "perplexity": pytest.approx(math.exp(2.0))}


def test_padding_and_filled_rows_are_no_targets_of_a_translation():
    logits = np.zeros((2, 3, 5), np.float32)
    targets = {"tokens": tf.constant([[4, 3, 0], [4, 4, 3]]), "weights": tf.constant([1.0, 0.0])}
    model = types.SimpleNamespace(
        decode_all=lambda inputs, training, with_alignment: (logits, None),
        factors=lambda hidden: (hidden, np.eye(5, dtype=np.float32)),
    )
    sums = translation.sums(model, {}, targets, False, 0.0)
    np.testing.assert_allclose(sums["loss"], [2 * math.log(5), 2], rtol=1e-6)


def image_examples(count):
    generator = np.random.default_rng(5)
    images = generator.integers(0, 256, (count, 3, 5, 1)).astype(np.uint8)
    labels = generator.integers(0, 3, count).astype(np.int32)
    split = Split({"image": images, "label": labels}, "test images")
    info = DataInfo(
        "image_classification",
        labels=("a", "b", "c"),
        image_shape=(3, 5, 1),
        image_mean=(0.5,),
        image_std=(0.3,),
    )
    return Examples({}, images, labels, np.zeros(count, np.int32), split), info


@pytest.mark.parametrize("batch", [1, 4, 13])
def test_metrics_are_exact_over_uneven_last_batches(batch):
    examples, info = image_examples(13)
    inputs = keras.Input([3, 5, 1], name="image")
    model = keras.Model({"image": inputs}, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    strategy = tf.distribute.get_strategy()
    evaluator = scoring.Evaluator(
        model, image_classification, info, BatchSizes(batch), EvalOptions(), strategy, xla=False
    )
    found = evaluator.evaluate(examples)
    logits = model({"image": (examples.images / 255.0 - 0.5) / 0.3}).numpy().astype(np.float64)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    losses = -np.log(probabilities[np.arange(13), examples.labels])
    assert found["loss"] == pytest.approx(losses.mean(), abs=1e-6)
    assert found["accuracy"] == pytest.approx((logits.argmax(axis=1) == examples.labels).mean(), abs=1e-6)
    report = evaluator.report(examples, 2.0)
    whole = classification_scores.scores(probabilities, examples.labels, 2.0)
    assert report.metrics == pytest.approx({**found, **whole}, abs=1e-5)
    assert report.confusion_matrix.sum() == 13
    assert report.confusion_matrix.trace() == round(13 * found["accuracy"])


def test_predictions_of_more_classes_than_can_be_held_are_not_made():
    examples, info = image_examples(5)
    many = dataclasses.replace(info, labels=tuple(map(str, range(classification.MOST_CLASSES + 1))))
    assert classification.predictions(None, examples, many, BatchSizes(2)) is None


def test_sample_rows_follow_the_order_of_the_data():
    examples, info = image_examples(5)
    table = tf.eye(3)

    def predict(inputs):
        return tf.gather(table, tf.zeros(tf.shape(inputs["image"])[0], tf.int32))

    rows = classification.label_rows(predict, examples, info, BatchSizes(2), 3)
    assert [index for index, _ in rows] == [0, 1, 2]
    assert rows[0][1] == {
        "label": info.labels[examples.labels[0]],
        "predicted": "a",
        "probability": "1.000",
    }


def test_corpus_metrics_compare_translations_with_their_own_references():
    columns = {
        "source": np.array(["a", "bb", "c"], object),
        "target": np.array(["x y z w", "one two three four", "p q r s"], object),
    }
    splits = DataSplits(Split(columns, "pairs"), Split(columns, "pairs"), None)
    options = TranslationOptions(name="pairs", tokenizer="words", num_buckets=2)
    info, examples = data_examples.learn(splits, options, "translation")
    test = examples["train"]
    by_source = {
        tuple(row): test.texts["target"].values[slice(*test.texts["target"].offsets[number : number + 2])]
        for number, row in enumerate([test.texts["source"].values[0:2], test.texts["source"].values[2:4]])
    }

    def predict(inputs):
        tokens = np.zeros((len(inputs["source"]), 6), np.int32)
        for number, row in enumerate(inputs["source"].numpy()):
            target = by_source.get(tuple(row[:2]), [])
            tokens[number, : len(target)] = target
        rows = len(tokens)
        alignment = tf.zeros((rows, 1, 6, inputs["source"].shape[1]))
        return Translations(tf.constant(tokens)[:, None], tf.zeros((rows, 1)), tf.zeros((rows, 1)), alignment)

    found = translation.predictions(predict, test, info, BatchSizes(2))
    metrics = translation.corpus_metrics(found, test, info, EvalOptions())
    assert metrics["exact_match"] == pytest.approx(2 / 3)
    assert 0 < metrics["bleu"] < 100
    assert "tok:13a" in metrics["bleu_signature"]
    assert metrics["bleu_interval"] > 0
    tokenized = EvalOptions(bleu_tokenizer="none", bleu_lowercase=True)
    metrics = translation.corpus_metrics(found, test, info, tokenized)
    assert "case:lc" in metrics["bleu_signature"]
    assert "tok:none" in metrics["bleu_signature"]
    assert "nc:6" in metrics["chrf_signature"]


def test_a_clear_difference_is_significant_and_a_small_one_is_not():
    generator = np.random.default_rng(3)
    words = np.array([f"word{number}" for number in range(50)])
    references = [" ".join(generator.choice(words, 12)) for _ in range(60)]

    def damaged(share):
        return [
            " ".join("wrong" if generator.random() < share else word for word in text.split())
            for text in references
        ]

    first = damaged(0.2)
    close = [*first[:-1], references[-1]]
    systems = [("first", first), ("worse", damaged(0.4)), ("close", close)]
    found, signature = translation_scores.compare(systems, references, EvalOptions())
    assert [one.name for one in found] == ["first", "worse", "close"]
    assert found[0].p_value is None
    assert found[1].bleu < found[0].bleu - found[0].interval
    assert found[1].p_value < 0.01
    assert found[2].p_value > 0.01
    assert "tok:13a" in signature
