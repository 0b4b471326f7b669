"""Compiles a training step of a text classifier for an H100, with cuDNN and with blocks. Needs no GPU.

    python scripts/compile_text_step.py --jax-python JAX/bin/python

6 layers, 512 units, 8 heads, texts of 2,048 tokens in batches of 32, mixed_bfloat16, Adam. Prints memory,
bytes moved and kernels of each, see `compile_for_gpu.py`, which also says how to install JAX.
"""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from compile_attention import GPU_BLOCK, compile_programs

BATCH, TIME, UNITS, LAYERS, HEADS, VOCABULARY = 32, 2048, 512, 6, 8, 30_000


def lower_step(with_cudnn: bool) -> bytes:
    """Returns the program of a step, as TensorFlow hands it to XLA for a GPU."""
    import keras
    import tensorflow as tf

    from attnzoo.attention import devices
    from attnzoo.features.info import DataInfo
    from attnzoo.features.label import Label
    from attnzoo.features.text import Text
    from attnzoo.models import text_classifier

    keras.config.set_dtype_policy("mixed_bfloat16")
    features = {"text": Text(vocabulary_size=VOCABULARY), "label": Label(names=("negative", "positive"))}
    info = DataInfo(text_classifier.TASK, features, buckets=({"text": TIME},))
    attention = {"name": "multi_head", "num_heads": HEADS}
    options = {"units": UNITS, "num_layers": LAYERS, "attention": attention}
    model = text_classifier.build(text_classifier.Config.model_validate(options), info)

    def step(*tensors):
        weights, state, means, squares, tokens, labels = tf.nest.pack_sequence_as(arguments, tensors)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            logits, state = model.stateless_call(weights, state, {"text": tokens}, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = tf.reduce_mean(losses)
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]
        # Adam: optimizers of Keras on TensorFlow hold variables, which a program lowered for a GPU cannot.
        means = [0.9 * mean + 0.1 * gradient for mean, gradient in zip(means, gradients, strict=True)]
        squares = [
            0.999 * old + 0.001 * gradient**2 for old, gradient in zip(squares, gradients, strict=True)
        ]
        updates = [mean / (tf.sqrt(square) + 1e-7) for mean, square in zip(means, squares, strict=True)]
        weights = [weight - 1e-3 * update for weight, update in zip(weights, updates, strict=True)]
        return loss, weights, state, means, squares

    def specs(variables):
        return [tf.TensorSpec(variable.shape, variable.dtype) for variable in variables]

    trained = model.trainable_variables
    lists = [trained, model.non_trainable_variables, trained, trained]
    inputs = [tf.TensorSpec([BATCH, TIME], tf.int32), tf.TensorSpec([BATCH], tf.int32)]
    arguments = [*map(specs, lists), *inputs]
    # Below the compute capability of cuDNN attention, blocks are taken.
    with devices.assumed_gpu((9, 0) if with_cudnn else (7, 5)):
        function = tf.function(step, jit_compile=True, autograph=False)
        lowered = function.experimental_get_compiler_ir(*tf.nest.flatten(arguments))
    return lowered(stage="hlo_serialized", platform_name="GPU")


def main() -> None:
    """Compiles both steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jax-python", required=True, help="the Python that JAX is installed in")
    arguments = parser.parse_args()
    trips = float(math.ceil(TIME / GPU_BLOCK))
    programs: dict[str, tuple[bytes, Any]] = {
        name: (lower_step(with_cudnn), trips) for name, with_cudnn in (("cudnn", True), ("blocks", False))
    }
    for result in compile_programs(programs, arguments.jax_python).values():
        print(json.dumps(result))


if __name__ == "__main__":
    main()
