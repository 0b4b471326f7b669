"""Alignments of words become links of tokens, and links what attention is drawn to."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.text import alignments, token_links, tokenizers
from attnzoo.text.ragged import Ragged

SOURCES = ["the  white house", "don't panic, reader", "a"]
TARGETS = ["das weiße Haus", "keine Panik ,\tLeser", "ein"]
LINES = ["0-0 2-2 1-1 2-2", "0-0 1-1 1-2 2-3", ""]


def sides_of(kind):
    """Returns the sources and the targets, and the token ids of each."""
    sides, encoded = [], []
    for texts in (SOURCES, TARGETS):
        state = tokenizers.build(kind, texts, 40, True)
        ids = Ragged.from_lengths(*tokenizers.encode_all(tokenizers.from_state(state), texts))
        sides.append(token_links.Side(np.array(texts, object), state, ids.lengths))
        encoded.append(ids)
    return sides, encoded


def words_of_tokens(side, ids, index):
    """Returns the number of the word that each token of a text is of, by the characters before it."""
    tokenizer = tokenizers.from_state(side.tokenizer)
    row = ids.values[ids.offsets[index] : ids.offsets[index + 1]]
    pieces = [piece.replace("\u2581", "") for piece in tokenizer.pieces(tf.constant([row]))[0]]
    words = alignments.words(side.texts[index].lower())
    assert "".join(pieces) == "".join(words)
    of_characters = [number for number, word in enumerate(words) for _ in word]
    begins = np.cumsum([0, *map(len, pieces)])[:-1]
    return [of_characters[begin] for begin in begins]


@pytest.mark.parametrize("kind", ["words", "subwords", "bpe"])
def test_tokens_of_aligned_words_are_linked_all_with_all(kind):
    sides, encoded = sides_of(kind)
    links = token_links.token_links(LINES, *sides)
    for index, line in enumerate(LINES):
        source, target = (words_of_tokens(side, ids, index) for side, ids in zip(sides, encoded, strict=True))
        expected = [
            [place, other]
            for place, of_target in enumerate(target)
            for other, of_source in enumerate(source)
            if (of_source, of_target) in alignments.pairs(line)
        ]
        assert links.values[links.offsets[index] : links.offsets[index + 1]].tolist() == expected


@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_tokens_between_words_are_refused(kind):
    sides, _ = sides_of(kind)
    with pytest.raises(
        UserError, match=r"guided_alignment: 'the  white house': .* set data\.tokenizer: words"
    ):
        token_links.token_links(LINES, *sides)


def test_attention_is_drawn_in_equal_parts_to_what_is_linked_and_lies_within_the_lengths():
    links = Ragged(
        np.array([[0, 1], [1, 0], [1, 2], [4, 0], [0, 0], [0, 3]], np.int32), np.array([0, 4, 4, 6])
    )
    found = token_links.attention_targets(links, tf.constant([2, 1, 0]), tf.constant(4), tf.constant(3))
    expected = np.zeros((3, 3, 4))
    expected[0, 0, 0] = 1.0  # source 3 is where END of a cut source is
    expected[2, 0, 1] = 1.0
    expected[2, 1, [0, 2]] = 0.5
    np.testing.assert_array_equal(found, expected)
