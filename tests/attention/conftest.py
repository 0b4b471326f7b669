"""Settings of the tests of attention."""

import pytest

from attnzoo.attention import blocks


@pytest.fixture
def cut_into(monkeypatch):
    """Sets how large the kernel makes its blocks: `cut_into(query=5, key=7, logits=200)`."""

    def set_sizes(**sizes):
        monkeypatch.setattr(blocks, "block_sizes", lambda: blocks.CPU._replace(**sizes))

    return set_sizes


@pytest.fixture
def small_blocks(cut_into):
    """Gives short sequences several blocks, of which the last rarely fits, and several groups of heads."""
    cut_into(query=5, key=7, logits=200)
