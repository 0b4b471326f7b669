"""The custom calls that XLA:GPU turns into the flash attention of cuDNN, forward and backward.

XLA recognizes them by their targets and reads shapes and mask from their backend config, a JSON object. Both
are those that JAX emits; `scripts/check_cudnn_calls.py` compares them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import tensorflow as tf

FORWARD, BACKWARD = "__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"
ELEMENT_TYPES = {tf.bfloat16: "BF16", tf.float16: "F16"}
"""Dtypes of query, key and value, and their names in the config."""
MaskKind = Literal["NO_MASK", "PADDING", "CAUSAL", "PADDING_CAUSAL"]
_WORKSPACE = (tf.uint8, [0])  # grows when XLA plans the call; never read


class CudnnCall(NamedTuple):
    """What both passes of a call share.

    Attributes:
        query: <bfloat16 or float16>[batch, heads, query, dim].
        key: of the same dtype, [batch, key_heads, key, dim]; key_heads divides heads.
        value: of the same dtype, [batch, key_heads, key, dim].
        scale: factor that multiplies query key^T.
        causal: whether a query attends only to keys up to its own position, from key 0.
        window: with `causal`, number of keys that a query attends to, its own included; 0 for all.
        lengths: number of keys of each example that are not padding, <int32>[batch]; None for all.
    """

    query: tf.Tensor
    key: tf.Tensor
    value: tf.Tensor
    scale: float
    causal: bool = False
    window: int = 0
    lengths: tf.Tensor | None = None

    def forward(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns output <float>[batch, heads, query, dim] and lse <float32>[batch, heads, query]."""
        operands = [self.query, self.key, self.value, *self._lengths()]
        results = [(self.query.dtype, self.query.shape), (tf.float32, self.query.shape[:3]), _WORKSPACE]
        output, lse, _ = _custom_call(FORWARD, operands, results, self.config(backward=False))
        return output, lse

    def backward(self, output: tf.Tensor, lse: tf.Tensor, grad_output: tf.Tensor) -> list[tf.Tensor]:
        """Returns the gradients of query, key and value, given the results of `forward`."""
        operands = [self.query, self.key, self.value, lse, grad_output, output, *self._lengths()]
        results = [(source.dtype, source.shape) for source in self[:3]]
        gradients = _custom_call(BACKWARD, operands, [*results, _WORKSPACE], self.config(backward=True))
        return gradients[:3]

    def _lengths(self) -> list[tf.Tensor]:
        """Returns the lengths of queries and keys; no query is treated as padding."""
        return (
            [] if self.lengths is None else [tf.fill(self.lengths.shape, self.query.shape[2]), self.lengths]
        )

    @property
    def mask_kind(self) -> MaskKind:
        """Name of the mask in the config."""
        if self.causal:
            return "CAUSAL" if self.lengths is None else "PADDING_CAUSAL"
        return "NO_MASK" if self.lengths is None else "PADDING"

    def config(self, backward: bool) -> str:
        """Returns the backend config of a pass."""
        if backward:
            products = {
                "bmm1_grad_gemm1_dot_dimension_numbers": _contracted(2, 2),
                "bmm1_grad_gemm2_dot_dimension_numbers": _contracted(3, 2),
                "bmm2_grad_gemm1_dot_dimension_numbers": _contracted(2, 2),
                "bmm2_grad_gemm2_dot_dimension_numbers": _contracted(3, 3),
            }
        else:
            products = {
                "bmm1_dot_dimension_numbers": _contracted(3, 3),
                "bmm2_dot_dimension_numbers": _contracted(3, 2),
            }
        fields = {
            "algorithm": {
                "algo_id": "0",
                "math_type": "TENSOR_OP_MATH",
                "tuning_knobs": {"17": "1", "24": "0"},
                "is_cudnn_frontend": True,
                "workspace_size": "0",
            },
            "fmha_scale": float(self.scale),
            "intermediate_tensor_shape": self._shape_of_logits(),
            "is_flash_attention": True,
            "mask_type": self.mask_kind,
            "dropout_rate": 0.0,
            "seed": 42,
            "sliding_window_length": self.window,
            "max_seg_per_batch": 1,
            "is_paged_attention": False,
            **products,
        }
        return json.dumps({"operation_queue_id": "0", "cudnn_fmha_backend_config": fields})

    def _shape_of_logits(self) -> dict[str, Any]:
        sizes = (*self.query.shape[:3], self.key.shape[2])
        return {
            "element_type": ELEMENT_TYPES[self.query.dtype],
            "dimensions": [str(size) for size in sizes],
            "tuple_shapes": [],
            "layout": {
                "dim_level_types": [],
                "dim_unique": [],
                "dim_ordered": [],
                "minor_to_major": ["3", "2", "1", "0"],
                "tiles": [],
                "element_size_in_bits": "0",
                "memory_space": "0",
                "index_primitive_type": "PRIMITIVE_TYPE_INVALID",
                "pointer_primitive_type": "PRIMITIVE_TYPE_INVALID",
                "dynamic_shape_metadata_prefix_bytes": "0",
            },
            "is_dynamic_dimension": [False] * 4,
        }


def _contracted(left: int, right: int) -> dict[str, list[str]]:
    """Describes a batched product that sums over an axis of each side."""
    return {
        "lhs_contracting_dimensions": [str(left)],
        "rhs_contracting_dimensions": [str(right)],
        "lhs_batch_dimensions": ["0", "1"],
        "rhs_batch_dimensions": ["0", "1"],
    }


def _custom_call(
    target: str, operands: Sequence[tf.Tensor], results: Sequence[tuple], config: str
) -> list[tf.Tensor]:
    """Returns the results of a custom call, given the dtype and shape of each."""
    # In no documentation: should it move, all other attention goes on.
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    outputs = gen_xla_ops.xla_custom_call_v2(
        operands=operands,
        call_target_name=target,
        backend_config=config,
        has_side_effect=False,
        result_dtypes=[dtype for dtype, _ in results],
        result_shapes=[shape for _, shape in results],
    )
    for output, (_, shape) in zip(outputs, results, strict=True):
        output.set_shape(shape)
    return outputs
