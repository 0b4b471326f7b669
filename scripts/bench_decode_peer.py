"""The CTranslate2 process of bench_decode.py, which starts it; reads cases from stdin, one per line.

It runs in a Python environment with ctranslate2 and does not import attnzoo.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import ctranslate2
import numpy as np
from ctranslate2.specs import transformer_spec

END = 3


def set_norm(spec, values, path: str) -> None:
    """Sets a layer normalization."""
    spec.gamma, spec.beta = values[f"{path}/norm/gamma"], values[f"{path}/norm/beta"]


def set_linear(spec, values, *paths: str) -> None:
    """Sets one projection, or several side by side."""
    spec.weight = np.ascontiguousarray(np.concatenate([values[f"{path}/kernel"].T for path in paths]))
    spec.bias = np.concatenate([values[f"{path}/bias"] for path in paths])


def convert(folder: Path) -> Path:
    """Writes the model in CTranslate2's format."""
    values, options = np.load(folder / "weights.npz"), json.loads((folder / "options.json").read_text())
    layers = (options["num_encoder_layers"], options["num_decoder_layers"])
    spec = transformer_spec.TransformerSpec.from_config(
        layers, options["attention"]["num_heads"], pre_norm=options["norm"] == "pre"
    )
    shared = options["share_embeddings"]
    source = values["source_embedding/embeddings"]
    target = source if shared else values["target_embedding/embeddings"]
    spec.encoder.embeddings[0].weight, spec.decoder.embeddings.weight = source, target
    spec.decoder.projection.weight = target
    for side, name in ((spec.encoder, "encoder"), (spec.decoder, "decoder")):
        side.scale_embeddings = True
        side.position_encodings.encodings = values["positions"]
        if options["norm"] == "pre":
            side.layer_norm.gamma, side.layer_norm.beta = (
                values[f"{name}_norm/gamma"],
                values[f"{name}_norm/beta"],
            )
        for number, layer in enumerate(side.layer):
            path = f"{name}_{number}"
            parts = [f"{path}/attention/{part}" for part in ("query", "key", "value")]
            set_linear(layer.self_attention.linear[0], values, *parts)
            set_linear(layer.self_attention.linear[1], values, f"{path}/attention/output")
            set_norm(layer.self_attention.layer_norm, values, f"{path}/attention_connection")
            if name == "decoder":
                cross = f"{path}/cross_attention"
                set_linear(layer.attention.linear[0], values, f"{cross}/query")
                set_linear(layer.attention.linear[1], values, f"{cross}/key", f"{cross}/value")
                set_linear(layer.attention.linear[2], values, f"{cross}/output")
                set_norm(layer.attention.layer_norm, values, f"{path}/cross_connection")
            set_linear(layer.ffn.linear_0, values, f"{path}/feed_forward/hidden")
            set_linear(layer.ffn.linear_1, values, f"{path}/feed_forward/output")
            set_norm(layer.ffn.layer_norm, values, f"{path}/feed_forward_connection")
    names = {0: "<blank>", 1: "<unk>", 2: "<s>", 3: "</s>"}
    spec.register_source_vocabulary([names.get(number, str(number)) for number in range(len(source))])
    spec.register_target_vocabulary([names.get(number, str(number)) for number in range(len(target))])
    spec.config.layer_norm_epsilon = 1e-6
    spec.config.add_source_eos = False
    spec.validate()
    (folder / "model").mkdir()
    spec.save(str(folder / "model"))
    return folder / "model"


def main() -> None:
    """Prints a line of JSON for each line of JSON from stdin."""
    folder = Path(sys.argv[1])
    rows = json.loads((folder / "rows.json").read_text())
    sentences = [["</s>" if token == END else str(token) for token in row] for row in rows]
    model, cores, translator, at_once = str(convert(folder)), len(os.sched_getaffinity(0)), None, 0
    for line in sys.stdin:
        case = json.loads(line)
        # Several batches in parallel, each on one core, are faster than one batch on all cores.
        if at_once != (at_once := 1 if case["batch"] == 1 else cores):
            translator = None  # frees the threads of the old one first
            translator = ctranslate2.Translator(
                model, compute_type="float32", inter_threads=at_once, intra_threads=cores // at_once
            )
        begin = time.perf_counter()
        results = translator.translate_batch(
            sentences,
            max_batch_size=case["batch"],
            beam_size=case["beams"],
            length_penalty=case["penalty"] if case["beams"] > 1 else 0,
        )
        seconds = time.perf_counter() - begin
        tokens = [result.hypotheses[0] for result in results]
        numbers = [[1 if token == "<unk>" else token for token in sentence] for sentence in tokens]
        print(json.dumps({"seconds": seconds, "tokens": numbers}), flush=True)


if __name__ == "__main__":
    main()
