"""How batches come to the steps, and how long these wait for them."""

import threading
import time

import pytest
import tensorflow as tf

from attnzoo.training import feed
from attnzoo.training.feed import CallsOnDevice, Feed


@pytest.fixture(autouse=True)
def _trace_at_once(monkeypatch):
    monkeypatch.setattr(feed, "CALLS_BEFORE_TRACING", 0)


def make_feed(widths, accumulate=1, most=8):
    """A feed of batches that are as wide as given, placed as they are."""
    batches = (({"text": tf.zeros([2, width])}, {"weights": tf.ones([2])}) for width in widths)
    return Feed(batches, lambda batch: batch, accumulate, most)


def sizes_of_calls(widths, steps=100, accumulate=1, most=8):
    fed, left, sizes = make_feed(widths, accumulate, most), len(widths), []
    while left:
        fed.read(steps, left)
        groups = fed.take(steps)
        sizes.append(len(groups))
        left -= sum(len(group.batches) for group in groups)
    return sizes


def test_a_call_takes_the_first_steps_with_the_same_shapes_in_few_sizes():
    assert sizes_of_calls([3] * 17) == [8, 8, 1]
    assert sizes_of_calls([3] * 15) == [8, 4, 2, 1]
    assert sizes_of_calls([3] * 10, steps=5) == [4, 4, 2]
    assert sizes_of_calls([3] * 13, most=5) == [5, 5, 2, 1]
    assert sizes_of_calls([3, 5, 5, 3, 3, 3, 5]) == [1, 2, 2, 1, 1]


def test_a_number_of_steps_is_taken_after_it_was_possible_often(monkeypatch):
    monkeypatch.setattr(feed, "CALLS_BEFORE_TRACING", 3)
    assert sizes_of_calls([3] * 13, most=4) == [1, 1, 1, 4, 4, 2]
    assert sizes_of_calls([3, 5] * 9) == [1] * 18
    assert sizes_of_calls([3, 3, 5] * 4) == [1] * 9 + [2, 1]


def test_batches_of_one_step_stay_together():
    assert sizes_of_calls([3] * 8, accumulate=3) == [2, 1]  # the last has two of them
    assert sizes_of_calls([3, 5, 3, 5, 5, 3], accumulate=2) == [2, 1]


def test_nothing_is_read_beyond_the_last_step_and_the_epoch():
    fed = make_feed([3] * 5)
    fed.read(0, 5)
    fed.read(8, 2)
    assert len(fed.take(8)) == 2
    fed.read(3, 3)
    with pytest.raises(StopIteration):
        fed.read(8, 4)


def test_large_batches_wait_one_step_at_a_time(monkeypatch):
    monkeypatch.setattr(feed, "MAX_WAITING_BYTES", 130)  # a batch has 2 x (3 + 1) x 4 = 32 bytes
    assert sizes_of_calls([3] * 8) == [4, 4]
    assert sizes_of_calls([3] * 8, accumulate=4) == [1, 1]


class Result:
    """A result of a device that ends when it is told to."""

    def __init__(self):
        self.ended = threading.Event()

    def numpy(self):
        assert self.ended.wait(60)


def test_the_device_waits_for_input_from_the_end_of_its_last_call():
    calls, begin = CallsOnDevice(), time.monotonic()
    results = [Result(), Result()]
    calls.add(results[0])
    assert calls.idle_seconds(begin) == 0.0
    results[0].ended.set()
    calls.add(results[1])  # returns, as the call before has ended
    time.sleep(0.02)
    assert calls.idle_seconds(begin) == 0.0
    results[1].ended.set()
    time.sleep(0.05)
    end = time.monotonic()
    assert 0.0 < calls.idle_seconds(begin) < end - begin
    assert calls.idle_seconds(end) < calls.idle_seconds(begin)


class DeviceError(Exception):
    pass


def test_an_error_of_the_device_comes_out_of_the_next_call():
    class Failed:
        def numpy(self):
            raise DeviceError

    calls = CallsOnDevice()
    calls.add(Failed())
    ended = Result()
    ended.ended.set()
    with pytest.raises(DeviceError):
        calls.add(ended)
