"""What an encoder-decoder reads, and where it is to attend."""

import numpy as np
import tensorflow as tf

from attnzoo import tasks
from attnzoo.data import examples as data_examples
from attnzoo.data import pipeline
from attnzoo.data.splits import DataSplits, Split
from attnzoo.features.text import TextPairOptions
from attnzoo.tasks import translation_batches


def test_decoder_input_is_the_target_shifted_behind_start():
    tokens = tf.constant([[11, 13, 3, 0], [17, 3, 0, 0]])
    np.testing.assert_array_equal(translation_batches.shift_right(tokens), [[2, 11, 13, 3], [2, 17, 3, 0]])


def test_a_truncated_source_ends_with_end_like_a_complete_one():
    tokens = tf.constant([[11, 13, 3, 0], [11, 13, 17, 3], [11, 13, 17, 19]])
    expected = [[11, 13, 3, 0], [11, 13, 17, 3], [11, 13, 17, 3]]
    np.testing.assert_array_equal(translation_batches.restore_end(tokens), expected)


def test_links_of_words_are_links_of_the_tokens_of_a_batch_and_end_has_none():
    columns = {
        "source": np.array(["a b", "c"], object),
        "target": np.array(["d e f", "g"], object),
        "alignment": np.array(["0-1 1-0 1-2", ""], object),
    }
    split, task = Split(columns, "pairs"), tasks.load("translation")
    options = TextPairOptions(name="pairs", tokenizer="words", num_buckets=1)
    info, examples = data_examples.learn(DataSplits(split, split, None), options, task.name, task.features)
    assert list(info.features) == ["source", "target", "alignment"]
    links = translation_batches.alignment_links(examples["train"], info)
    assert links.values.tolist() == [[0, 1], [1, 0], [2, 1]]
    assert links.lengths.tolist() == [3, 0]
    plans = pipeline.evaluation_plans(examples["train"], info, pipeline.BatchSizes(2))
    make_batch = task.make_batch(info, examples["train"], task.TrainOptions(guided_alignment=0.5))
    ((inputs, targets),) = pipeline.batches(examples["train"], info, plans, make_batch)
    assert set(inputs) == {"source", "target"}
    expected = np.zeros((2, 4, 4))
    expected[0, [0, 1, 2], [1, 0, 1]] = 0.5
    np.testing.assert_array_equal(targets["alignment"], expected)
