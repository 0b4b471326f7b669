import math
import types

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import tasks
from attnzoo.data import examples as data_examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.data.splits import DataSplits, Split
from attnzoo.features.text import TextPairOptions
from attnzoo.layers.decoding import DecoderOutput
from attnzoo.records.bad_records import BadRecord
from attnzoo.tasks.translation_answers import TranslationPredictor
from attnzoo.text import tokenizers

TASK = tasks.load("translation")


def test_padding_and_filled_rows_are_no_targets_of_a_translation():
    logits = np.zeros((2, 3, 5), np.float32)
    targets = {"tokens": tf.constant([[4, 3, 0], [4, 4, 3]]), "weights": tf.constant([1.0, 0.0])}
    model = types.SimpleNamespace(
        decode_all=lambda inputs, training, with_alignment: (logits, None),
        logit_factors=lambda hidden: (hidden, np.eye(5, dtype=np.float32)),
    )
    sums = TASK.sums(model, {}, targets, None)
    np.testing.assert_allclose(sums["loss"], [2 * math.log(5), 2], rtol=1e-6)


def test_a_word_of_a_prefix_that_is_unknown_is_named():
    state = tokenizers.build("words", ["guten tag"], vocabulary_size=9, lowercase=False)
    target = tokenizers.from_state(state)
    known = types.SimpleNamespace(
        info=types.SimpleNamespace(lengths=[{"target": 9}], buckets=[{}]),
        detokenizer=types.SimpleNamespace(target=target),
    )
    encode = TranslationPredictor._encode_prefixes
    assert [len(start) for start in encode(known, ["guten", ""])] == [1, 0]
    with pytest.raises(BadRecord, match="abend, !: no word of the translations in training; replace it, or"):
        encode(known, ["tag", "guten abend!"])


def test_corpus_metrics_compare_translations_with_their_own_references():
    columns = {
        "source": np.array(["a", "bb", "c"], object),
        "target": np.array(["x y z w", "one two three four", "p q r s"], object),
    }
    splits = DataSplits(Split(columns, "pairs"), Split(columns, "pairs"), None)
    options = TextPairOptions(name="pairs", tokenizer="words", num_buckets=2)
    info, examples = data_examples.learn(splits, options, TASK.name, TASK.features)
    test = examples["train"]
    source, target = (test.encoded[name] for name in ("source", "target"))
    by_source = {
        tuple(row): target.values[slice(*target.offsets[number : number + 2])]
        for number, row in enumerate([source.values[0:2], source.values[2:4]])
    }

    def predict(inputs):
        tokens = np.zeros((len(inputs["source"]), 6), np.int32)
        for number, row in enumerate(inputs["source"].numpy()):
            target = by_source.get(tuple(row[:2]), [])
            tokens[number, : len(target)] = target
        rows = len(tokens)
        alignment = tf.zeros((rows, 1, 6, inputs["source"].shape[1]))
        return DecoderOutput(
            tf.constant(tokens)[:, None], tf.zeros((rows, 1)), tf.zeros((rows, 1)), alignment
        )

    result = TASK.predictions(predict, test, info, BatchSizes(2))
    metrics = TASK.corpus_metrics(result, test, info, TASK.EvalOptions(), {})
    assert metrics["exact_match"] == pytest.approx(2 / 3)
    assert 0 < metrics["bleu"] < 100
    assert "tok:13a" in metrics["bleu_signature"]
    assert metrics["bleu_interval"] > 0
    assert TASK.details(result, test, info) == {"references": 1}
    others = np.fromiter([("-", "-"), ("-", "-"), ("-", result[2])], object, 3)
    more = data_examples.encode_split(Split({**columns, "references": others}, "pairs"), info)
    assert TASK.corpus_metrics(result, more, info, TASK.EvalOptions(), {})["exact_match"] == 1.0
    assert TASK.details(result, more, info) == {"references": 3}
    (row,) = TASK.rows(predict, more, info, BatchSizes(2), np.array([2]))
    assert row == {
        "source": "c",
        "reference": "p q r s",
        "reference 2": "-",
        "reference 3": result[2],
        "output": result[2],
    }
    first = next(TASK.results(result, more, info, TASK.EvalOptions()))
    assert first["reference"] == "x y z w"
    assert first["other_references"] == ["-", "-"]
    (mistake,) = TASK.worst(result, test, info, TASK.EvalOptions(), 7)  # the others are exact
    assert mistake.name == "number 2"
    assert mistake.values["chrf"] < 100
    assert mistake.text.endswith(f"source c  reference p q r s  translation {result[2]}")
    tokenized = TASK.EvalOptions(bleu_tokenizer="none", bleu_lowercase=True)
    metrics = TASK.corpus_metrics(result, test, info, tokenized, {})
    assert "case:lc" in metrics["bleu_signature"]
    assert "tok:none" in metrics["bleu_signature"]
    assert "nc:6" in metrics["chrf_signature"]
