"""Further references of translations."""

import numpy as np
import pytest

from attnzoo.features.references import References
from tests.features.columns import OPTIONS, problems


def column_of(*rows):
    return np.fromiter(rows, object, len(rows))


def test_references_stay_as_they_are_and_are_not_in_batches():
    column = column_of(("a", "b"), ("c", "d"))
    references = References().learn([column], OPTIONS, None, "train")
    assert references == References()
    assert references.encode(column) is column
    assert (references.is_optional, references.in_batches, references.is_content) == (True, False, False)
    assert references.balance({"validation": column, "test": column_of(("a",))}) == [
        "references: validation 3, test 2"
    ]
    assert references.balance({}) == []
    assert problems(references) == []
    with pytest.raises(NotImplementedError, match="references are not part of batches"):
        references.graph_batch(column)


def test_fingerprints_tell_texts_and_their_places_apart():
    columns = [
        column_of(("a", "bc"), ("d", "e")),
        column_of(("a", "b"), ("cd", "e")),
        column_of(("a",), ("bc",), ("d",), ("e",)),
        column_of(("bc", "a"), ("d", "e")),
    ]
    assert len({b"".join(References().fingerprint(column)) for column in columns}) == len(columns)
