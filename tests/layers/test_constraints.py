"""Searches with constraints against the best of all sequences that fulfill them."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.beam_search import Ranking, beam_search
from attnzoo.layers.constraints import Constraints
from attnzoo.layers.decoding import generate
from attnzoo.special_tokens import END, PADDING, START
from tests.layers.chain import OTHERS, Chain, all_sequences, generated
from tests.thinned import thinned

LENGTH = 5
CASES = [
    (Constraints(min_length=3), []),
    (Constraints(no_repeat_ngram=1), []),
    (Constraints(min_length=4, no_repeat_ngram=2), []),
    (Constraints(), [4, 4]),
    (Constraints(min_length=3, no_repeat_ngram=1), [6, 4]),
]
SOURCE = tf.constant([[5]])


def as_tensor(*prefixes):
    """The prefixes as <int32>[batch, width], padded; None if all are empty."""
    width = max(map(len, prefixes))
    return tf.constant([[*one, *[PADDING] * (width - len(one))] for one in prefixes]) if width else None


def repeats(tokens, size):
    ngrams = [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)] if size else []
    return len(set(ngrams)) < len(ngrams)


def fulfills(sequence, constraints, prefix):
    *tokens, _ = sequence
    return (
        len(tokens) >= constraints.min_length
        and tokens[: len(prefix)] == prefix
        and not repeats(tokens, constraints.no_repeat_ngram)
    )


def greedy(model, constraints, prefix):
    """The sequence that takes the likeliest allowed token at each position."""
    tokens = []
    while len(tokens) + 1 < LENGTH:
        scores = model.table[len(tokens), tokens[-1] if tokens else START].numpy()
        allowed = [one for one in OTHERS if not repeats([*tokens, one], constraints.no_repeat_ngram)]
        if len(tokens) >= constraints.min_length or not allowed:
            allowed.append(END)
        if len(tokens) < len(prefix):
            allowed = [prefix[len(tokens)]]
        best = max(allowed, key=lambda token: scores[token])
        if best == END:
            break
        tokens.append(best)
    return [*tokens, END]


@pytest.mark.parametrize(("constraints", "prefix"), CASES)
def test_searches_find_the_best_of_the_sequences_that_fulfill_the_constraints(constraints, prefix):
    model, forced = Chain(3, LENGTH), as_tensor(prefix)
    allowed = [one for one in all_sequences(LENGTH) if fulfills(one, constraints, prefix)]
    best = sorted(allowed, key=model.log_probability, reverse=True)[:3]
    options = {"constraints": constraints, "prefix": forced}
    wide = beam_search([model], SOURCE, LENGTH, 300, Ranking(0.0), count=3, **options)
    assert [generated(tokens) for tokens in wide.tokens[0]] == best
    np.testing.assert_allclose(
        wide.log_probabilities[0], [model.log_probability(tokens) for tokens in best], rtol=1e-5
    )
    for seed in range(3):
        model = Chain(seed, LENGTH, sharpness=3.0)
        expected = greedy(model, constraints, prefix)
        assert generated(generate([model], SOURCE, LENGTH, **options).tokens[0, 0]) == expected
        narrow = beam_search([model], SOURCE, LENGTH, 1, Ranking(0.0), **options)
        assert generated(narrow.tokens[0, 0]) == expected


@pytest.mark.parametrize("beams", thinned([3, 1], 2))
def test_compiled_searches_with_constraints_are_the_same(beams):
    model, constraints = Chain(1, 12), Constraints(min_length=6, no_repeat_ngram=2)
    source, prefix = tf.constant([[5, 6], [7, 0]]), as_tensor([4, 5, 4], [6])

    def search(source, prefix):
        options = {"constraints": constraints, "prefix": prefix}
        found = (
            generate([model], source, 12, **options)
            if beams == 1
            else beam_search([model], source, 12, beams, **options)
        )
        return found.tokens, found.log_probabilities

    tokens, scores = search(source, prefix)
    rows = [generated(row[0]) for row in tokens]
    assert (rows[0][:3], rows[1][:1]) == ([4, 5, 4], [6])
    assert all(len(row) > 6 and not repeats(row, 2) for row in rows)
    compiled = tf.function(search, jit_compile=True)(source, prefix)
    np.testing.assert_array_equal(compiled[0], tokens)
    np.testing.assert_allclose(compiled[1], scores, rtol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_target_ends_at_its_limit_or_where_no_other_token_is_left(beams):
    def search(constraints, prefix=None, length=12):
        found = (
            generate([Chain(1, 40)], SOURCE, length, constraints=constraints, prefix=prefix)
            if beams == 1
            else beam_search([Chain(1, 40)], SOURCE, length, beams, constraints=constraints, prefix=prefix)
        )
        assert np.isfinite(found.log_probabilities[:, 0]).all()
        return generated(found.tokens[0, 0])

    assert len(search(Constraints(min_length=30))) == 12
    used_up = search(Constraints(min_length=30, no_repeat_ngram=1))
    assert sorted(used_up) == sorted([*OTHERS, END])
    assert len(search(Constraints(length_ratio=0.5, min_length=30), as_tensor([4] * 15), 40)) == 25
