"""Benchmarks translation of a run's test split against CTranslate2 with the same weights, in turn.

python scripts/bench_decode.py runs/translate_multi30k --ctranslate2-python ../ct2/bin/python

Prints a table: target tokens per second (including END), without compile time. CTranslate2 needs a separate
Python environment (`pip install ctranslate2`); without it only attnzoo is timed. Both use all cores, float32,
and batches of sentences of similar lengths, several of which are translated in parallel; batches of one
sentence are translated sequentially.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from attnzoo.startup import import_tensorflow

import_tensorflow()

import tensorflow as tf  # noqa: E402

from attnzoo.data import token_batches  # noqa: E402
from attnzoo.layers.encoder_decoder import EncoderDecoder  # noqa: E402
from attnzoo.runs.data import load_splits  # noqa: E402
from attnzoo.runs.trained import TrainedRun, load_trained  # noqa: E402
from attnzoo.special_tokens import END  # noqa: E402
from attnzoo.tasks import translation_metrics  # noqa: E402

PEER = Path(__file__).with_name("bench_decode_peer.py")
CASES = ((5, 32), (1, 32), (5, 1), (1, 1))
"""Beam size and batch size."""


class Ours:
    """attnzoo's decoder."""

    name = "attnzoo"

    def __init__(self, trained: TrainedRun, rows: list[np.ndarray]) -> None:
        self.trained, self.rows = trained, rows
        self.lengths = token_batches.padding_lengths(trained.info, "source")

    def start(self, beams: int, batch: int) -> float:
        """Compiles all shapes of the case; returns the seconds."""
        options = self.trained.config.eval.model_copy(update={"beams": beams, "length_penalty_kind": "power"})
        self.predict = self.trained.task.predict_fn(
            [self.trained.model], self.trained.info, options, xla=True
        )
        begin = time.perf_counter()
        for length in self.lengths:
            self.predict({"source": tf.fill([batch, length], END)})
        return time.perf_counter() - begin

    def run(self, beams: int, batch: int) -> tuple[float, list[list[int]]]:
        """Translates all sentences; returns the seconds and the tokens of each, with END."""
        outputs: list[list[int]] = [[] for _ in self.rows]

        def translate(indexed: tuple[list[int], tf.Tensor]) -> tuple[list[int], list[list[int]]]:
            chosen, ids = indexed
            return chosen, self.predict({"source": ids}).tokens.numpy()[:, 0].tolist()

        # As in `attnzoo predict`; single sentences are translated sequentially.
        map_fn = map if batch == 1 else token_batches.run_concurrently
        begin = time.perf_counter()
        batches = token_batches.batch_by_length(self.rows, self.lengths, batch)
        for chosen, tokens in map_fn(translate, batches):
            for index, row in zip(chosen, tokens, strict=False):
                outputs[index] = row[: row.index(END) + 1]
        return time.perf_counter() - begin, outputs


class Peer:
    """CTranslate2 in a separate process, which is idle between calls."""

    name = "CTranslate2"

    def __init__(self, python: str, trained: TrainedRun, rows: list[np.ndarray], folder: Path) -> None:
        write_model(trained, folder)
        self.penalty = trained.config.eval.length_penalty
        (folder / "rows.json").write_text(json.dumps([row.tolist() for row in rows]))
        self.process = subprocess.Popen(
            [python, str(PEER), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, beams: int, batch: int) -> float:
        """Warms up with one round; nothing is compiled."""
        self.run(beams, batch)
        return 0.0

    def run(self, beams: int, batch: int) -> tuple[float, list[list[int]]]:
        """Translates like `Ours.run`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        case = {"beams": beams, "batch": batch, "penalty": self.penalty}
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["seconds"], [[*map(int, tokens), END] for tokens in answer["tokens"]]


def write_model(trained: TrainedRun, folder: Path) -> None:
    """Writes the weights and sizes for the peer."""
    model = trained.model
    if not isinstance(model, EncoderDecoder) or model.options["attention"]["name"] != "multi_head":
        raise SystemExit("bench_decode: expected a Transformer with multi-head attention")
    if model.position is None or model.options["attention"]["position"] != "none":
        raise SystemExit("bench_decode: expected a model with sinusoidal positions")
    values = {weight.path.partition("/")[2]: weight.numpy() for weight in model.weights}
    values["positions"] = model.position(tf.zeros([1, 512, model.options["units"]])).numpy()[0]
    np.savez(folder / "weights.npz", **values)
    (folder / "options.json").write_text(json.dumps(model.options))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a translation run")
    parser.add_argument("--ctranslate2-python", help="Python interpreter that has ctranslate2")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per case, of which the median is taken")
    parser.add_argument("--sentences", type=int, default=1000, help="sentences of the test split")
    arguments = parser.parse_args()
    trained = load_trained(arguments.run)
    split = load_splits(trained.config).named()["test"]
    split = split.first(arguments.sentences)
    source, target = (trained.info.features[name].make_tokenizer() for name in ("source", "target"))
    longest = trained.info.buckets[-1]["source"]
    rows = [row[-longest:] for row in token_batches.encode(source, list(split.column("source")), [END])]
    references = list(split.column("target"))
    print(f"{len(rows)} sentences; median of {arguments.rounds} rounds, in turn")
    print("| beams | batch | system | tokens/s | ratio | ms per sentence | compile s | BLEU |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        systems: list[Ours | Peer] = [Ours(trained, rows)]
        if arguments.ctranslate2_python:
            systems.append(Peer(arguments.ctranslate2_python, trained, rows, Path(folder)))
        for beams, batch in CASES:
            compiled = {system.name: system.start(beams, batch) for system in systems}
            seconds: dict[str, list[float]] = {system.name: [] for system in systems}
            outputs: dict[str, list[list[int]]] = {}
            for _ in range(arguments.rounds):
                for system in systems:
                    elapsed, outputs[system.name] = system.run(beams, batch)
                    seconds[system.name].append(elapsed)
            speeds = {
                name: sum(map(len, outputs[name])) / statistics.median(times)
                for name, times in seconds.items()
            }
            for system in systems:
                ids = tf.ragged.constant(outputs[system.name]).to_tensor(0)
                texts = [text.decode("utf-8") for text in target.decode(ids).numpy()]
                metric = translation_metrics.bleu(trained.config.eval)
                print(
                    f"| {beams} | {batch} | {system.name} | {speeds[system.name]:,.0f} | "
                    f"{speeds[systems[0].name] / speeds[system.name]:.2f} | "
                    f"{statistics.median(seconds[system.name]) / len(rows) * 1000:.1f} | "
                    f"{compiled[system.name]:.1f} | {metric.corpus_score(texts, [references]).score:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
