"""Where each token of a translation attended, as a picture and as data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo import pictures
from attnzoo.data import tokenizers
from attnzoo.errors import UserError
from attnzoo.info import PADDING, TRANSLATION
from attnzoo.run_dir import chosen_split, load_trained
from attnzoo.tasks import translation
from attnzoo.tasks.text_attention import visible
from attnzoo.tensors import disk_errors

POINTS_AN_INCH = 72
POINTS_A_TOKEN = 22


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Where each token of a translation attended.

    Attributes:
        source: the text.
        translation: what the model makes of it.
        source_tokens: tokens of the text, with the end.
        target_tokens: tokens of the translation, with the end.
        weights: <float32>[target, source], rows sum to 1: the mean over the heads of the last block.
        cut: whether the text was longer than the longest in training.
    """

    source: str
    translation: str
    source_tokens: list[str]
    target_tokens: list[str]
    weights: np.ndarray
    cut: bool

    def to_json(self) -> str:
        """Returns all of it on one line; weights with 4 decimals."""
        values: dict[str, Any] = {**vars(self), "weights": np.round(self.weights, 4).tolist()}
        return json.dumps(values, ensure_ascii=False)


def align(
    folder: Path,
    texts: Sequence[str] = (),
    beams: int | None = None,
    count: int = 5,
    split: str | None = None,
) -> list[Alignment]:
    """Translates texts and says where each token attended.

    Args:
        folder: a run of a translation model.
        texts: sources; none for the first ones of a split.
        beams: in place of the run's `eval.beams`.
        count: number of examples where no text is given.
        split: their split; None for test, or validation where there is no test.

    Raises:
        UserError: no such run or split, or another task (2), damaged weights (4).
    """
    trained = load_trained(folder)
    if trained.info.task != TRANSLATION:
        raise UserError(f"{folder}: a run of {trained.info.task}; only translations can be aligned.")
    if not texts:
        _, chosen = chosen_split(trained, split)
        texts = list(chosen.columns["source"][:count])
    options = trained.config.eval
    if beams is not None:
        options = options.model_copy(update={"beams": beams})
    module = translation.serving(trained.model, trained.info, options)
    encoded = tf.constant([text.encode("utf-8") for text in texts])
    found = module.align(encoded)
    cut = (module.source.encode(encoded).row_lengths() >= module.source_length).numpy()  # END takes a place
    source, target = (
        tokenizers.from_state(trained.info.tokenizers[name]).pieces(found[f"{name}_tokens"])
        for name in ("source", "target")
    )
    written = [text.decode("utf-8") for text in found["translation"].numpy()]
    sizes = tf.math.count_nonzero(found["target_tokens"] != PADDING, axis=1).numpy()
    return [
        Alignment(
            text,
            written[row],
            source[row],
            target[row],
            weights[: sizes[row], : len(source[row])],
            bool(cut[row]),
        )
        for row, (text, weights) in enumerate(zip(texts, found["alignment"].numpy(), strict=True))
    ]


def draw(alignment: Alignment, path: Path) -> None:
    """Writes a picture: a row for each token of the translation, a column for each of the source.

    Raises:
        UserError: the file cannot be written (4).
    """
    from matplotlib.figure import Figure

    rows, columns = alignment.weights.shape
    inches = POINTS_A_TOKEN / POINTS_AN_INCH
    with pictures.plain_texts(), disk_errors(path):
        figure = Figure(figsize=(2.5 + inches * columns, 2.0 + inches * rows), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(alignment.weights, cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
        sources = [visible(token) for token in alignment.source_tokens]
        axes.set_xticks(range(columns), sources, rotation=60, ha="left", rotation_mode="anchor")
        axes.set_yticks(range(rows), [visible(token) for token in alignment.target_tokens])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.set_xlabel("source")
        axes.set_ylabel("translation")
        figure.colorbar(image, ax=axes, label="attention", shrink=0.8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)
