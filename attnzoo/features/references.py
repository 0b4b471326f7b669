"""Additional reference translations of a source, for metrics such as BLEU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from attnzoo.features.feature import Column, Feature


class References(Feature):
    """References besides the target: a column <object>[examples] of tuples of str of equal length.

    Only metrics of whole translations need them: train has none, and they are not part of batches.
    """

    is_optional: ClassVar[bool] = True
    in_batches: ClassVar[bool] = False

    kind: Literal["references"] = "references"

    def graph_batch(self, encoded: Any) -> Any:
        """Raises an error, as batches have no references."""
        raise NotImplementedError("references are not part of batches")

    def balance(self, encoded: Mapping[str, Column]) -> list[str]:
        """Returns a line with the number of references per source, for the splits with several."""
        counts = [f"{name} {1 + len(column[0])}" for name, column in encoded.items()]
        return [f"references: {', '.join(counts)}"] if counts else []

    def fingerprint(self, column: Column) -> Iterator[bytes]:
        """Yields the texts with their number and lengths."""
        for texts in column:
            yield len(texts).to_bytes(8, "little")
            for text in texts:
                data = text.encode("utf-8", "surrogatepass")
                yield len(data).to_bytes(8, "little") + data
