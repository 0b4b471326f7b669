"""Where a model of one text attends: one weight for each token."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import token_batches
from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.explain import faithfulness, page
from attnzoo.explain.faithfulness import Faithfulness
from attnzoo.explain.view import (
    TRUNCATED,
    AttentionMap,
    AttentionView,
    attention_received,
    choose_layer,
    rounded,
    target_name,
)
from attnzoo.explain.words import visible
from attnzoo.features.feature import Target
from attnzoo.features.info import DataInfo
from attnzoo.layers import attention_weights
from attnzoo.special_tokens import PADDING

SHOWN_TOKENS = 500
STRIKING = 1.5
"""A token stands out with so many times the weight that it had if all had the same."""
BATCH_SIZE = 8
"""Texts at once: all weights of a layer are in memory, [batch, heads, time, time]."""
COLORED = 0.05
"""Tokens with less than this fraction of the largest weight stay as they are on a terminal."""


class Attended(NamedTuple):
    """What a model makes of one text.

    Attributes:
        values: <float32>[outputs], see `features.feature.Target.activate`.
        weights: <float32>[time], the attention that each token receives.
    """

    values: np.ndarray
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class TextAttention(AttentionMap):
    """Where a model attended in a text.

    Attributes:
        text: the text.
        tokens: what the model saw of it.
        weights: <float32>[tokens], the attention each received; they sum to 1 where the layer's weights do.
        layer: whose attention it is.
        target: what the model gives.
        values: of it, <float32>[outputs].
        truth: the true value of an example of a split, else None.
        truncated: whether the text has more tokens than are read.
        shown: the tokens for people, with the spaces between them and nothing that a terminal would obey.
    """

    text: str
    tokens: list[str]
    weights: np.ndarray
    layer: str
    target: Target
    values: np.ndarray
    truth: Any
    truncated: bool
    shown: list[str]

    @property
    def said(self) -> str:
        """What the model says, for people."""
        return (
            ", ".join(f"{one}  {sure}".rstrip() for one, sure in self.target.said(self.values)) or "no label"
        )

    @property
    def shares(self) -> np.ndarray:
        """<float>[tokens], each weight over the largest, 0 to 1."""
        return self.weights / max(float(self.weights.max(initial=0.0)), 1e-30)

    def to_json(self) -> str:
        """Returns all but `shown` on one line; weights and probabilities with 6 decimals."""
        values = {
            "text": self.text,
            "tokens": self.tokens,
            "weights": [float(weight) for weight in self.weights],
            "layer": self.layer,
            **self.target.answer(self.values),
            **self.target.truth(self.truth),
            "truncated": self.truncated,
        }
        return json.dumps(rounded(values), ensure_ascii=False)


class TextView(AttentionView[TextAttention]):
    """Shows where a model of one text attends.

    A token's weight is the attention it receives: the mean over the heads and over the queries that are no
    padding.

    Args:
        model: gives outputs of one target for `text`.
        info: what is known of the data.
        layer: whose attention to take; None for the one nearest to the output.

    Raises:
        UserError: the model has no attention over positions, or none of this name.
    """

    def __init__(self, model: keras.Model, info: DataInfo, layer: str | None = None) -> None:
        self.model, self.info = model, info
        self.layer = choose_layer(model, layer)
        self.target_name = target_name(info)
        self.target: Target = info.features[self.target_name]
        self.tokenizer = info.features["text"].make_tokenizer()
        self.sizes = token_batches.lengths_of(info, "text")
        explained = attention_weights.with_attention_weights(model, self.layer)

        @tf.function(autograph=False)
        def run(ids):
            outputs, weights = explained({"text": ids}, training=False)
            return self.target.activate(tf.cast(outputs, tf.float32)), attention_received(
                weights, ids != PADDING
            )

        self._run = run

    def attend(self, rows: Sequence[np.ndarray]) -> list[Attended]:
        """Returns what the model makes of token ids <int32>[time], none longer than what is read."""
        results: dict[int, Attended] = {}
        for chosen, ids in token_batches.in_batches(rows, self.sizes, BATCH_SIZE):
            values, weights = (tensor.numpy() for tensor in self._run(ids))
            for place, index in enumerate(chosen):
                results[index] = Attended(values[place], weights[place, : len(rows[index])])
        return [results[index] for index in range(len(rows))]

    def rows(self, examples: Examples, indices: np.ndarray) -> list[dict[str, Any]]:
        """Returns tokens, and which stand out, with their weight."""
        encoded = examples.encoded["text"].take(indices)
        ids = [row[: self.sizes[-1]] for row in np.split(encoded.values, encoded.offsets[1:-1])]
        truth = examples.encoded[self.target_name][indices]
        return [
            {
                "tokens": marked_tokens(self.tokenizer.pieces(tf.constant(row[None]))[0], one.weights),
                self.target_name: self.target.shown(truth[index]),
                "predicted": ", ".join(said for said, _ in self.target.said(one.values)),
            }
            for index, (row, one) in enumerate(zip(ids, self.attend(ids), strict=True))
        ]

    def of_inputs(self, inputs: Sequence[str]) -> list[TextAttention]:
        """Returns where the model attends in texts."""
        return self._of_texts(inputs, [None] * len(inputs))

    def of_split(self, split: Split, indices: np.ndarray) -> list[TextAttention]:
        """Returns where the model attends in texts of a split."""
        chosen = split.take(indices)
        return self._of_texts(list(chosen.column("text")), list(chosen.column(self.target_name)))

    def _of_texts(self, texts: Sequence[str], truth: Sequence[Any]) -> list[TextAttention]:
        encoded = token_batches.encode(self.tokenizer, texts)
        rows = [row[: self.sizes[-1]] for row in encoded]
        results = []
        for index, one in enumerate(self.attend(rows)):
            tokens = self.tokenizer.pieces(tf.constant(rows[index][None]))[0]
            results.append(
                TextAttention(
                    text=texts[index],
                    tokens=tokens,
                    weights=one.weights,
                    layer=self.layer,
                    target=self.target,
                    values=one.values,
                    truth=truth[index],
                    truncated=len(encoded[index]) > self.sizes[-1],
                    shown=_with_spaces(tokens, self.info.features["text"].tokenizer["kind"]),
                )
            )
        return results

    def write(self, maps: Sequence[TextAttention], folder: Path, title: str) -> list[Path]:
        """Writes a page of all texts."""
        path = folder / "attention.html"
        page.write_page(maps, path, title)
        return [path]

    def lines(self, maps: Sequence[TextAttention], paths: Sequence[Path], in_colors: bool) -> Iterator[Any]:
        """Yields what the model says of each text, and its tokens: colored, or with their weights."""
        if in_colors:
            yield _legend(self.layer)
        for one in maps:
            truth = "" if one.truth is None else f"  (true: {self.target.shown(one.truth)})"
            yield f"{one.said}{truth}{TRUNCATED if one.truncated else ''}"
            if in_colors:
                yield _colored(one)
            else:
                pairs = zip(one.shown, one.weights, strict=True)
                yield "  " + " ".join(
                    f"{token.strip() or repr(token)}({weight:.3f})" for token, weight in pairs
                )
            yield ""
        yield from map(str, paths)


class ClassifierTextView(TextView):
    """Shows where a classifier of one label a text attends, and whether that matters."""

    def faithfulness(self, split: Split) -> Faithfulness:
        """Removes tokens from the texts of a split and measures what the model says then."""
        encoded = token_batches.encode(self.tokenizer, list(split.column("text")))
        rows = [row[: self.sizes[-1]] for row in encoded if len(row)]
        texts = [
            faithfulness.TextWithAttention(row, one.weights)
            for row, one in zip(rows, self.attend(rows), strict=True)
        ]
        return faithfulness.measure(texts, self._probabilities, split=split.origin, layer=self.layer)

    def _probabilities(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        @tf.function(autograph=False)
        def run(ids):
            return self.target.activate(tf.cast(self.model({"text": ids}, training=False), tf.float64))

        values = np.zeros([len(rows), self.target.num_outputs])
        for chosen, ids in token_batches.in_batches(rows, self.sizes):
            values[chosen] = run(ids).numpy()[: len(chosen)]
        return values


def marked_tokens(tokens: Sequence[str], weights: np.ndarray) -> list[tuple[str, bool]]:
    """Returns each of the first tokens and whether it stands out; those that do come with their weight."""
    least = STRIKING * float(weights.mean()) if len(weights) else 0.0
    marked = []
    for token, weight in zip(tokens[:SHOWN_TOKENS], weights, strict=False):
        shown = visible(token).replace(" ", "\u2423")
        marked.append((f"{shown} {weight:.0%}", True) if weight > least else (shown, False))
    return marked + [("...", False)] * (len(tokens) > SHOWN_TOKENS)


def _with_spaces(tokens: Sequence[str], kind: str) -> list[str]:
    if kind == "words":
        return [f"{visible(token)} " for token in tokens]
    return [visible(token.replace("\u2581", " ") if kind == "subwords" else token) for token in tokens]


def _colored(one: TextAttention) -> Any:
    """Returns the text of its tokens, the more of the attention the deeper their background."""
    from rich.text import Text

    text = Text("  ")
    for token, share in zip(one.shown, one.shares, strict=True):
        text.append(token, _background(share) if share >= COLORED else "")
    return text


def _legend(layer: str) -> Any:
    from rich.text import Text

    text = Text(f"attention of {layer}: 0 ")
    for step in range(1, 11):
        text.append("  ", _background(step / 10))
    return text.append(" largest weight of the text")


def _background(share: float) -> str:
    red, green, blue = (round(255 + (part - 255) * share) for part in page.COLOR)
    return f"black on rgb({red},{green},{blue})"
