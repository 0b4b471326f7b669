"""Where a text classifier attends, as data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo.data import tokenizers
from attnzoo.errors import UserError
from attnzoo.info import TEXT_CLASSIFICATION
from attnzoo.run_dir import TrainedRun, chosen_split, load_trained
from attnzoo.tasks import answers, text_attention
from attnzoo.tasks.text_attention import visible

DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class Attention:
    """Where a classifier attended in a text.

    Attributes:
        text: the text.
        tokens: what the model saw of it.
        weights: <float32>[tokens], the attention each received; they sum to 1 where the layer's scores do.
        layer: whose attention it is.
        label: what the model says.
        probability: of that label, 0 to 1.
        probabilities: by label.
        true_label: of an example of a split, else None.
        cut: whether the text was longer than the longest in training.
        shown: the tokens for people, with the spaces between them and nothing that a terminal would obey.
    """

    text: str
    tokens: list[str]
    weights: np.ndarray
    layer: str
    label: str
    probability: float
    probabilities: dict[str, float]
    true_label: str | None
    cut: bool
    shown: list[str]

    @property
    def shares(self) -> np.ndarray:
        """<float>[tokens], each weight over the largest, 0 to 1."""
        return self.weights / max(float(self.weights.max(initial=0.0)), 1e-30)

    def to_json(self) -> str:
        """Returns all but `shown` on one line; weights and probabilities with 6 decimals."""
        values: dict[str, Any] = {name: value for name, value in vars(self).items() if name != "shown"}
        values["weights"] = [round(float(weight), DECIMALS) for weight in self.weights]
        values["probability"] = round(self.probability, DECIMALS)
        values["probabilities"] = {name: round(value, DECIMALS) for name, value in self.probabilities.items()}
        return json.dumps(values, ensure_ascii=False)


def attend(
    folder: Path,
    texts: Sequence[str] = (),
    layer: str | None = None,
    count: int = 5,
    split: str | None = None,
) -> list[Attention]:
    """Classifies texts and says where the model attended.

    Args:
        folder: a run of a text classifier.
        texts: what to classify; none for the first examples of a split.
        layer: name of the attention; None for the one nearest to the output.
        count: number of examples where no text is given.
        split: their split; None for test, or validation where there is no test.

    Raises:
        UserError: no such run, split or layer, or another task (2), damaged weights (4).
    """
    trained = load_classifier(folder)
    model = trained.answering
    layer = text_attention.choose_layer(model, layer)
    labels: Sequence[str | None] = [None] * len(texts)
    if not texts:
        _, examples = chosen_split(trained, split)
        texts = list(examples.columns["text"][:count])
        labels = [trained.info.labels[int(label)] for label in examples.columns["label"][:count]]
    info, state = trained.info, trained.info.tokenizers["text"]
    tokenizer = tokenizers.from_state(state)
    longest = answers.lengths_of(info, "text")[-1]
    encoded = answers.encode(tokenizer, texts)
    rows = [row[:longest] for row in encoded]
    found = []
    for index, given in enumerate(text_attention.attender(model, info, layer)(rows)):
        best = int(given.probabilities.argmax())
        tokens = tokenizer.pieces(tf.constant(rows[index][None]))[0]
        found.append(
            Attention(
                text=texts[index],
                tokens=tokens,
                weights=given.weights,
                layer=layer,
                label=info.labels[best],
                probability=float(given.probabilities[best]),
                probabilities=dict(zip(info.labels, map(float, given.probabilities), strict=True)),
                true_label=labels[index],
                cut=len(encoded[index]) > longest,
                shown=_with_spaces(tokens, state["kind"]),
            )
        )
    return found


def _with_spaces(tokens: Sequence[str], kind: str) -> list[str]:
    if kind == "words":
        return [f"{visible(token)} " for token in tokens]
    return [visible(token.replace("\u2581", " ") if kind == "subwords" else token) for token in tokens]


def load_classifier(folder: Path) -> TrainedRun:
    """Loads a run of a text classifier.

    Raises:
        UserError: no such run, or another task (2), damaged weights (4).
    """
    trained = load_trained(folder)
    if trained.info.task != TEXT_CLASSIFICATION:
        raise UserError(f"{folder}: a run of {trained.info.task}; only text classifiers can be asked this.")
    return trained
