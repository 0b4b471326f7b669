"""Settings of the tests of attention."""

import pytest

from attnzoo.attention import blocks


@pytest.fixture
def cut_into(monkeypatch):
    """Sets how large the kernel makes its blocks: `cut_into(query=5, key=7, scores=200)`."""

    def set_targets(**sizes):
        monkeypatch.setattr(blocks, "targets", lambda: blocks.CPU._replace(**sizes))

    return set_targets


@pytest.fixture
def small_blocks(cut_into):
    """Gives short sequences several blocks, of which the last rarely fits, and several groups of heads."""
    cut_into(query=5, key=7, scores=200)
