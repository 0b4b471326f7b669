"""Attention of text models: one weight for each token."""

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
from attnzoo.explain.printable import printable
from attnzoo.explain.view import (
    TRUNCATED,
    AttentionMap,
    AttentionView,
    attention_received,
    choose_layer,
    rounded,
    target_name,
)
from attnzoo.features.info import DataInfo
from attnzoo.features.targets import Target
from attnzoo.layers import attention_weights
from attnzoo.special_tokens import PADDING

MAX_SHOWN_TOKENS = 500
SALIENCE = 1.5
"""Tokens are highlighted if their weight is more than so many times the mean."""
BATCH_SIZE = 8
"""All weights of a layer are in memory, [batch, heads, time, time]."""
MIN_COLORED = 0.05
"""Tokens with less than this fraction of the largest weight are not colored on a terminal."""


class PredictionWithAttention(NamedTuple):
    """A prediction for one text, with attention.

    Attributes:
        values: <float32>[outputs], see `features.feature.Target.activate`.
        weights: <float32>[time], attention received by each token.
    """

    values: np.ndarray
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class TextAttention(AttentionMap):
    """The attention of a model over a text.

    Attributes:
        text: the text.
        tokens: its tokens as the model sees them.
        weights: <float32>[tokens], attention received by each; they sum to 1 if the layer's weights do.
        layer: name of the attention layer.
        target: the predicted feature.
        values: predicted values <float32>[outputs].
        truth: the true value if it is known, else None.
        truncated: whether the text has more tokens than the model reads.
        display_tokens: human-readable tokens, with spaces between words and control characters escaped.
    """

    text: str
    tokens: list[str]
    weights: np.ndarray
    layer: str
    target: Target
    values: np.ndarray
    truth: Any
    truncated: bool
    display_tokens: list[str]

    @property
    def prediction_text(self) -> str:
        """The human-readable prediction."""
        texts = self.target.prediction_texts(self.values)
        answers = [f"{answer}  {probability}".rstrip() for answer, probability in texts]
        return ", ".join(answers) or "no label"

    @property
    def relative_weights(self) -> np.ndarray:
        """Weights divided by the largest one, <float>[tokens], 0 to 1."""
        return self.weights / max(float(self.weights.max(initial=0.0)), 1e-30)

    def to_json(self) -> str:
        """Returns everything except `display_tokens` as one line of JSON, rounded to 6 decimals."""
        values = {
            "text": self.text,
            "tokens": self.tokens,
            "weights": [float(weight) for weight in self.weights],
            "layer": self.layer,
            **self.target.answer(self.values),
            **self.target.true_answer(self.truth),
            "truncated": self.truncated,
        }
        return json.dumps(rounded(values), ensure_ascii=False)


class TextView(AttentionView[TextAttention]):
    """Shows where a text model attends.

    The weight of a token is the attention it receives: the mean over heads and over queries that are not
    padding.

    Args:
        model: a model with input `text` and one target.
        info: what is known about the data.
        layer: the attention layer to show; None for the one nearest to the output.

    Raises:
        UserError: the model has no attention over positions, or no such layer.
    """

    def __init__(self, model: keras.Model, info: DataInfo, layer: str | None = None) -> None:
        self.model, self.info = model, info
        self.layer = choose_layer(model, layer)
        self.target_name = target_name(info)
        self.target: Target = info.features[self.target_name]
        self.tokenizer = info.features["text"].make_tokenizer()
        self.sizes = token_batches.padding_lengths(info, "text")
        explained = attention_weights.with_attention_weights(model, self.layer)

        @tf.function(autograph=False)
        def run(ids):
            outputs, weights = explained({"text": ids}, training=False)
            return self.target.activate(tf.cast(outputs, tf.float32)), attention_received(
                weights, ids != PADDING
            )

        self._run = run

    def predict_with_attention(self, rows: Sequence[np.ndarray]) -> list[PredictionWithAttention]:
        """Returns predictions with attention for token ids <int32>[time] of at most the length it reads."""
        results: dict[int, PredictionWithAttention] = {}
        for chosen, ids in token_batches.batch_by_length(rows, self.sizes, BATCH_SIZE):
            values, weights = (tensor.numpy() for tensor in self._run(ids))
            for row, index in enumerate(chosen):
                results[index] = PredictionWithAttention(values[row], weights[row, : len(rows[index])])
        return [results[index] for index in range(len(rows))]

    def rows(self, examples: Examples, indices: np.ndarray) -> list[dict[str, Any]]:
        """Returns tokens with the most attended ones highlighted, the truth and the prediction."""
        encoded = examples.encoded["text"].take(indices)
        ids = [row[: self.sizes[-1]] for row in np.split(encoded.values, encoded.offsets[1:-1])]
        truth = examples.encoded[self.target_name][indices]
        return [
            {
                "tokens": highlighted_tokens(self.tokenizer.pieces(tf.constant(row[None]))[0], one.weights),
                self.target_name: self.target.format_value(truth[index]),
                "predicted": ", ".join(answer for answer, _ in self.target.prediction_texts(one.values)),
            }
            for index, (row, one) in enumerate(zip(ids, self.predict_with_attention(ids), strict=True))
        ]

    def explain_inputs(self, inputs: Sequence[str]) -> list[TextAttention]:
        """Returns the attention over texts."""
        return self._explain_texts(inputs, [None] * len(inputs))

    def explain_split(self, split: Split, indices: np.ndarray) -> list[TextAttention]:
        """Returns the attention over texts of a split."""
        chosen = split.take(indices)
        return self._explain_texts(list(chosen.column("text")), list(chosen.column(self.target_name)))

    def _explain_texts(self, texts: Sequence[str], truth: Sequence[Any]) -> list[TextAttention]:
        encoded = token_batches.encode(self.tokenizer, texts)
        rows = [row[: self.sizes[-1]] for row in encoded]
        results = []
        for index, one in enumerate(self.predict_with_attention(rows)):
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
                    display_tokens=_with_spaces(tokens, self.info.features["text"].tokenizer["kind"]),
                )
            )
        return results

    def write(self, maps: Sequence[TextAttention], folder: Path, title: str) -> list[Path]:
        """Writes one page with all texts."""
        path = folder / "attention.html"
        page.write_page(maps, path, title)
        return [path]

    def lines(self, maps: Sequence[TextAttention], paths: Sequence[Path], in_colors: bool) -> Iterator[Any]:
        """Yields the prediction for each text, and its tokens: colored, or with their weights."""
        if in_colors:
            yield _legend(self.layer)
        for one in maps:
            truth = "" if one.truth is None else f"  (true: {self.target.format_value(one.truth)})"
            yield f"{one.prediction_text}{truth}{TRUNCATED if one.truncated else ''}"
            if in_colors:
                yield _colored(one)
            else:
                pairs = zip(one.display_tokens, one.weights, strict=True)
                yield "  " + " ".join(
                    f"{token.strip() or repr(token)}({weight:.3f})" for token, weight in pairs
                )
            yield ""
        yield from map(str, paths)


class ClassifierTextView(TextView):
    """Shows where a single-label text classifier attends, and measures faithfulness."""

    def faithfulness(self, split: Split) -> Faithfulness:
        """Removes tokens from the texts of a split and measures how predictions change."""
        encoded = token_batches.encode(self.tokenizer, list(split.column("text")))
        rows = [row[: self.sizes[-1]] for row in encoded if len(row)]
        texts = [
            faithfulness.TextWithAttention(row, one.weights)
            for row, one in zip(rows, self.predict_with_attention(rows), strict=True)
        ]
        return faithfulness.measure_faithfulness(
            texts, self._probabilities, split=split.origin, layer=self.layer
        )

    def _probabilities(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        @tf.function(autograph=False)
        def run(ids):
            return self.target.activate(tf.cast(self.model({"text": ids}, training=False), tf.float64))

        values = np.zeros([len(rows), self.target.num_outputs])
        for chosen, ids in token_batches.batch_by_length(rows, self.sizes):
            values[chosen] = run(ids).numpy()[: len(chosen)]
        return values


def highlighted_tokens(tokens: Sequence[str], weights: np.ndarray) -> list[tuple[str, bool]]:
    """Returns (token, whether it is highlighted) for the first tokens; highlighted ones include the weight.

    Examples:
        >>> highlighted_tokens(["a", "great", "film"], np.array([0.1, 0.7, 0.2]))
        [('a', False), ('great 70%', True), ('film', False)]
    """
    threshold = SALIENCE * float(weights.mean()) if len(weights) else 0.0
    result = []
    for token, weight in zip(tokens[:MAX_SHOWN_TOKENS], weights, strict=False):
        text = printable(token).replace(" ", "\u2423")
        result.append((f"{text} {weight:.0%}", True) if weight > threshold else (text, False))
    return result + [("...", False)] * (len(tokens) > MAX_SHOWN_TOKENS)


def _with_spaces(tokens: Sequence[str], kind: str) -> list[str]:
    if kind == "words":
        return [f"{printable(token)} " for token in tokens]
    return [printable(token.replace("\u2581", " ") if kind == "subwords" else token) for token in tokens]


def _colored(one: TextAttention) -> Any:
    """Returns the tokens as Rich text whose background is darker for larger weights."""
    from rich.text import Text

    text = Text("  ")
    for token, relative in zip(one.display_tokens, one.relative_weights, strict=True):
        text.append(token, _background(relative) if relative >= MIN_COLORED else "")
    return text


def _legend(layer: str) -> Any:
    from rich.text import Text

    text = Text(f"attention of {layer}: 0 ")
    for step in range(1, 11):
        text.append("  ", _background(step / 10))
    return text.append(" largest weight of the text")


def _background(relative: float) -> str:
    red, green, blue = (round(255 + (part - 255) * relative) for part in page.COLOR)
    return f"black on rgb({red},{green},{blue})"
