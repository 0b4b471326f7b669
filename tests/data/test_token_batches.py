import itertools
import threading

import pytest

from attnzoo.data import token_batches


def test_concurrent_batches_come_in_order_and_not_all_at_once(monkeypatch):
    monkeypatch.setattr(token_batches, "MAX_CONCURRENT", 3)
    taken = itertools.count()
    first = threading.Event()

    def run(number):
        if number == 0:
            assert first.wait(60)  # the others overtake it
        elif number == 2:
            first.set()
        return number**2

    found = token_batches.run_concurrently(run, iter(lambda: next(taken), 10))
    assert next(found) == 0
    assert next(taken) == 4
    assert list(found) == [1, 4, 9, *(number**2 for number in range(5, 10))]


def test_what_fails_in_a_batch_is_raised():
    def run(number):
        if number == 1:
            raise ValueError("batch 1")
        return number

    found = token_batches.run_concurrently(run, range(9))
    assert next(found) == 0
    with pytest.raises(ValueError, match="batch 1"):
        next(found)
