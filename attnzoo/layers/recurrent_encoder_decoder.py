"""The recurrent encoder-decoder with attention."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from attnzoo.attention import mechanisms
from attnzoo.attention.memory import Memory
from attnzoo.layers.dropout import Dropout
from attnzoo.layers.recurrent import Cell, both_directions
from attnzoo.layers.sequence_to_sequence import SequenceToSequence

CELLS = {"gru": (keras.layers.GRUCell, 1), "lstm": (keras.layers.LSTMCell, 2)}
"""Cell and number of state vectors."""


class Encoded(NamedTuple):
    """What the encoder makes of a source.

    Attributes:
        memory: key and value of the attention, each <float>[batch, heads, source, dim].
        states: first state vectors of the decoder, each <float>[batch, units].
    """

    memory: Memory
    states: list[tf.Tensor]


class RecurrentCaches(NamedTuple):
    """What the decoder keeps between two steps.

    Attributes:
        states: state vectors of its layers, each <float>[batch, beams, units].
        fed: the attentional vector of the step before, <float>[batch, beams, units].
        memory: that of `Encoded`.
    """

    states: list[tf.Tensor]
    fed: tf.Tensor
    memory: Memory


@keras.saving.register_keras_serializable("attnzoo")
class RecurrentEncoderDecoder(SequenceToSequence):
    """Translates token ids into logits of the next target token, one position after another.

        s_t = cell([embedding of y_{t-1}; h_{t-1}], s_{t-1})      c_t = attention(s_t, encoded source)
        h_t = tanh(W [c_t; s_t])                                  logits of y_t = E h_t

    The encoder reads the source in both directions. The first state of the decoder is tanh(V mean of the
    encoded source).

    Args:
        source_vocabulary: number of source token ids.
        target_vocabulary: number of target token ids.
        units: model width, even.
        num_encoder_layers: bidirectional layers that read the source.
        num_decoder_layers: layers that write the target.
        attention: options of the attention, as a dict with `name`: "additive" is Bahdanau's, "dot_product"
            Luong's.
        cell: "gru" or "lstm".
        input_feeding: whether h_{t-1} enters the cell; without it only y_{t-1} does.
        dropout: fraction of embeddings, of encoder outputs and of h dropped, 0 to 1.
        share_embeddings: one table for source and target (one vocabulary).
        tie_output: the target table also gives the output logits.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: `units` is odd; a shared table of two vocabularies; an attention that cannot look at
            another sequence.

    Reference: Bahdanau et al. 2014, https://arxiv.org/abs/1409.0473; input feeding: Luong et al. 2015,
        https://arxiv.org/abs/1508.04025
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
            both_directions(cell, units, f"encoder_{number}") for number in range(num_encoder_layers)
        ]
        self.first_states = keras.layers.Dense(
            num_decoder_layers * num_states * units, activation="tanh", name="first_states"
        )
        self.decoder = [cell_class(units, name=f"decoder_{number}") for number in range(num_decoder_layers)]
        self.num_states = num_states
        self.attention = mechanisms.build(mechanisms.parse(attention).across(), units, name="attention")
        if not self.attention.supports_cross:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} needs an attention that can look at another sequence; "
                f"{type(self.attention).__name__} cannot. Received: attention={attention}"
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
        """Decodes all target positions of given targets; see `SequenceToSequence.decode_all`."""
        encoded, source_mask = self.encode(inputs["source"], training=training)
        embedded = self.dropout(self.target_embedding(inputs["target"]), training=training)
        by_time = tf.transpose(embedded, [1, 0, 2])[:, :, None]  # [target, batch, 1, units]
        time = keras.ops.shape(by_time)[0]
        caches = self.start(encoded, 1, time)

        def advance(position, states, fed, written):
            now = RecurrentCaches(states, fed, caches.memory)
            after, scores = self._advance(by_time[position], now, source_mask, training, with_alignment)
            found = [after.fed[:, 0]] + ([tf.reduce_mean(scores[:, :, 0], axis=1)] if with_alignment else [])
            written = [array.write(position, one) for array, one in zip(written, found, strict=True)]
            return position + 1, after.states, after.fed, written

        written = [tf.TensorArray(embedded.dtype, time, element_shape=embedded[:, 0].shape)]
        if with_alignment:
            written.append(tf.TensorArray(tf.float32, time, element_shape=source_mask.shape))
        *_, written = tf.while_loop(
            lambda position, *_: position < time,
            advance,
            (tf.constant(0), caches.states, caches.fed, written),
            maximum_iterations=time,
        )
        hidden, *alignment = (tf.transpose(array.stack(), [1, 0, 2]) for array in written)
        return self.dropout(hidden, training=training), alignment[0] if alignment else None

    def encode(self, source, training: bool | None = None):
        """Reads <int32>[batch, source].

        Returns:
            An `Encoded` and the mask <bool>[batch, source], True where there is a token.
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
        """Returns the caches for writing `beams` targets for each source."""
        states = [tf.repeat(state[:, None], beams, axis=1) for state in encoded.states]
        return RecurrentCaches(states, tf.zeros_like(states[0]), encoded.memory)

    def grow(self, caches: RecurrentCaches, beams: int, max_length: int) -> RecurrentCaches:
        """Returns the caches, which have the same size at every length."""
        return caches

    def step(self, tokens, caches: RecurrentCaches, position, ancestry, source_mask):
        """Decodes one position of every beam; arguments and results are those of `EncoderDecoder.step`."""
        if ancestry is not None:
            parents = tf.gather(ancestry, tf.maximum(position - 1, 0), axis=2)  # where the step before was
            caches = caches._replace(
                states=[tf.gather(state, parents, batch_dims=1) for state in caches.states],
                fed=tf.gather(caches.fed, parents, batch_dims=1),
            )
        caches, scores = self._advance(self.target_embedding(tokens), caches, source_mask, False, True)
        return self.logits(caches.fed), caches, tf.reduce_mean(scores, axis=1)

    def _advance(
        self, embedded, caches: RecurrentCaches, source_mask, training, with_attention_weights: bool = False
    ):
        """Returns the caches of the next step, and the scores <float32>[batch, heads, beams, source]."""
        hidden = tf.concat([embedded, caches.fed], axis=-1) if self.input_feeding else embedded
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
        context, scores = context if with_attention_weights else (context, None)
        fed = self.combine(tf.concat([context, hidden], axis=-1))
        new_states = [keras.ops.reshape(state, [batch, beams, self.units]) for state in new_states]
        return RecurrentCaches(new_states, fed, caches.memory), scores
