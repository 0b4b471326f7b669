"""Which words of a source and of its target belong together."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from attnzoo.features.feature import Feature


class Alignment(Feature):
    """Links of words: a column <object>[examples] of str, see `text.alignments`.

    Batches do not have it: what a token ought to attend to follows from the tokens of both texts.
    """

    is_optional: ClassVar[bool] = True
    in_batches: ClassVar[bool] = False

    kind: Literal["alignment"] = "alignment"

    def graph_batch(self, encoded: Any) -> Any:
        """Raises: batches do not have alignments."""
        raise NotImplementedError("alignments are no part of a batch")
