"""Where a text classifier attends: one weight for each token."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import tokenizers
from attnzoo.data.examples import Examples
from attnzoo.info import MULTI_LABEL, PADDING, DataInfo
from attnzoo.layers import scores as layer_scores
from attnzoo.tasks import answers, classification
from attnzoo.tasks.attended import received

SHOWN_TOKENS = 500
STRIKING = 1.5
"""A token stands out with so many times the weight that it had if all had the same."""
BATCH_SIZE = 8
"""Texts at once: all scores of a layer are in memory, [batch, heads, time, time]."""


class Attended(NamedTuple):
    """What a model makes of one text.

    Attributes:
        probabilities: <float32>[classes].
        weights: <float32>[time], of each token.
    """

    probabilities: np.ndarray
    weights: np.ndarray


def attender(
    model: keras.Model, info: DataInfo, layer: str
) -> Callable[[Sequence[np.ndarray]], list[Attended]]:
    """Returns a function from token ids <int32>[time] of texts to what the model makes of each.

    A token's weight is the attention it receives: the mean over the heads and over the queries that are no
    padding.

    Args:
        model: a text classifier.
        info: gives the lengths that texts are padded to; none may be longer than the longest.
        layer: whose attention to take.
    """
    lengths = answers.lengths_of(info, "text")
    explained = layer_scores.with_scores(model, layer)
    activation = tf.sigmoid if info.task == MULTI_LABEL else tf.nn.softmax

    @tf.function(autograph=False)
    def run(ids):
        logits, scores = explained({"text": ids}, training=False)
        return activation(tf.cast(logits, tf.float32)), received(scores, ids != PADDING)

    def attend(rows: Sequence[np.ndarray]) -> list[Attended]:
        found: dict[int, Attended] = {}
        for chosen, ids in answers.in_batches(rows, lengths, BATCH_SIZE):
            probabilities, weights = (values.numpy() for values in run(ids))
            for place, index in enumerate(chosen):
                found[index] = Attended(probabilities[place], weights[place, : len(rows[index])])
        return [found[index] for index in range(len(rows))]

    return attend


def rows(
    attend: Callable[[Sequence[np.ndarray]], list[Attended]], examples: Examples, info: DataInfo, count: int
) -> list[dict[str, str | list[tuple[str, bool]]]]:
    """Returns the first `count` examples for people: tokens, and which stand out, with their weight.

    Args:
        attend: what `attender` gave.
        examples: the encoded split.
        info: what is known of the data.
        count: number of examples.
    """
    tokenizer = tokenizers.from_state(info.tokenizers["text"])
    encoded, longest = examples.texts["text"], answers.lengths_of(info, "text")[-1]
    ids = [
        encoded.values[begin : min(begin + longest, end)]
        for begin, end in itertools.pairwise(encoded.offsets[: count + 1].tolist())
    ]
    return [
        {
            "tokens": marked_tokens(tokenizer.pieces(tf.constant(row[None]))[0], found.weights),
            "label": ", ".join(classification.names_of(examples.labels[index], info)),
            "predicted": ", ".join(classification.names_said(found.probabilities, info)),
        }
        for index, (row, found) in enumerate(zip(ids, attend(ids), strict=True))
    ]


def marked_tokens(tokens: Sequence[str], weights: np.ndarray) -> list[tuple[str, bool]]:
    """Returns each of the first tokens and whether it stands out; those that do come with their weight."""
    least = STRIKING * float(weights.mean()) if len(weights) else 0.0
    marked = []
    for token, weight in zip(tokens[:SHOWN_TOKENS], weights, strict=False):
        shown = visible(token).replace(" ", "\u2423")
        marked.append((f"{shown} {weight:.0%}", True) if weight > least else (shown, False))
    return marked + [("...", False)] * (len(tokens) > SHOWN_TOKENS)


def visible(text: str) -> str:
    """Returns a text in which signs that print nothing, or command a terminal, are written as escapes."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
