"""Options that all translation models share. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from attnzoo.config.base import Problem
from attnzoo.config.sections import ModelOptions
from attnzoo.features.text import TextPairOptions


class SequenceToSequenceOptions(ModelOptions):
    """Options that all translation models share."""

    share_embeddings: bool = Field(
        False, description="Source and target share one embedding table; needs data.shared_vocabulary: true."
    )
    tie_output: bool = Field(
        True, description="The output layer uses the embedding table of the target (tied embeddings)."
    )

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields shared embeddings of two vocabularies."""
        yield from super().problems(config)
        data = config.data
        has_one = isinstance(data, TextPairOptions) and (
            data.shared_vocabulary or data.tokenizer == "bytes" or config.train.init_from is not None
        )
        if self.share_embeddings and not has_one:
            what = "needs one vocabulary for both texts; set data.shared_vocabulary: true, or leave it out"
            yield ("share_embeddings",), what
