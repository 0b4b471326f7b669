"""Text in, its masked tokens out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config.sections import EvalOptions
from attnzoo.data import masking, pipeline, tokenizers
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import PADDING, DataInfo
from attnzoo.layers.vocabulary_loss import vocabulary_loss
from attnzoo.tasks import scoring
from attnzoo.tasks.text_attention import visible

MONITOR = "loss"
HIGHER_IS_BETTER = False
COUNTED = "tokens"

SHOWN_TOKENS = 100


def sums(
    model: keras.Model,
    inputs: dict[str, tf.Tensor],
    targets: dict[str, tf.Tensor],
    training: bool,
    label_smoothing: float,
    r_drop: float = 0.0,
) -> dict[str, tf.Tensor]:
    """Cross entropy (nats a masked token) and the share of masked tokens predicted right.

    Args:
        model: gives <float>[batch, time, units], see `models.masked_text_model`.
        inputs: `text` with masks.
        targets: `tokens` <int32>[batch, time], 0 where nothing is predicted, and `weights` <float32>[batch].
        training: whether dropout is on.
        label_smoothing: see `scoring.smoothed_cross_entropy`.
        r_drop: weight of `divergence` (nats a pair) in the loss; above 0 the batch is two equal halves.
    """
    hidden = model(inputs, training=training)
    tokens = targets["tokens"]
    weights = tf.cast(tf.not_equal(tokens, PADDING), tf.float32) * targets["weights"][:, None]
    rows = tf.reshape(hidden, [-1, hidden.shape[-1]])
    labels, row_weights = tf.reshape(tokens, [-1]), tf.reshape(weights, [-1])
    found = vocabulary_loss(rows, table_of(model), labels, row_weights, label_smoothing, r_drop)
    return scoring.token_sums(found, row_weights, r_drop)


def table_of(model: keras.Model) -> tf.Tensor:
    """Returns the embeddings <float32>[vocabulary, units]."""
    return tf.convert_to_tensor(model.get_layer("embedding").embeddings)


def predictor(models: Sequence[keras.Model], info: DataInfo, options: EvalOptions, xla: bool) -> Callable:
    """Returns a function from inputs and positions <int64>[n, 2] (text, place) to tokens <int32>[n]."""
    (model,) = models

    @tf.function(autograph=False)
    def predict(inputs, positions):
        hidden = tf.gather_nd(model(inputs, training=False), positions)  # [n, units]
        table = table_of(model)
        return tf.argmax(
            tf.matmul(tf.cast(hidden, table.dtype), table, transpose_b=True), axis=-1, output_type=tf.int32
        )

    return predict


def predictions(predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes) -> None:
    """Returns None: there is no metric of whole predictions."""


def rows(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[dict[str, str]]:
    """Returns the first `count` texts with their masks, and what the model puts there."""
    tokenizer = tokenizers.from_state(info.tokenizers["text"])
    shown: list[dict[str, str]] = []
    for inputs, targets in pipeline.batches(examples, info, pipeline.evaluation_plans(examples, info, sizes)):
        real = int(tf.math.count_nonzero(targets["weights"]))
        positions = tf.where(targets["tokens"] != PADDING)
        said = tf.tensor_scatter_nd_update(targets["tokens"], positions, predict(inputs, positions))
        for row in range(min(real, count - len(shown))):
            seen, true, filled = (values[row].numpy() for values in (inputs["text"], targets["tokens"], said))
            places = np.flatnonzero(true[:SHOWN_TOKENS])
            pieces = [visible(piece) for piece in tokenizer.pieces(tf.constant(seen[None, :SHOWN_TOKENS]))[0]]
            for place in np.flatnonzero(seen[:SHOWN_TOKENS] == masking.MASK):
                pieces[place] = "[mask]"
            words = [
                " ".join(visible(piece) for piece in tokenizer.pieces(tf.constant(ids[places][None]))[0])
                for ids in (true, filled)
            ]
            shown.append({"text": " ".join(pieces), "hidden": words[0], "predicted": words[1]})
        if len(shown) == count:
            break
    return shown
