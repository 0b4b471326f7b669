import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from attnzoo.text.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(1, 9), max_size=4), min_size=1, max_size=7)


def ragged(rows):
    values = np.array([value for row in rows for value in row], np.int32)
    return Ragged.from_lengths(values, np.array([len(row) for row in rows]))


def listed(ids):
    return [ids.values[start:end].tolist() for start, end in zip(ids.offsets, ids.offsets[1:], strict=False)]


@given(rows=ROWS, data=st.data())
def test_rows_are_taken_in_any_order(rows, data):
    taken = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
    assert listed(ragged(rows)) == rows
    assert listed(ragged(rows).take(np.array(taken, int))) == [rows[row] for row in taken]


@given(parts=st.lists(ROWS, max_size=3))
def test_parts_are_joined(parts):
    assert listed(Ragged.concatenate([ragged(part) for part in parts])) == [
        row for part in parts for row in part
    ]


@given(rows=ROWS, length=st.integers(1, 6), data=st.data())
def test_rows_are_cut_or_padded_to_one_length(rows, length, data):
    taken = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
    padded = ragged(rows).padded(np.array(taken, int), length)
    assert padded.dtype == np.int32
    assert padded.tolist() == [(rows[row] + [0] * length)[:length] for row in taken]
