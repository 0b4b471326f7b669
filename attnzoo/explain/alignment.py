"""Attention of each token of a translation, as a picture and as data."""

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
from attnzoo.explain.printable import printable
from attnzoo.explain.view import TRUNCATED, AttentionMap, AttentionView
from attnzoo.features.info import DataInfo
from attnzoo.files import disk_errors
from attnzoo.special_tokens import PADDING

POINTS_PER_INCH = 72
POINTS_PER_TOKEN = 22
MAX_LISTED_TOKENS = 3
"""Source tokens listed for each target token on a terminal."""


@dataclasses.dataclass(frozen=True)
class Alignment(AttentionMap):
    """The attention of each token of a translation.

    Attributes:
        source: the source text.
        translation: the model's translation.
        source_tokens: tokens of the source, with END.
        target_tokens: tokens of the translation, with END.
        weights: <float32>[target, source], mean over the heads of the last block; rows sum to 1.
        truncated: whether the source has more tokens than the model reads.
    """

    source: str
    translation: str
    source_tokens: list[str]
    target_tokens: list[str]
    weights: np.ndarray
    truncated: bool

    def to_json(self) -> str:
        """Returns all attributes as one line of JSON, with weights rounded to 4 decimals."""
        values: dict[str, Any] = {**vars(self), "weights": np.round(self.weights, 4).tolist()}
        return json.dumps(values, ensure_ascii=False)


class AlignmentView(AttentionView[Alignment]):
    """Shows the attention of each token of translations.

    Args:
        translate: from sources <string>[batch] to the outputs of the export signature `alignment`.
        info: what is known about the data.
    """

    def __init__(self, translate: Callable[[tf.Tensor], dict[str, tf.Tensor]], info: DataInfo) -> None:
        self.translate = translate
        self.source, self.target = (info.features[name].make_tokenizer() for name in ("source", "target"))
        self.longest = info.longest("source") or 0

    def explain_inputs(self, inputs: Sequence[str]) -> list[Alignment]:
        """Returns the attention of the translations of texts."""
        encoded = tf.constant([text.encode("utf-8") for text in inputs])
        outputs = self.translate(encoded)
        truncated = (self.source.encode(encoded).row_lengths() >= self.longest).numpy()  # END is a token too
        source, target = (
            self.source.pieces(outputs["source_tokens"]),
            self.target.pieces(outputs["target_tokens"]),
        )
        translations = [text.decode("utf-8") for text in outputs["translation"].numpy()]
        sizes = tf.math.count_nonzero(outputs["target_tokens"] != PADDING, axis=1).numpy()
        return [
            Alignment(
                text,
                translations[row],
                source[row],
                target[row],
                weights[: sizes[row], : len(source[row])],
                bool(truncated[row]),
            )
            for row, (text, weights) in enumerate(zip(inputs, outputs["alignment"].numpy(), strict=True))
        ]

    def explain_split(self, split: Split, indices: np.ndarray) -> list[Alignment]:
        """Returns the attention of the translations of examples of a split."""
        return self.explain_inputs(list(split.take(indices).column("source")))

    def write(self, maps: Sequence[Alignment], folder: Path, title: str) -> list[Path]:
        """Writes one picture per translation."""
        paths = [folder / f"{number}.png" for number in range(1, len(maps) + 1)]
        for one, path in zip(maps, paths, strict=True):
            draw(one, path)
        return paths

    def lines(self, maps: Sequence[Alignment], paths: Sequence[Path], in_colors: bool) -> Iterator[str]:
        """Yields one line per token of each translation, with the source tokens it attended to most."""
        for one, path in zip(maps, paths, strict=True):
            yield f"{one.source}{TRUNCATED if one.truncated else ''}  ->  {one.translation}"
            for token, row in zip(one.target_tokens, one.weights, strict=True):
                top = row.argsort()[::-1][:MAX_LISTED_TOKENS]
                attended = "  ".join(f"{one.source_tokens[index]!r} {row[index]:.0%}" for index in top)
                yield f"    {token!r:12} <- {attended}"
            yield f"  {path}\n"


def draw(alignment: Alignment, path: Path) -> None:
    """Writes a picture with a row for each target token and a column for each source token.

    Raises:
        UserError: the file cannot be written (4).
    """
    from matplotlib.figure import Figure

    rows, columns = alignment.weights.shape
    inches = POINTS_PER_TOKEN / POINTS_PER_INCH
    with pictures.literal_text(), disk_errors(path):
        figure = Figure(figsize=(2.5 + inches * columns, 2.0 + inches * rows), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(alignment.weights, cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
        sources = [printable(token) for token in alignment.source_tokens]
        axes.set_xticks(range(columns), sources, rotation=60, ha="left", rotation_mode="anchor")
        axes.set_yticks(range(rows), [printable(token) for token in alignment.target_tokens])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.set_xlabel("source")
        axes.set_ylabel("translation")
        figure.colorbar(image, ax=axes, label="attention", shrink=0.8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, metadata=pictures.METADATA)
