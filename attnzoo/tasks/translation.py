"""Text in, text out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from sacrebleu.metrics import BLEU, CHRF

from attnzoo.data import pipeline, tokenizers
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.info import END, PADDING, DataInfo
from attnzoo.layers import decoding
from attnzoo.layers.encoder_decoder import EncoderDecoder
from attnzoo.layers.vocabulary_loss import vocabulary_loss

MONITOR = "loss"
HIGHER_IS_BETTER = False
COUNTED = "tokens"


def sums(
    model: EncoderDecoder,
    inputs: dict[str, tf.Tensor],
    targets: dict[str, tf.Tensor],
    training: bool,
    label_smoothing: float,
) -> dict[str, tf.Tensor]:
    """Cross entropy (nats a target token) and the share of tokens predicted right, given those before.

    The logits of a batch are never all in memory.

    Args:
        model: an encoder-decoder.
        inputs: `source` and `target`.
        targets: `tokens` <int32>[batch, time] (0 is padding) and `weights` <float32>[batch].
        training: whether dropout is on.
        label_smoothing: see `scoring.smoothed_cross_entropy`.
    """
    tokens = targets["tokens"]
    weights = tf.cast(tf.not_equal(tokens, PADDING), tf.float32) * targets["weights"][:, None]
    hidden, table = model.hidden_and_table(inputs, training=training)
    rows = tf.reshape(hidden, [-1, hidden.shape[-1]])
    labels, row_weights = tf.reshape(tokens, [-1]), tf.reshape(weights, [-1])
    loss, right = vocabulary_loss(rows, table, labels, row_weights, label_smoothing)
    count = tf.reduce_sum(weights)
    return {"loss": tf.stack([loss, count]), "token_accuracy": tf.stack([right, count])}


def predictor(
    model: keras.Model, info: DataInfo
) -> Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a compiled function from inputs to what `decoding.greedy` gives: tokens and alignment."""
    max_length = info.buckets[-1]["target"]
    decode = tf.function(lambda source: decoding.greedy(model, source, max_length), jit_compile=True)
    return lambda inputs: decode(inputs["source"])


def translate(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes
) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Translates a split greedily.

    Yields:
        index of the example, translation, its tokens <int32>[time] and where each token attended
        <float32>[time, source].
    """
    tokenizer = tokenizers.from_state(info.tokenizers["target"])
    for inputs, targets in pipeline.batches(examples, info, pipeline.evaluation_plans(examples, info, sizes)):
        real = int(tf.math.count_nonzero(targets["weights"]))
        tokens, alignment = predict(inputs)
        texts = [text.decode("utf-8") for text in tokenizer.decode(tokens).numpy()[:real]]
        indices = targets["indices"].numpy()[:real].tolist()
        yield from zip(indices, texts, tokens.numpy()[:real], alignment.numpy()[:real], strict=True)


def corpus_metrics(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes
) -> dict[str, float | str]:
    """BLEU and chrF (0 to 100, sacrebleu, with signatures) and the share of exact matches (0 to 1)."""
    references = list(examples.raw.columns["target"])
    by_index = {index: text for index, text, _, _ in translate(predict, examples, info, sizes)}
    found = [by_index[index] for index in range(len(examples))]
    bleu, chrf = BLEU(), CHRF()
    return {
        "exact_match": float(
            np.mean([text == wanted for text, wanted in zip(found, references, strict=True)])
        ),
        "bleu": bleu.corpus_score(found, [references]).score,
        "chrf": chrf.corpus_score(found, [references]).score,
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
    }


def rows(
    predict: Callable, examples: Examples, info: DataInfo, sizes: BatchSizes, count: int
) -> list[dict[str, str]]:
    """Returns the first `count` sources with their reference and translation."""
    columns = examples.raw.columns
    first = itertools.islice(translate(predict, examples, info, sizes), count)
    return [
        {"source": columns["source"][index], "reference": columns["target"][index], "output": text}
        for index, text, _, _ in first
    ]


class Serving(tf.Module):
    """Raw strings in, translations out."""

    def __init__(self, model: keras.Model, info: DataInfo) -> None:
        super().__init__()
        self.model = model
        self.source = tokenizers.from_state(info.tokenizers["source"])
        self.target = tokenizers.from_state(info.tokenizers["target"])
        self.source_length = info.buckets[-1]["source"]
        self.target_length = info.buckets[-1]["target"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="source")])
    def translate(self, source):
        """Translates `source` <string>[batch] greedily; longer texts than the longest bucket are cut."""
        ids = self.source.encode(source)
        ids = tf.concat([ids, tf.fill([ids.nrows(), 1], END)], axis=1)
        ids = ids[:, : self.source_length].to_tensor(0)
        tokens, _ = decoding.greedy(self.model, ids, self.target_length)
        return {"translation": self.target.decode(tokens)}

    def signatures(self) -> dict:
        """Returns signature name -> function."""
        return {"serving_default": self.translate}


def serving(model: keras.Model, info: DataInfo) -> Serving:
    """Returns the module to export."""
    return Serving(model, info)
