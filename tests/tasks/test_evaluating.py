import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import tasks
from attnzoo.data.pipeline import BatchSizes
from attnzoo.tasks import classification_metrics
from attnzoo.tasks.evaluating import Evaluator
from tests.tasks.examples import image_examples


@pytest.mark.parametrize("batch", [1, 4, 13])
def test_metrics_are_exact_over_uneven_last_batches(batch):
    examples, info = image_examples(13)
    images, labels = examples.encoded["image"], examples.encoded["label"]
    inputs = keras.Input([3, 5, 1], name="image")
    model = keras.Model({"image": inputs}, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    task, strategy = tasks.load("image_classification"), tf.distribute.get_strategy()
    evaluator = Evaluator(model, task, info, BatchSizes(batch), task.EvalOptions(), strategy, xla=False)
    result = evaluator.evaluate(examples)
    logits = model({"image": (images / 255.0 - 0.5) / 0.3}).numpy().astype(np.float64)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    losses = -np.log(probabilities[np.arange(13), labels])
    assert result["loss"] == pytest.approx(losses.mean(), abs=1e-6)
    assert result["accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean(), abs=1e-6)
    report = evaluator.report(examples, {"temperature": 2.0})
    whole = classification_metrics.compute_metrics(probabilities, labels, 2.0)
    assert report.metrics == pytest.approx({**result, **whole}, abs=1e-5)
    assert report.details["labels"] == ["a", "b", "c"]
    matrix = np.array(report.details["confusion_matrix"])
    assert matrix.sum() == 13
    assert matrix.trace() == round(13 * result["accuracy"])
