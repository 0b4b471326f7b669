"""Settings of the tests of attention."""

import pytest

from attnzoo.attention import blocks


@pytest.fixture
def set_block_sizes(monkeypatch):
    """Sets the block sizes of the kernel: `set_block_sizes(query=5, key=7, logits=200)`."""

    def set_sizes(**sizes):
        monkeypatch.setattr(blocks, "block_sizes", lambda: blocks.CPU._replace(**sizes))

    return set_sizes


@pytest.fixture
def small_blocks(set_block_sizes):
    """Short sequences have several blocks, the last one overlapping, and several groups of heads."""
    set_block_sizes(query=5, key=7, logits=200)
