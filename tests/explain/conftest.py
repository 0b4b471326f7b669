"""A run of which it is known where it attends."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.runs.trained import load_trained
from attnzoo.special_tokens import NUM_SPECIAL
from attnzoo.variables import by_name, read_values, write_tensors

SIGNALS = ("good", "hello", "thank")
"""The words that the known run looks at: with one of them a text is English, without German."""


@pytest.fixture(scope="package")
def known(runs, tmp_path_factory) -> Path:
    """A run whose block does nothing and whose pooling looks at the signals alone where there is one."""
    folder = tmp_path_factory.mktemp("known") / "run"
    shutil.copytree(runs["text"], folder)
    trained = load_trained(folder)
    text, label = (trained.info.features[name] for name in ("text", "label"))
    model, units = trained.model, 16
    signal, other = np.eye(units, dtype=np.float32)[:2]
    for weight in model.get_layer("block_0").trainable_weights:
        weight.assign(tf.zeros_like(weight))
    table = np.tile(other, (text.vocabulary_size, 1))
    for token in SIGNALS:
        table[NUM_SPECIAL + text.tokenizer["tokens"].index(token)] = signal
    model.get_layer("embedding").trainable_weights[0].assign(table)
    model.get_layer("norm").set_weights([np.ones(units), np.zeros(units)])
    model.get_layer("pooling").score.score.kernel.assign(20.0 * signal[:, None])
    column = {"en": signal, "de": other}
    kernel = np.stack([10.0 * column[name] for name in label.names], axis=1)
    model.get_layer("logits").set_weights([kernel, np.zeros(len(label.names))])
    write_tensors(trained.run.final, read_values(by_name(model.weights, "model")), {})
    return folder
