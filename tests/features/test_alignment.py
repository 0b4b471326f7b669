"""Which words belong together."""

import re

import numpy as np
import pytest

from attnzoo.features.alignment import Alignment
from attnzoo.records.bad_records import BadRecord
from tests.features.columns import LOCATION, OPTIONS, problems, read


def test_alignments_stay_as_they_are_and_are_not_in_batches():
    column = np.array(["0-0 1-2", ""], object)
    alignment = Alignment().learn([column], OPTIONS, None, "train")
    assert alignment == Alignment()
    assert alignment.encode(column) is column
    assert (alignment.is_optional, alignment.in_batches, alignment.is_content) == (True, False, False)
    assert alignment.describe("alignment", column, column) == {}
    assert alignment.summary("alignment") == ""
    assert problems(alignment) == []
    with pytest.raises(NotImplementedError, match="alignments are not part of batches"):
        alignment.graph_batch(column)
    with pytest.raises(NotImplementedError, match="alignment cannot be an input of an export"):
        alignment.raw(column)


def test_records_do_not_have_alignments():
    with pytest.raises(
        BadRecord, match=re.escape(f"{LOCATION}: 'column': alignment cannot be read from records.")
    ):
        read(Alignment(), "0-0")
