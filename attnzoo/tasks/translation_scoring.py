"""Log probabilities of given translations, and of their tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data.buckets import beyond_training, truncated_examples
from attnzoo.data.examples import encode_split
from attnzoo.data.pipeline import BatchSizes
from attnzoo.data.splits import Split
from attnzoo.features.info import DataInfo
from attnzoo.records.text_files import object_array
from attnzoo.special_tokens import PADDING
from attnzoo.tasks.evaluating import evaluation_batches
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import Scorer


def keys(with_tokens: bool) -> list[str]:
    """Returns the keys of a score."""
    by_token = ["token_log_probabilities"] if with_tokens else []
    return ["log_probability", "tokens", *by_token, "truncated", "beyond_training"]


def log_probability_fn(
    model: keras.Model,
) -> Callable[[dict[str, tf.Tensor], tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function from inputs and targets <int32>[batch, target] to log probabilities (nats).

    They are <float32>[batch] of the targets and <float32>[batch, target] of their tokens, 0 at padding.
    """

    @tf.function(autograph=False)
    def run(inputs, tokens):
        log_probabilities = tf.nn.log_softmax(model(inputs, training=False))
        log_probabilities = tf.gather(log_probabilities, tokens[..., None], batch_dims=2)[..., 0]
        log_probabilities = tf.where(tokens == PADDING, 0.0, log_probabilities)
        return tf.reduce_sum(log_probabilities, axis=1), log_probabilities

    return run


def scorer(task: Task, model: keras.Model, info: DataInfo, sizes: BatchSizes, with_tokens: bool) -> Scorer:
    """Returns a function from sources and their targets to a score of each, see `Translation.scorer`."""
    run = log_probability_fn(model)
    tokenizer = info.features["target"].make_tokenizer()

    def score(sources: Sequence[str], targets: Sequence[str]) -> list[dict[str, Any]]:
        columns = {"source": object_array([*sources]), "target": object_array([*targets])}
        examples = encode_split(Split(columns, "inputs"), info)
        lengths = examples.lengths(info)
        truncated, beyond = truncated_examples(lengths, info.lengths[-1]), beyond_training(lengths, info)
        answers: list[dict[str, Any]] = [{} for _ in sources]
        for inputs, batch in evaluation_batches(task, examples, info, sizes):
            real = int(tf.math.count_nonzero(batch["weights"]))
            tokens, indices = batch["tokens"][:real], batch["indices"].numpy()[:real].tolist()
            totals, each = (
                values.numpy()[:real] for values in run(info.model_inputs(inputs), batch["tokens"])
            )
            counts = tf.math.count_nonzero(tokens, axis=1).numpy().tolist()
            pieces = tokenizer.pieces(tokens) if with_tokens else None
            for row, index in enumerate(indices):
                values = [float(totals[row]), counts[row]]
                if pieces is not None:
                    values.append(_by_token(pieces[row], each[row]))
                values += [bool(truncated[index]), bool(beyond[index])]
                answers[index] = dict(zip(keys(with_tokens), values, strict=True))
        return answers

    return score


def _by_token(tokens: Sequence[str], log_probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Returns the log probability of each token; the rest of <float32>[target] is padding."""
    return [
        {"token": token, "log_probability": float(value)}
        for token, value in zip(tokens, log_probabilities, strict=False)
    ]
