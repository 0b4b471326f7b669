"""Further translations of a source, by which translations are scored as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from attnzoo.features.feature import Column, Feature


class References(Feature):
    """References besides the target: a column <object>[examples] of tuples of str, all of one length.

    Only scores of whole translations need them: train has none, and batches do not have them.
    """

    is_optional: ClassVar[bool] = True
    in_batches: ClassVar[bool] = False

    kind: Literal["references"] = "references"

    def graph_batch(self, encoded: Any) -> Any:
        """Raises: batches do not have references."""
        raise NotImplementedError("references are no part of a batch")

    def balance(self, encoded: Mapping[str, Column]) -> list[str]:
        """Returns a line with the references of each split that has more than its target."""
        counts = [f"{name} {1 + len(column[0])}" for name, column in encoded.items()]
        return [f"references: {', '.join(counts)}"] if counts else []

    def fingerprint(self, column: Column) -> Iterator[bytes]:
        """Yields the texts and how many there are."""
        for texts in column:
            yield len(texts).to_bytes(8, "little")
            for text in texts:
                data = text.encode("utf-8", "surrogatepass")
                yield len(data).to_bytes(8, "little") + data
