"""Masked language modeling: text in, its masked tokens out.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from etils import epy

from attnzoo.config import RunConfig, sections
from attnzoo.config.source import KeyPath
from attnzoo.features.feature import Feature
from attnzoo.features.info import DataInfo
from attnzoo.features.text import Text
from attnzoo.features.weight import Weight
from attnzoo.special_tokens import PADDING
from attnzoo.tasks import options as task_options
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import Metric, PredictFn

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline
    from attnzoo.explain import printable
    from attnzoo.losses import r_drop, vocabulary_cross_entropy
    from attnzoo.tasks import evaluating, sums
    from attnzoo.text import masking

MAX_SHOWN_TOKENS = 100


class MaskedText(Task):
    """Predicts masked tokens: pretraining for other models of the same texts."""

    name: ClassVar[str] = "masked_text"
    features: ClassVar[Mapping[str, Feature]] = {"text": Text(), "weight": Weight()}
    input_name: ClassVar[str] = "text"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(False),
        "perplexity": Metric(False),
        "token_accuracy": Metric(True),
    }
    monitor: ClassVar[str] = "loss"
    unit: ClassVar[str] = "tokens"
    TrainOptions = task_options.CrossEntropyOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields a problem if R-Drop is on and the model has no dropout."""
        yield from task_options.r_drop_problems(config)

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function from a feature batch to masked `text` and targets `tokens` <int32>[batch, time].

        Targets are 0 where nothing is to be predicted.
        """
        size = info.features["text"].vocabulary_size

        def make(batch: pipeline.FeatureBatch) -> pipeline.Batch:
            text, tokens = masking.mask(batch.values["text"], batch.seeds, size)
            return {"text": text}, {"weights": batch.weights, "indices": batch.indices, "tokens": tokens}

        return make

    def sums(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        targets: dict[str, tf.Tensor],
        training: sections.TrainOptions | None,
    ) -> dict[str, tf.Tensor]:
        """Returns cross entropy (nats per masked token) and the accuracy of masked tokens.

        The model returns <float>[batch, time, units], see `models.masked_text_model`.
        """
        smoothing, weight = task_options.cross_entropy_weights(training)
        if weight:
            inputs, targets = r_drop.duplicate((inputs, targets))
        hidden = model(inputs, training=training is not None)
        tokens = targets["tokens"]
        weights = tf.cast(tf.not_equal(tokens, PADDING), tf.float32) * targets["weights"][:, None]
        rows = tf.reshape(hidden, [-1, hidden.shape[-1]])
        labels, row_weights = tf.reshape(tokens, [-1]), tf.reshape(weights, [-1])
        loss = vocabulary_cross_entropy.vocabulary_cross_entropy(
            rows, embedding_table(model), labels, row_weights, smoothing, weight
        )
        return sums.token_sums(loss, row_weights, weight)

    def predict_fn(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, xla: bool
    ) -> PredictFn:
        """Returns a function from inputs with `positions` <int64>[n, 2] to tokens <int32>[n]."""
        (model,) = models

        @tf.function(autograph=False)
        def predict(inputs):
            hidden = model(info.model_inputs({"text": inputs["text"]}), training=False)
            hidden = tf.gather_nd(hidden, inputs["positions"])  # [n, units]
            table = embedding_table(model)
            return tf.argmax(
                tf.matmul(tf.cast(hidden, table.dtype), table, transpose_b=True),
                axis=-1,
                output_type=tf.int32,
            )

        return predict

    def prediction_problem(self, info: DataInfo) -> str:
        """Returns that the answers are not for whole texts."""
        return f"a run of {self.name}, which gives no answers to whole texts"

    def rows(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> list[dict[str, str]]:
        """Returns the masked texts at `indices` and what the model predicts for the masks."""
        tokenizer = info.features["text"].make_tokenizer()
        by_index: dict[int, dict[str, str]] = {}
        for inputs, targets in evaluating.evaluation_batches(self, examples, info, sizes, indices):
            real = int(tf.math.count_nonzero(targets["weights"]))
            positions = tf.where(targets["tokens"] != PADDING)
            predicted = predict({**inputs, "positions": positions})
            predicted = tf.tensor_scatter_nd_update(targets["tokens"], positions, predicted)
            for row, index in enumerate(targets["indices"].numpy()[:real].tolist()):
                masked, true, filled = (
                    part[row].numpy()[:MAX_SHOWN_TOKENS]
                    for part in (inputs["text"], targets["tokens"], predicted)
                )
                pieces = _pieces(tokenizer, masked)
                for position in np.flatnonzero(masked == masking.MASK):
                    pieces[position] = "[mask]"
                by_index[index] = {
                    "text": " ".join(pieces),
                    "hidden": " ".join(_pieces(tokenizer, true[true != PADDING])),
                    "predicted": " ".join(_pieces(tokenizer, filled[true != PADDING])),
                }
        return [by_index[index] for index in map(int, indices)]

    def next_commands(self, folder: Path, attends: bool) -> list[tuple[str, str]]:
        """Returns commands to continue with after training, and what each is for."""
        return [
            *super().next_commands(folder, attends),
            (f"train.init_from: {folder}", "in a config: start a classifier from these weights"),
        ]


def embedding_table(model: keras.Model) -> tf.Tensor:
    """Returns the embedding table <float32>[vocabulary, units]."""
    return tf.convert_to_tensor(model.get_layer("embedding").embeddings)


def _pieces(tokenizer, ids: np.ndarray) -> list[str]:
    return [printable.printable(piece) for piece in tokenizer.pieces(tf.constant(ids[None]))[0]]
