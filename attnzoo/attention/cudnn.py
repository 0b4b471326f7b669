"""Flash attention of cuDNN, as a part of a function that XLA compiles for an NVIDIA GPU.

It works through blocks of logits in the fast memory of the GPU, so that memory grows with the length and
hardly anything but query, key, value and output is read or written. `refusal` says what it cannot compute.

cuDNN knows padding as a number of valid keys at the start. Attention does not depend on the order of its keys
unless it is causal, so that keys of any other padding mask are put in an order that has the valid ones first.

Reference: Dao 2023, https://arxiv.org/abs/2307.08691;
    https://docs.nvidia.com/deeplearning/cudnn/frontend/latest/operations/Attention.html
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from attnzoo.attention.arguments import AttentionInputs
from attnzoo.attention.compilation import in_compiled_function, only_plain
from attnzoo.attention.cudnn_call import ELEMENT_TYPES, CudnnCall
from attnzoo.attention.devices import compute_capability, device_type
from attnzoo.attention.differentiable import differentiable
from attnzoo.attention.masks import lengths_to_mask

_MIN_CAPABILITY = (8, 0)
_MAX_DIM, _MAX_DIM_FROM_9_0 = 128, 256
_UNSUPPORTED = (
    "attention_mask",
    "segment_ids",
    "bias",
    "distance_bias",
    "alibi_slopes",
    "sink",
    "soft_cap",
)
# The lse of a row without keys, in place of -inf: its weights are exp(logits - lse) = 0, and never NaN.
_LSE_WITHOUT_KEYS = 1e30


def attend(inputs: AttentionInputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns output and lse of a call for which `refusal` is None. The lse has no gradient.

    Returns:
        Output <float>[batch, heads, query, dim] and lse <float32>[batch, heads, query].
    """
    output, lse = differentiable(inputs, _forward, _backward)
    return output, tf.stop_gradient(lse)


def refusal(inputs: AttentionInputs, needs_lse: bool = False) -> str | None:
    """Returns why cuDNN cannot compute a call here, or None if it can.

    Args:
        inputs: the call.
        needs_lse: whether the gradient of the log-sum-exp may be needed.
    """
    return refused_place() or _refused_tensors(inputs) or _refused_arguments(inputs, needs_lse)


def refused_place() -> str | None:
    """Returns what is wrong with where the call is traced."""
    if only_plain():
        return "within plain_operations()"
    if not in_compiled_function():
        return "outside of a function that XLA compiles (jit_compile=True)"
    if device_type() != "GPU":
        return f"on a {device_type()}, not a GPU"
    capability = compute_capability()
    if capability is None or capability < _MIN_CAPABILITY:
        has = "none" if capability is None else "{}.{}".format(*capability)
        return f"compute capability {has}, below {'{}.{}'.format(*_MIN_CAPABILITY)}"
    return None


def _refused_tensors(inputs: AttentionInputs) -> str | None:
    """Returns what is wrong with dtype or shapes."""
    query, key, value = inputs.query, inputs.key, inputs.value
    if query.dtype not in ELEMENT_TYPES:
        return f"{query.dtype.name}, not {' or '.join(dtype.name for dtype in ELEMENT_TYPES)}"
    if not all(tensor.shape.is_fully_defined() for tensor in (query, key, value)):
        return f"sizes that are not static: query {query.shape}, key {key.shape}"
    if 0 in (*query.shape, *key.shape):
        return f"nothing to compute: query {query.shape}, key {key.shape}"
    dim, value_dim = query.shape[3], value.shape[3]
    max_dim = _MAX_DIM if (compute_capability() or (0, 0)) < (9, 0) else _MAX_DIM_FROM_9_0
    if dim % 8 or dim > max_dim:
        return f"head dim {dim}, not a multiple of 8 up to {max_dim}"
    return None if dim == value_dim else f"value dim {value_dim}, not the head dim {dim}"


def _refused_arguments(inputs: AttentionInputs, needs_lse: bool) -> str | None:
    """Returns which argument cuDNN does not support."""
    arguments = inputs.arguments
    for name in _UNSUPPORTED:
        if getattr(arguments, name) is not None:
            return name
    if inputs.rng_key is not None:
        return "dropout"
    if needs_lse:
        return "return_lse, whose gradient cuDNN does not compute"
    queries, keys = inputs.query.shape[2], inputs.key.shape[2]
    if not _is_causal(inputs):
        return None if _sees_all(inputs) else f"window {inputs.window} with keys after the query"
    if queries != keys or tf.get_static_value(inputs.start) != 0:
        return f"causal with {queries} queries and {keys} keys that do not begin at the same position"
    if arguments.padding_mask is not None and arguments.key_lengths is None:
        return "causal with a padding mask that need not be a prefix; pass `key_lengths` instead"
    return None


def _is_causal(inputs: AttentionInputs) -> bool:
    window = inputs.window
    return inputs.arguments.causal or (window is not None and window[1] == 0)


def _sees_all(inputs: AttentionInputs) -> bool:
    """Returns whether the window is known to hide no key from any query."""
    window, start = inputs.window, tf.get_static_value(inputs.start)
    if window is None or start is None:
        return window is None
    before, after = start + inputs.query.shape[2] - 1, inputs.key.shape[2] - 1 - start
    return before <= window[0] and after <= window[1]


class _Keys:
    """Key and value in the order that cuDNN needs, and which of their rows it may use.

    Attributes:
        call: the call with reordered key and value.
    """

    def __init__(self, inputs: AttentionInputs) -> None:
        arguments, window = inputs.arguments, inputs.window
        causal = _is_causal(inputs)
        queries, keys = inputs.query.shape[2], inputs.key.shape[2]
        mask = arguments.padding_mask  # [batch, key]
        self._order = self._rank = lengths = None
        if arguments.key_lengths is not None:
            lengths = tf.clip_by_value(arguments.key_lengths, 0, keys)
        elif mask is not None:
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
            self._order = tf.argsort(tf.cast(~mask, tf.int32), stable=True)  # the valid ones first
            self._rank = tf.argsort(self._order)
        width = 0 if not causal or window is None or window[0] + 1 >= queries else window[0] + 1
        key, value = (_permute(tensor, self._order) for tensor in (inputs.key, inputs.value))
        self.call = CudnnCall(inputs.query, key, value, inputs.scale, causal, width, lengths)

    def has_keys(self) -> tf.Tensor | None:
        """Returns which queries have keys to attend to, <bool>[batch, 1, query or 1]; None for all."""
        lengths, width = self.call.lengths, self.call.window
        if lengths is None:
            return None
        first = tf.maximum(0, tf.range(self.call.query.shape[2]) - width + 1) if width else tf.constant([0])
        return (first[None, :] < lengths[:, None])[:, None]

    def restore(self, gradient: tf.Tensor) -> tf.Tensor:
        """Returns the gradient of a key or value in the caller's order, zeros for keys that are padding."""
        lengths = self.call.lengths
        if lengths is None:
            return gradient
        valid = lengths_to_mask(lengths, gradient.shape[2])[:, None, :, None]
        return _permute(tf.where(valid, gradient, tf.zeros([], gradient.dtype)), self._rank)


def _forward(inputs: AttentionInputs) -> Sequence[tf.Tensor]:
    keys = _Keys(inputs)
    output, lse = keys.call.forward()
    has_keys = keys.has_keys()
    if has_keys is None:
        return output, lse
    output = tf.where(has_keys[..., None], output, tf.zeros([], output.dtype))
    return output, tf.where(has_keys, lse, tf.constant(-float("inf"), lse.dtype))


def _backward(inputs: AttentionInputs, results: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    output, lse, grad_output, _ = results
    keys = _Keys(inputs)
    has_keys = keys.has_keys()
    if has_keys is None:
        return keys.call.backward(output, lse, grad_output)
    zero = tf.zeros([], output.dtype)
    lse = tf.where(has_keys, lse, tf.constant(_LSE_WITHOUT_KEYS, lse.dtype))
    grad_output = tf.where(has_keys[..., None], grad_output, zero)
    grad_query, grad_key, grad_value = keys.call.backward(output, lse, grad_output)
    grad_query = tf.where(has_keys[..., None], grad_query, zero)
    return [grad_query, keys.restore(grad_key), keys.restore(grad_value)]


def _permute(tensor: tf.Tensor, order: tf.Tensor | None) -> tf.Tensor:
    """Puts the keys of [batch, key_heads, key, dim] into the order <int32>[batch, key]; None keeps it."""
    if order is None:
        return tensor
    rows = tf.gather(tf.transpose(tensor, [0, 2, 1, 3]), order, axis=1, batch_dims=1)
    return tf.transpose(rows, [0, 2, 1, 3])
