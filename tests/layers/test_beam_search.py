"""Beam search against the best of all sequences, and against the model's own probabilities."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers import beam_search as beam_search_module
from attnzoo.layers.beam_search import Ranking, beam_search
from attnzoo.layers.decoding import Sampler, generate
from attnzoo.layers.encoder_decoder import EncoderDecoder
from attnzoo.special_tokens import END, PADDING, START
from tests import mechanisms
from tests.layers.chain import VOCABULARY, Chain, all_sequences, generated
from tests.thinned import thinned


@pytest.mark.parametrize(
    "ranking", [Ranking(0.0), Ranking(0.6), Ranking(1.0, "power")], ids=["none", "wu", "power"]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all_sequences(ranking, seed):
    length = 4
    model = Chain(seed, length)

    def score(tokens):
        return model.log_probability(tokens) / float(ranking.divisor(tf.constant(len(tokens))))

    best = sorted(all_sequences(length), key=score, reverse=True)[:3]
    actual = beam_search([model], tf.constant([[5]]), length, beams=300, ranking=ranking, count=3)
    assert [generated(tokens) for tokens in actual.tokens[0]] == best
    np.testing.assert_allclose(actual.hypothesis_scores[0], [score(tokens) for tokens in best], rtol=1e-5)
    np.testing.assert_allclose(
        actual.log_probabilities[0], [model.log_probability(tokens) for tokens in best], rtol=1e-5
    )


def test_one_beam_without_a_penalty_is_greedy():
    for seed in range(5):
        model = Chain(seed, 9, sharpness=3.0)
        source = tf.constant([[4, 5, 6]])
        greedy = generated(generate([model], source, 9).tokens[0, 0])
        assert generated(beam_search([model], source, 9, 1, Ranking(0.0)).tokens[0, 0]) == greedy


def test_every_source_has_its_own_limit():
    never = Chain(0, 40)
    never.table = tf.where(tf.range(VOCABULARY) == END, -100.0, never.table)
    source = tf.constant([[5, 0, 0], [5, 5, 5]])
    for actual in (beam_search([never], source, 40, 2), generate([never], source, 40)):
        assert [len(generated(tokens[0])) for tokens in actual.tokens] == [12, 16]


def test_coverage_penalizes_targets_that_leave_out_a_part_of_the_source():
    attention_received = tf.constant([[[1.0, 1.0], [1.5, 0.5]]])
    scores = Ranking(0.0, coverage=2.0).hypothesis_scores(
        tf.constant([[-3.0, -2.0]]), tf.constant(2), attention_received
    )
    np.testing.assert_allclose(scores, [[-3.0, -2.0 + 2.0 * np.log(0.5)]], rtol=1e-6)


ATTENTIONS = [
    {"name": "multi_head", "num_heads": 2},
    {"name": "multi_head", "num_heads": 4, "num_key_value_heads": 2, "position": "rotary"},
    {"name": "multi_head", "num_heads": 2, "position": "relative", "sink": True},
    {"name": "local", "num_heads": 2, "window": 2},
    *(name for name in mechanisms.CROSS if name not in ("multi_head", "local")),
]


def transformer(attention, seed=3):
    tf.keras.utils.set_random_seed(seed)
    model = EncoderDecoder(
        11,
        13,
        units=8,
        num_encoder_layers=1,
        num_decoder_layers=2,
        feed_forward_units=16,
        attention=attention if isinstance(attention, dict) else {"name": attention},
        position="none" if "position" in attention else "sinusoidal",
        norm="post",
    )
    model({"source": tf.ones([1, 2], tf.int32), "target": tf.ones([1, 2], tf.int32)})
    return model


SOURCE = tf.constant([[5, 6, 7, 3, 0], [8, 3, 0, 0, 0], [9, 10, 4, 5, 3]])


def forced(models, tokens):
    """Log probabilities <float32>[batch] of the first target of each source, with all positions at once."""
    tokens = tokens[:, 0]
    inputs = {"source": SOURCE, "target": tf.concat([tf.fill([3, 1], START), tokens[:, :-1]], axis=1)}
    probabilities = tf.reduce_mean([tf.nn.softmax(model(inputs)) for model in models], axis=0)
    steps = tf.math.log(tf.gather(probabilities, tokens[..., None], batch_dims=2)[..., 0])
    return tf.reduce_sum(tf.where(tokens == PADDING, 0.0, steps), axis=1)


@pytest.mark.parametrize("attention", thinned(ATTENTIONS, 3, [*map(str, ATTENTIONS)]))
def test_probabilities_of_a_search_are_those_of_the_model(attention):
    """Fails where a target sees keys of another one, of its past or its beam."""
    models = [transformer(attention)]
    actual = beam_search(models, SOURCE, 9, beams=4, count=2)
    np.testing.assert_allclose(actual.log_probabilities[:, 0], forced(models, actual.tokens), rtol=1e-4)
    weights = tf.reduce_sum(actual.alignment, axis=-1)[:, 0]
    if attention not in ({"name": "multi_head", "num_heads": 2, "position": "relative", "sink": True},):
        np.testing.assert_allclose(weights, tf.cast(actual.tokens[:, 0] != PADDING, tf.float32), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "attention", [ATTENTIONS[0], pytest.param(ATTENTIONS[1], marks=pytest.mark.slow)], ids=str
)
def test_a_compiled_search_is_the_same(attention):
    models = [transformer(attention)]
    actual = beam_search(models, SOURCE, 9, beams=4, count=2)
    compiled = tf.function(lambda ids: beam_search(models, ids, 9, beams=4, count=2), jit_compile=True)(
        SOURCE
    )
    np.testing.assert_array_equal(compiled.tokens, actual.tokens)
    np.testing.assert_allclose(compiled.alignment, actual.alignment, atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS[:2], ids=str)
def test_no_integer_tensor_is_transposed(attention):
    model = transformer(attention)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def search(source):
        return beam_search([model], source, 9, beams=3)

    # On many processors oneDNN says on standard error that it does not do that.
    graph = search.get_concrete_function().graph.as_graph_def()
    nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
    types = {tf.as_dtype(node.attr["T"].type) for node in nodes if node.op == "Transpose"}
    assert types == {tf.float32}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("search", "seed"),
    [pytest.param(beam_search, 14, marks=pytest.mark.slow), (generate, 17)],
    ids=["beams", "greedy"],
)
def test_rows_of_a_large_batch_are_generated_as_on_their_own(search, seed):
    """The loop has parts: some rows end in the first, the others go on in two smaller batches."""
    models = [transformer(ATTENTIONS[0], seed)]
    source = np.random.default_rng(0).integers(5, 11, (24, 4)).astype(np.int32)
    source[::3, 2:] = PADDING
    options = {"beams": 3, "count": 2} if search is beam_search else {}
    actual = search(models, tf.constant(source), 30, **options)
    lengths = np.count_nonzero(actual.tokens[:, 0], axis=1)
    assert len(source) // 2 < np.count_nonzero(lengths > source.shape[1]) < len(source)
    search_single = tf.function(lambda row: search(models, row, 30, **options))
    for number, row in enumerate(source):
        single = search_single(tf.constant(row[None]))
        np.testing.assert_array_equal(actual.tokens[number], single.tokens[0])
        np.testing.assert_allclose(actual.hypothesis_scores[number], single.hypothesis_scores[0], rtol=1e-4)
        np.testing.assert_allclose(actual.alignment[number], single.alignment[0], atol=1e-5)


def test_alignment_of_a_search_is_that_of_forced_decoding():
    model = transformer(ATTENTIONS[0])
    actual = beam_search([model], SOURCE, 9, beams=4)
    row = actual.tokens[:, 0]

    def follow(log_probabilities, position, places):
        return tf.maximum(row[:, position], 1)[:, None]

    same = generate([model], SOURCE, 9, select=follow)
    ended = tf.cast(row != PADDING, tf.float32)[..., None]
    np.testing.assert_allclose(actual.alignment[:, 0], same.alignment[:, 0] * ended, atol=1e-5)


def test_an_ensemble_generates_from_the_mean_of_the_probabilities():
    models = [transformer(ATTENTIONS[0], seed) for seed in (3, 5)]
    actual = beam_search(models, SOURCE, 9, beams=4)
    np.testing.assert_allclose(actual.log_probabilities[:, 0], forced(models, actual.tokens), rtol=1e-4)


def test_a_wider_beam_finds_more_probable_targets_on_the_whole():
    models = [Chain(seed, 12) for seed in range(20)]
    totals = {
        beams: sum(
            float(beam_search([model], tf.constant([[5]]), 12, beams, Ranking(0.0)).hypothesis_scores[0, 0])
            for model in models
        )
        for beams in (1, 4)
    }
    assert totals[4] > totals[1]


def test_samples_follow_the_probabilities():
    model, source = Chain(1, 1), tf.ones([1, 1], tf.int32)
    model.table = tf.concat([model.table, model.table], axis=0)
    log_probabilities = tf.tile(model.table[:1, :1], [1, 20_000, 1])
    first = (tf.constant(0), tf.constant([0]))  # position and place
    drawn = Sampler(7)(log_probabilities, *first)
    shares = np.bincount(drawn.numpy().ravel(), minlength=VOCABULARY) / 20_000
    np.testing.assert_allclose(shares, np.exp(model.table[0, 0]), atol=0.015)
    assert set(Sampler(7, top_k=1)(log_probabilities, *first).numpy().ravel()) == {
        int(tf.argmax(model.table[0, 0]))
    }
    order = np.argsort(-model.table[0, 0].numpy())
    nucleus = order[: 1 + np.searchsorted(np.cumsum(np.exp(model.table[0, 0].numpy()[order])), 0.6)]
    assert set(Sampler(7, top_p=0.6)(log_probabilities, *first).numpy().ravel()) == set(nucleus)
    again = generate([model], source, 2, Sampler(3), count=5)
    np.testing.assert_array_equal(generate([model], source, 2, Sampler(3), count=5).tokens, again.tokens)


def test_a_sample_depends_on_the_seed_and_the_number_of_its_source_alone():
    """Also in a batch of which half is finished later than the other half."""
    model, numbers = Chain(2, 23, sharpness=0.3), range(100, 116)
    sources = tf.ones([16, 3], tf.int32)

    def draw(seed, own):
        chosen = Sampler(seed, numbers=tf.constant(own))
        return generate([model], sources[: len(own)], 23, chosen, count=2).tokens.numpy()

    rows = draw(3, [*numbers])
    assert len({tuple(row) for row in rows.reshape([-1, rows.shape[-1]])}) > 16
    assert {END in row[:3] for row in rows[:, 0]} == {False, True}
    for place in (0, 7, 15):
        np.testing.assert_array_equal(draw(3, [numbers[place]])[0], rows[place])
    assert (draw(4, [numbers[0]])[0] != rows[0]).any()


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"count=3, beams=2"):
        beam_search([Chain(0, 3)], SOURCE, 3, 2, count=3)
    with pytest.raises(ValueError, match=r"models=\[\]"):
        beam_search([], SOURCE, 3, 2)
    with pytest.raises(ValueError, match=r"top_p=0"):
        Sampler(1, top_p=0)


@pytest.mark.parametrize("vocabulary", [5, 64, 130, 1000])
def test_top_k_by_groups_is_that_of_all(vocabulary):
    totals = tf.constant(np.random.default_rng(1).normal(size=(3, 4, vocabulary)), tf.float32)
    values, indices = beam_search_module._top_k(totals, 8)
    expected = tf.math.top_k(tf.reshape(totals, [3, -1]), 8)
    np.testing.assert_array_equal(values, expected.values)
    np.testing.assert_array_equal(indices, expected.indices)
