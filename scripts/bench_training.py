"""Benchmarks training of a translation recipe against OpenNMT-tf: same model, data and batch size, in turn.

python scripts/bench_training.py configs/translate_multi30k.yaml --opennmt-python ../opennmt/bin/python

Prints a table: target tokens per second, the median over intervals of 20 steps, without compilation and the
first steps. OpenNMT-tf reads attnzoo's subwords and needs a separate environment with Python 3.11:
`pip install OpenNMT-tf==2.32.0 tensorflow==2.13.1 "setuptools<70"`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import print_speeds

from attnzoo.startup import import_tensorflow

PEER_ENVIRONMENT = dict(os.environ)
import_tensorflow()

from attnzoo.config import RunConfig, resolve  # noqa: E402
from attnzoo.data import examples as data_examples  # noqa: E402
from attnzoo.runs.data import load_splits, load_task  # noqa: E402

PART = 20
"""Number of steps per measurement."""
WARMUP_STEPS = 60
"""First steps of OpenNMT-tf, which are not counted."""
SPEED = re.compile(r"Step = (\d+) .*tokens/s = .*?(\d+) target\)")
MODEL = """
import opennmt


def model():
    return opennmt.models.Transformer(
        source_inputter=opennmt.inputters.WordEmbedder(embedding_size={units}),
        target_inputter=opennmt.inputters.WordEmbedder(embedding_size={units}),
        num_layers=({num_encoder_layers}, {num_decoder_layers}),
        num_units={units},
        num_heads={num_heads},
        ffn_inner_dim={feed_forward_units},
        dropout={dropout},
        attention_dropout={attention_dropout},
        ffn_dropout={feed_forward_dropout},
        pre_norm={pre_norm},
        share_embeddings=opennmt.models.EmbeddingsSharingLevel.ALL,
    )
"""


def write_peer(config: RunConfig, folder: Path, steps: int) -> None:
    """Writes tokenized data, vocabulary, model and settings for OpenNMT-tf."""
    task = load_task(config)
    info, examples = data_examples.learn(load_splits(config), config.data, task.name, task.features)
    for name in ("source", "target"):
        rows = examples["train"].encoded[name]
        ends = rows.offsets[1:] - 1  # without END
        lines = [
            " ".join(f"t{token}" for token in rows.values[start:end])
            for start, end in zip(rows.offsets[:-1], ends, strict=True)
        ]
        (folder / f"train.{name}").write_text("\n".join(lines) + "\n")
    size = info.features["source"].vocabulary_size
    vocabulary = ["<blank>", "<s>", "</s>", *(f"t{number}" for number in range(size))]
    (folder / "vocabulary").write_text("\n".join(vocabulary) + "\n")
    model = config.model.model_dump()
    hidden = model["feed_forward_dropout"]
    (folder / "model.py").write_text(
        MODEL.format(
            **{**model, "feed_forward_dropout": model["dropout"] if hidden is None else hidden},
            num_heads=model["attention"]["num_heads"],
            attention_dropout=model["attention"]["dropout"],
            pre_norm=model["norm"] == "pre",
        )
    )
    tokens, length = config.train.batch_tokens, config.data.max_length
    settings = {
        "model_dir": str(folder / "run"),
        "data": {
            "train_features_file": str(folder / "train.source"),
            "train_labels_file": str(folder / "train.target"),
            "source_vocabulary": str(folder / "vocabulary"),
            "target_vocabulary": str(folder / "vocabulary"),
        },
        "params": {
            "optimizer": "Adam",
            "optimizer_params": {"beta_1": 0.9, "beta_2": config.train.beta_2},
            "learning_rate": 2.0,
            "decay_type": "NoamDecay",
            "decay_params": {"model_dim": model["units"], "warmup_steps": 2000},
            "label_smoothing": config.train.label_smoothing,
        },
        "train": {
            "batch_type": "tokens",
            "batch_size": tokens,
            "effective_batch_size": tokens,
            "length_bucket_width": 2,
            "maximum_features_length": length,
            "maximum_labels_length": length,
            "max_step": steps,
            "save_summary_steps": PART,
            "save_checkpoints_steps": 100000,
        },
    }
    (folder / "settings.yml").write_text(json.dumps(settings))  # JSON is YAML


def time_ours(config: Path, sets: list[str], folder: Path, steps: int) -> list[float]:
    """Trains with the command line; returns the logged target tokens per second, without compilation."""
    options = [f"train.steps={10 * steps}", f"train.log_every={PART}", f"eval.every={10 * steps}", *sets]
    command = [sys.executable, "-m", "attnzoo", "train", str(config), "--run", str(folder)]
    process = subprocess.Popen(
        [*command, *(part for option in options for part in ("--set", option))], stdout=subprocess.DEVNULL
    )
    lines: list[str] = []
    while len(lines) < steps // PART:  # then it is stopped, before the evaluation
        if process.poll() is not None:
            raise SystemExit(f"bench_training: attnzoo train ended with {process.returncode}")
        time.sleep(1.0)
        with contextlib.suppress(FileNotFoundError):
            lines = (folder / "metrics.jsonl").read_text().splitlines()
    process.terminate()
    process.wait()
    return [json.loads(line)["speed/targets_per_second"] for line in lines]


def time_peer(python: str, options: list[str], folder: Path) -> list[float]:
    """Trains with OpenNMT-tf; returns target tokens per second like `time_ours`."""
    program = str(Path(python).with_name("onmt-main"))
    files = ["--model", str(folder / "model.py"), "--config", str(folder / "settings.yml")]
    ended = subprocess.run(
        [python, program, *files, *options, "train"],
        env=PEER_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    speeds = [(int(step), float(speed)) for step, speed in SPEED.findall(ended.stdout + ended.stderr)]
    if not speeds:
        raise SystemExit(f"bench_training: OpenNMT-tf logged no speed:\n{ended.stderr[-3000:]}")
    return [speed for step, speed in speeds if step > WARMUP_STEPS]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="config file of a translation recipe")
    parser.add_argument("--opennmt-python", required=True, help="Python interpreter that has OpenNMT-tf")
    parser.add_argument("--set", action="append", default=[], help="as for `attnzoo train`")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each system, in turn")
    parser.add_argument("--steps", type=int, default=160, help="steps of a run")
    arguments = parser.parse_args()
    config = resolve(arguments.config, arguments.set).config
    settings = {"float32": [], "mixed precision": ["--mixed_precision"]}
    speeds: dict[str, list[float]] = {"attnzoo": [], **{f"OpenNMT-tf, {name}": [] for name in settings}}
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours = Path(folder) / "attnzoo"
            speeds["attnzoo"] += time_ours(arguments.config, arguments.set, ours, arguments.steps)
            for name, options in settings.items():
                peer = Path(folder) / f"peer_{len(options)}"
                peer.mkdir()
                write_peer(config, peer, arguments.steps)
                speeds[f"OpenNMT-tf, {name}"] += time_peer(arguments.opennmt_python, options, peer)
        print(f"round {number + 1} of {arguments.rounds} done", file=sys.stderr, flush=True)
    print_speeds(speeds, "system", "target tokens/s")


if __name__ == "__main__":
    main()
