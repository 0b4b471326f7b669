"""The recurrent encoder-decoder with attention."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from attnzoo.attention import mechanisms
from attnzoo.attention.memory import Memory
from attnzoo.layers.dropout import Dropout
from attnzoo.layers.recurrent import Cell, bidirectional
from attnzoo.layers.sequence_to_sequence import SequenceToSequence

CELLS = {"gru": (keras.layers.GRUCell, 1), "lstm": (keras.layers.LSTMCell, 2)}
"""Cell class and its number of state vectors."""


class Encoded(NamedTuple):
    """Output of the encoder.

    Attributes:
        memory: key and value of the attention, each <float>[batch, heads, source, dim].
        states: initial state vectors of the decoder, each <float>[batch, units].
    """

    memory: Memory
    states: list[tf.Tensor]


class RecurrentCaches(NamedTuple):
    """State of the decoder between two steps.

    Attributes:
        states: state vectors of its layers, each <float>[batch, beams, units].
        input_feed: attentional vector of the previous step, <float>[batch, beams, units].
        memory: that of `Encoded`.
    """

    states: list[tf.Tensor]
    input_feed: tf.Tensor
    memory: Memory


@keras.saving.register_keras_serializable("attnzoo")
class RecurrentEncoderDecoder(SequenceToSequence):
    """Recurrent encoder-decoder with attention that returns the logits of the next target token.

        s_t = cell([embedding of y_{t-1}; h_{t-1}], s_{t-1})      c_t = attention(s_t, encoded source)
        h_t = tanh(W [c_t; s_t])                                  logits of y_t = E h_t

    The encoder is bidirectional. The initial state of the decoder is tanh(V m), where m is the mean of the
    encoded source over its positions.

    Args:
        source_vocabulary: number of source token ids, 1 or more.
        target_vocabulary: number of target token ids, 1 or more.
        units: model width, even.
        num_encoder_layers: number of bidirectional encoder layers, 1 or more.
        num_decoder_layers: number of decoder layers, 1 or more.
        attention: options of the attention, as a dict with `name`: "additive" is Bahdanau's, "dot_product"
            Luong's.
        cell: recurrent cell, "gru" or "lstm".
        input_feeding: whether h_{t-1} is an input of the cell, in addition to y_{t-1}.
        dropout: fraction of embeddings, encoder outputs and h dropped in training, in [0, 1).
        share_embeddings: whether source and target share one embedding table (and vocabulary).
        tie_output: whether the target embedding table is also the output projection.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: `units` is odd, a table is shared by vocabularies of different sizes, or the attention
            mechanism does not support cross-attention.

    Reference: Bahdanau et al. 2014, https://arxiv.org/abs/1409.0473; input feeding: Luong et al. 2015,
        https://arxiv.org/abs/1508.04025

    Examples:
        >>> options = {"num_encoder_layers": 1, "num_decoder_layers": 1, "attention": {"name": "additive"}}
        >>> model = RecurrentEncoderDecoder(11, 13, units=16, **options)
        >>> model({"source": tf.ones([2, 7], tf.int32), "target": tf.ones([2, 5], tf.int32)}).shape
        TensorShape([2, 5, 13])
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        units: int,
        num_encoder_layers: int,
        num_decoder_layers: int,
        attention: dict[str, Any],
        cell: Cell = "gru",
        input_feeding: bool = True,
        dropout: float = 0.0,
        share_embeddings: bool = False,
        tie_output: bool = True,
        **kwargs: Any,
    ) -> None:
        options: dict[str, Any] = {
            "num_encoder_layers": num_encoder_layers,
            "num_decoder_layers": num_decoder_layers,
            "attention": attention,
            "cell": cell,
            "input_feeding": input_feeding,
            "dropout": dropout,
        }
        super().__init__(
            options,
            source_vocabulary,
            target_vocabulary,
            units,
            scale=True,
            share_embeddings=share_embeddings,
            tie_output=tie_output,
            **kwargs,
        )
        self.units, self.input_feeding = units, input_feeding
        cell_class, num_states = CELLS[cell]
        self.dropout = Dropout(dropout, name="dropout")
        self.encoder = [
            bidirectional(cell, units, f"encoder_{number}") for number in range(num_encoder_layers)
        ]
        self.first_states = keras.layers.Dense(
            num_decoder_layers * num_states * units, activation="tanh", name="first_states"
        )
        self.decoder = [cell_class(units, name=f"decoder_{number}") for number in range(num_decoder_layers)]
        self.num_states = num_states
        self.attention = mechanisms.build(
            mechanisms.parse(attention).for_cross_attention(), units, name="attention"
        )
        if not self.attention.supports_cross:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} needs an attention mechanism that supports "
                f"cross-attention; {type(self.attention).__name__} does not. Received: attention={attention}"
            )
        self.combine = keras.layers.Dense(units, activation="tanh", name="combine")

    def build(self, inputs_shape=None):
        """Builds the sublayers."""
        units = self.units
        for layer in (self.source_embedding, self.target_embedding):
            if not layer.built:
                layer.build((None, None))
        self.dropout.build((None, None, units))
        for layer in self.encoder:
            layer.build((None, None, units))
        self.first_states.build((None, units))
        for number, cell in enumerate(self.decoder):
            cell.build((None, 2 * units if self.input_feeding and number == 0 else units))
        self.attention.build((None, None, units))
        self.combine.build((None, None, 2 * units))
        if self.output_layer is not None:
            self.output_layer.build((None, None, units))
        self.built = True

    def decode_all(self, inputs: dict[str, Any], training: bool | None, with_alignment: bool = False):
        """Decodes all positions of given targets; see `SequenceToSequence.decode_all`."""
        encoded, source_mask = self.encode(inputs["source"], training=training)
        embedded = self.dropout(self.target_embedding(inputs["target"]), training=training)
        by_time = tf.transpose(embedded, [1, 0, 2])[:, :, None]  # [target, batch, 1, units]
        time = keras.ops.shape(by_time)[0]
        states, input_feed, memory = self.start(encoded, 1, time)

        def advance(position, states, input_feed, arrays):
            caches = RecurrentCaches(states, input_feed, memory)
            caches, weights = self._advance(by_time[position], caches, source_mask, training, with_alignment)
            outputs = [caches.input_feed[:, 0]]
            if with_alignment:
                outputs.append(tf.reduce_mean(weights[:, :, 0], axis=1))
            arrays = [array.write(position, output) for array, output in zip(arrays, outputs, strict=True)]
            return position + 1, caches.states, caches.input_feed, arrays

        arrays = [tf.TensorArray(embedded.dtype, time, element_shape=embedded[:, 0].shape)]
        if with_alignment:
            arrays.append(tf.TensorArray(tf.float32, time, element_shape=source_mask.shape))
        *_, arrays = tf.while_loop(
            lambda position, *_: position < time,
            advance,
            (tf.constant(0), states, input_feed, arrays),
            maximum_iterations=time,
        )
        hidden, *alignment = (tf.transpose(array.stack(), [1, 0, 2]) for array in arrays)
        return self.dropout(hidden, training=training), alignment[0] if alignment else None

    def encode(self, source, training: bool | None = None):
        """Encodes the source <int32>[batch, source].

        Returns:
            An `Encoded` and the padding mask <bool>[batch, source], True at tokens.
        """
        source_mask = self.source_embedding.padding_mask(source)
        hidden = self.dropout(self.source_embedding(source), training=training)
        for layer in self.encoder:
            hidden = self.dropout(layer(hidden, mask=source_mask), training=training)
        weights = tf.cast(source_mask, hidden.dtype)[..., None]
        mean = tf.math.divide_no_nan(tf.reduce_sum(hidden * weights, 1), tf.reduce_sum(weights, 1))
        states = tf.split(self.first_states(mean), len(self.decoder) * self.num_states, axis=-1)
        return Encoded(self.attention.project_memory(hidden, hidden), states), source_mask

    def start(self, encoded: Encoded, beams: int, max_length: int) -> RecurrentCaches:
        """Returns the initial caches for `beams` targets per source."""
        states = [tf.repeat(state[:, None], beams, axis=1) for state in encoded.states]
        return RecurrentCaches(states, tf.zeros_like(states[0]), encoded.memory)

    def grow(self, caches: RecurrentCaches, beams: int, max_length: int) -> RecurrentCaches:
        """Returns the caches unchanged, as their size does not depend on the length."""
        return caches

    def step(self, tokens, caches: RecurrentCaches, position, ancestry, source_mask):
        """Decodes one position of every beam; arguments and results are those of `EncoderDecoder.step`."""
        if ancestry is not None:
            parents = tf.gather(ancestry, tf.maximum(position - 1, 0), axis=2)  # beam of the previous step
            caches = caches._replace(
                states=[tf.gather(state, parents, batch_dims=1) for state in caches.states],
                input_feed=tf.gather(caches.input_feed, parents, batch_dims=1),
            )
        caches, attention_weights = self._advance(
            self.target_embedding(tokens), caches, source_mask, False, True
        )
        return self.logits(caches.input_feed), caches, tf.reduce_mean(attention_weights, axis=1)

    def _advance(
        self, embedded, caches: RecurrentCaches, source_mask, training, with_attention_weights: bool = False
    ):
        """Returns the next caches and the attention weights <float32>[batch, heads, beams, source]."""
        hidden = tf.concat([embedded, caches.input_feed], axis=-1) if self.input_feeding else embedded
        batch, beams, width = keras.ops.shape(hidden)
        hidden = keras.ops.reshape(hidden, [batch * beams, width])
        states = [keras.ops.reshape(state, [batch * beams, self.units]) for state in caches.states]
        new_states: list[tf.Tensor] = []
        for number, cell in enumerate(self.decoder):
            own = states[number * self.num_states : (number + 1) * self.num_states]
            hidden, new = cell(hidden, own)
            new_states += new if isinstance(new, (list, tuple)) else [new]
        hidden = keras.ops.reshape(hidden, [batch, beams, self.units])
        context = self.attention.attend(
            hidden,
            caches.memory,
            padding_mask=source_mask,
            training=training,
            return_attention_scores=with_attention_weights,
        )
        context, attention_weights = context if with_attention_weights else (context, None)
        input_feed = self.combine(tf.concat([context, hidden], axis=-1))
        new_states = [keras.ops.reshape(state, [batch, beams, self.units]) for state in new_states]
        return RecurrentCaches(new_states, input_feed, caches.memory), attention_weights
