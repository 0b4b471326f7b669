"""Texts that are split anew in every epoch stay the same texts."""

import functools
import hashlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo import tasks
from attnzoo.data import examples, pipeline
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.features.text import Text, TextOptions, TextPairOptions
from attnzoo.special_tokens import END
from attnzoo.text import subword_sampling, tokenizers
from attnzoo.text.kinds import SUBWORD_MODELS
from attnzoo.text.ragged import Ragged
from tests.conftest import ROOT

LEARNED_FROM = ["the lower the newer", "newest and widest", "wider, lowest: new!", "Tür und Tor"] * 5
TEXTS = st.lists(st.text("theniwlors T\u2581ü,\u3000\t.x", max_size=30), min_size=1, max_size=9)


@functools.cache
def state_of(kind):
    return tokenizers.build(kind, LEARNED_FROM, 48, True)


@functools.cache
def tokenizer_of(kind):
    return tokenizers.from_state(state_of(kind))


def padded(ids):
    return tf.constant(ids.padded(np.arange(len(ids.lengths)), max(1, int(ids.lengths.max()))))


@settings(max_examples=25, deadline=None)
@given(texts=TEXTS, seed=st.integers(0, 99), kind=st.sampled_from(sorted(SUBWORD_MODELS)))
def test_however_texts_are_split_they_read_the_same(texts, seed, kind):
    tokenizer = tokenizer_of(kind)
    usual, lengths = tokenizers.encode_all(tokenizer, texts)
    sampling = subword_sampling.learn(state_of(kind), texts, 0.3)
    drawn = sampling.draw(np.random.default_rng(seed), 1000)
    whole = tokenizer.decode(padded(Ragged.from_lengths(usual, lengths)))
    assert tokenizer.decode(padded(drawn)).numpy().tolist() == whole.numpy().tolist()
    # What does not fit is split as always.
    short = sampling.draw(np.random.default_rng(seed), 0)
    assert short.values.tolist() == usual.tolist()
    assert short.lengths.tolist() == lengths.tolist()


@pytest.mark.parametrize("kind", SUBWORD_MODELS)
def test_ways_are_the_same_for_the_same_generator_and_differ_otherwise(kind):
    first, second = (subword_sampling.learn(state_of(kind), LEARNED_FROM, 0.3) for _ in range(2))
    draws = [
        sampling.draw(np.random.default_rng(seed), 1000).values.tolist()
        for sampling, seed in ((first, 1), (second, 1), (first, 2))
    ]
    assert draws[0] == draws[1] != draws[2]


IN_ANOTHER_PROCESS = """
from tests.text import test_subword_sampling as here
print(*(here.drawn_from(kind) for kind in here.SUBWORD_MODELS))
"""


def drawn_from(kind):
    """Hash of ways to split words."""
    sampling = subword_sampling.learn(state_of(kind), LEARNED_FROM, 0.3)
    return hashlib.sha256(sampling.pieces.values.tobytes()).hexdigest()


def test_another_process_draws_the_same_ways():
    """A run that continues on another day sees the texts as if it had never stopped."""
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [drawn_from(kind) for kind in SUBWORD_MODELS]


def test_more_merges_left_out_make_more_pieces():
    sizes = [
        subword_sampling.learn(state_of("bpe"), LEARNED_FROM, alpha)
        .draw(np.random.default_rng(0), 1000)
        .offsets[-1]
        for alpha in (0.1, 0.5, 0.9)
    ]
    usual = len(tokenizers.encode_all(tokenizer_of("bpe"), LEARNED_FROM)[0])
    assert usual < sizes[0] < sizes[1] < sizes[2]


def sampled(options):
    columns = {name: np.array(LEARNED_FROM, object) for name in ("source", "target")}
    splits = DataSplits(Split(columns, "pairs"), Split(columns, "pairs"), None)
    info, encoded = examples.learn(splits, options, "translation", tasks.load("translation").features)
    return info, {**encoded, "train": examples.with_resamplers(encoded["train"], info, options)}


OPTIONS = TextPairOptions(
    name="pairs", tokenizer="bpe", lowercase=True, vocabulary_size=48, num_buckets=2, subword_sampling=0.2
)


def test_each_epoch_of_training_has_its_own_pieces_and_validation_the_usual_ones():
    info, encoded = sampled(OPTIONS)
    sizes = pipeline.BatchSizes(4)
    tokenizer = info.features["target"].make_tokenizer()
    task = tasks.load("translation")
    plans = list(pipeline.evaluation_plans(encoded["validation"], info, sizes))
    assert all(planned.encoded is encoded["validation"].encoded for _, planned in plans)
    seen = []
    for epoch in range(2):
        count = pipeline.num_batches(encoded["train"], info, sizes, 3, epoch)
        plans = pipeline.training_plans(encoded["train"], info, sizes, 3, epoch, 0)
        make_batch = task.make_batch(info, encoded["train"], task.TrainOptions())
        first = (next(plans) for _ in range(count))
        batches = pipeline.batches(encoded["train"], info, first, make_batch, changes=OPTIONS)
        rows = {}
        for _, targets in batches:
            tokens, weights = targets["tokens"].numpy(), targets["weights"].numpy()
            texts = tokenizer.decode(targets["tokens"]).numpy()
            for index, weight, row, text in zip(
                targets["indices"].numpy(), weights, tokens, texts, strict=True
            ):
                if weight:
                    assert index not in rows
                    assert text.decode() == LEARNED_FROM[index].lower()
                    assert row[row != 0][-1] == END
                    rows[index] = row[row != 0].tolist()
        assert sorted(rows) == list(range(len(LEARNED_FROM)))
        seen.append(rows)
    assert seen[0] != seen[1]


def test_a_tokenizer_of_another_run_must_have_pieces_too():
    columns = {"text": np.array(LEARNED_FROM, object), "label": np.zeros(len(LEARNED_FROM), np.int32)}
    label = {"label": Label(names=("a",))}
    splits = DataSplits(Split(columns, "texts"), Split(columns, "texts"), None, label)
    options = TextOptions(name="texts", tokenizer="bpe", subword_sampling=0.1)
    text = Text(tokenizer=tokenizers.build("words", LEARNED_FROM, 48, True))
    initial = DataInfo("text_classification", {"text": text})
    features = tasks.load("text_classification").features
    info, encoded = examples.learn(splits, options, "text_classification", features, initial)
    with pytest.raises(
        UserError, match=r"data\.subword_sampling: the run of train\.init_from does not use subwords"
    ):
        examples.with_resamplers(encoded["train"], info, options)
