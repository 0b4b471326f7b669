"""Additional reference translations of a source, for metrics such as BLEU."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from attnzoo.features.feature import Column, Feature
from attnzoo.features.packing import pack_bytes, unpack_bytes


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

    def pack(self, column: Column) -> dict[str, np.ndarray]:
        """Returns the texts of each source as JSON."""
        return pack_bytes([json.dumps(texts).encode() for texts in column])

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Column:
        """Returns the tuples that `pack` has packed."""
        rows = [json.loads(data) for data in unpack_bytes(arrays)]
        if not all(isinstance(row, list) and all(isinstance(text, str) for text in row) for row in rows):
            raise ValueError("expected lists of texts")
        if len({len(row) for row in rows}) > 1:
            raise ValueError("expected equally many texts for each source")
        return np.fromiter(map(tuple, rows), object, len(rows))

    def fingerprint(self, column: Column) -> Iterator[bytes]:
        """Yields the texts with their number and lengths."""
        for texts in column:
            yield len(texts).to_bytes(8, "little")
            for text in texts:
                data = text.encode("utf-8", "surrogatepass")
                yield len(data).to_bytes(8, "little") + data
