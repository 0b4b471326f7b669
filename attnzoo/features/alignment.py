"""Word alignments between a source and its target."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from attnzoo.features.feature import Feature


class Alignment(Feature):
    """Word alignments: a column <object>[examples] of str in the format of `text.alignments`.

    They are not part of batches: attention targets are computed from them and the tokens of both texts.
    """

    is_optional: ClassVar[bool] = True
    in_batches: ClassVar[bool] = False

    kind: Literal["alignment"] = "alignment"

    def graph_batch(self, encoded: Any) -> Any:
        """Raises an error, as batches have no alignments."""
        raise NotImplementedError("alignments are not part of batches")
