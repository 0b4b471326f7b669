"""Where each token of a translation attended, as a picture and as data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from attnzoo import pictures
from attnzoo.data.splits import Split
from attnzoo.explain.view import TRUNCATED, AttentionMap, AttentionView
from attnzoo.explain.words import visible
from attnzoo.features.info import DataInfo
from attnzoo.files import disk_errors
from attnzoo.special_tokens import PADDING

POINTS_AN_INCH = 72
POINTS_A_TOKEN = 22
SHOWN_TOKENS = 3
"""Source tokens that a line on a terminal names."""


@dataclasses.dataclass(frozen=True)
class Alignment(AttentionMap):
    """Where each token of a translation attended.

    Attributes:
        source: the text.
        translation: what the model makes of it.
        source_tokens: tokens of the text, with the end.
        target_tokens: tokens of the translation, with the end.
        weights: <float32>[target, source], rows sum to 1: the mean over the heads of the last block.
        truncated: whether the text has more tokens than are read.
    """

    source: str
    translation: str
    source_tokens: list[str]
    target_tokens: list[str]
    weights: np.ndarray
    truncated: bool

    def to_json(self) -> str:
        """Returns all of it on one line; weights with 4 decimals."""
        values: dict[str, Any] = {**vars(self), "weights": np.round(self.weights, 4).tolist()}
        return json.dumps(values, ensure_ascii=False)


class AlignmentView(AttentionView[Alignment]):
    """Shows where each token of translations attends.

    Args:
        translate: from sources <string>[batch] to what the signature `alignment` of an export gives.
        info: what is known of the data.
    """

    def __init__(self, translate: Callable[[tf.Tensor], dict[str, tf.Tensor]], info: DataInfo) -> None:
        self.translate = translate
        self.source, self.target = (info.features[name].make_tokenizer() for name in ("source", "target"))
        self.longest = info.longest("source") or 0

    def of_inputs(self, inputs: Sequence[str]) -> list[Alignment]:
        """Returns where the translations of texts attend."""
        encoded = tf.constant([text.encode("utf-8") for text in inputs])
        outputs = self.translate(encoded)
        truncated = (self.source.encode(encoded).row_lengths() >= self.longest).numpy()  # END takes a place
        source, target = (
            self.source.pieces(outputs["source_tokens"]),
            self.target.pieces(outputs["target_tokens"]),
        )
        written = [text.decode("utf-8") for text in outputs["translation"].numpy()]
        sizes = tf.math.count_nonzero(outputs["target_tokens"] != PADDING, axis=1).numpy()
        return [
            Alignment(
                text,
                written[row],
                source[row],
                target[row],
                weights[: sizes[row], : len(source[row])],
                bool(truncated[row]),
            )
            for row, (text, weights) in enumerate(zip(inputs, outputs["alignment"].numpy(), strict=True))
        ]

    def of_split(self, split: Split, indices: np.ndarray) -> list[Alignment]:
        """Returns where the translations of sources of a split attend."""
        return self.of_inputs(list(split.take(indices).column("source")))

    def write(self, maps: Sequence[Alignment], folder: Path, title: str) -> list[Path]:
        """Writes a picture a translation."""
        paths = [folder / f"{number}.png" for number in range(1, len(maps) + 1)]
        for one, path in zip(maps, paths, strict=True):
            draw(one, path)
        return paths

    def lines(self, maps: Sequence[Alignment], paths: Sequence[Path], in_colors: bool) -> Iterator[str]:
        """Yields a line a token of each translation, with the source tokens that it attended to most."""
        for one, path in zip(maps, paths, strict=True):
            yield f"{one.source}{TRUNCATED if one.truncated else ''}  ->  {one.translation}"
            for token, row in zip(one.target_tokens, one.weights, strict=True):
                most = row.argsort()[::-1][:SHOWN_TOKENS]
                looked = "  ".join(f"{one.source_tokens[place]!r} {row[place]:.0%}" for place in most)
                yield f"    {token!r:12} <- {looked}"
            yield f"  {path}\n"


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
