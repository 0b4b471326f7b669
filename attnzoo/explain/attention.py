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
from attnzoo.info import MULTI_LABEL, TEXT_CLASSIFICATION
from attnzoo.run_dir import TrainedRun, chosen_split, load_trained
from attnzoo.tasks import answers, classification, text_attention
from attnzoo.tasks.attended import choose_layer
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
        labels: what the model says; one label, unless the task has any number of them.
        probabilities: by label, 0 to 1.
        true_labels: of an example of a split, else None.
        one_label: whether the task has one label a text.
        cut: whether the text was longer than the longest in training.
        shown: the tokens for people, with the spaces between them and nothing that a terminal would obey.
    """

    text: str
    tokens: list[str]
    weights: np.ndarray
    layer: str
    labels: list[str]
    probabilities: dict[str, float]
    true_labels: list[str] | None
    one_label: bool
    cut: bool
    shown: list[str]

    @property
    def said(self) -> str:
        """The labels with their probabilities, for people."""
        return ", ".join(f"{label}  {self.probabilities[label]:.4f}" for label in self.labels) or "no label"

    @property
    def truth(self) -> str | None:
        """The true labels, for people; None where they are not known."""
        return None if self.true_labels is None else ", ".join(self.true_labels) or "no label"

    @property
    def shares(self) -> np.ndarray:
        """<float>[tokens], each weight over the largest, 0 to 1."""
        return self.weights / max(float(self.weights.max(initial=0.0)), 1e-30)

    def to_json(self) -> str:
        """Returns all but `shown` on one line; weights and probabilities with 6 decimals."""
        probabilities = {name: round(value, DECIMALS) for name, value in self.probabilities.items()}
        said: dict[str, Any] = {"labels": self.labels}
        truth: dict[str, Any] = {"true_labels": self.true_labels}
        if self.one_label:
            (label,) = self.labels
            said = {"label": label, "probability": probabilities[label]}
            truth = {"true_label": self.true_labels and self.true_labels[0]}
        values = {
            "text": self.text,
            "tokens": self.tokens,
            "weights": [round(float(weight), DECIMALS) for weight in self.weights],
            "layer": self.layer,
            **said,
            "probabilities": probabilities,
            **truth,
            "cut": self.cut,
        }
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
    trained = load_classifier(folder, (TEXT_CLASSIFICATION, MULTI_LABEL))
    model = trained.answering
    layer = choose_layer(model, layer)
    true_labels: Sequence[list[str] | None] = [None] * len(texts)
    info, state = trained.info, trained.info.tokenizers["text"]
    if not texts:
        _, examples = chosen_split(trained, split)
        texts = list(examples.columns["text"][:count])
        true_labels = [classification.names_of(label, info) for label in examples.columns["label"][:count]]
    tokenizer = tokenizers.from_state(state)
    longest = answers.lengths_of(info, "text")[-1]
    encoded = answers.encode(tokenizer, texts)
    rows = [row[:longest] for row in encoded]
    found = []
    for index, given in enumerate(text_attention.attender(model, info, layer)(rows)):
        tokens = tokenizer.pieces(tf.constant(rows[index][None]))[0]
        found.append(
            Attention(
                text=texts[index],
                tokens=tokens,
                weights=given.weights,
                layer=layer,
                labels=classification.names_said(given.probabilities, info),
                probabilities=dict(zip(info.labels, map(float, given.probabilities), strict=True)),
                true_labels=true_labels[index],
                one_label=info.task == TEXT_CLASSIFICATION,
                cut=len(encoded[index]) > longest,
                shown=_with_spaces(tokens, state["kind"]),
            )
        )
    return found


def _with_spaces(tokens: Sequence[str], kind: str) -> list[str]:
    if kind == "words":
        return [f"{visible(token)} " for token in tokens]
    return [visible(token.replace("\u2581", " ") if kind == "subwords" else token) for token in tokens]


def load_classifier(folder: Path, tasks: Sequence[str] = (TEXT_CLASSIFICATION,)) -> TrainedRun:
    """Loads a run of a text classifier.

    Raises:
        UserError: no such run, or of none of the tasks (2), damaged weights (4).
    """
    trained = load_trained(folder)
    if trained.info.task not in tasks:
        which = "text classifiers" if MULTI_LABEL in tasks else "text classifiers with one label a text"
        raise UserError(f"{folder}: a run of {trained.info.task}; only {which} can be asked this.")
    return trained
