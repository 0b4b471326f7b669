"""Times translation of a run's test split beside CTranslate2 with the same weights, in turn in one session.

python scripts/bench_decode.py runs/translate_multi30k --ctranslate2-python ../ct2/bin/python

Prints a table: target tokens a second (the end of a sentence counts as one), compile time apart. CTranslate2
needs a Python of its own (`pip install ctranslate2`); without it attnzoo is timed alone. Both use all cores,
float32, and batches of sentences of like lengths, of which several are translated side by side; sentences
alone come one after another.
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
"""Beams and sentences of a batch."""


class Ours:
    """attnzoo's decoder."""

    name = "attnzoo"

    def __init__(self, trained: TrainedRun, rows: list[np.ndarray]) -> None:
        self.trained, self.rows = trained, rows
        self.lengths = token_batches.padding_lengths(trained.info, "source")

    def start(self, beams: int, batch: int) -> float:
        """Compiles what the case needs; returns the seconds."""
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
        found: list[list[int]] = [[] for _ in self.rows]

        def tokens_of(one: tuple[list[int], tf.Tensor]) -> tuple[list[int], list[list[int]]]:
            chosen, ids = one
            return chosen, self.predict({"source": ids}).tokens.numpy()[:, 0].tolist()

        # As `attnzoo predict` does; a sentence alone waits for the one before.
        apply = map if batch == 1 else token_batches.run_concurrently
        begin = time.perf_counter()
        for chosen, tokens in apply(tokens_of, token_batches.batch_by_length(self.rows, self.lengths, batch)):
            for index, row in zip(chosen, tokens, strict=False):
                found[index] = row[: row.index(END) + 1]
        return time.perf_counter() - begin, found


class Peer:
    """CTranslate2 in a process of its own, idle unless it is asked."""

    name = "CTranslate2"

    def __init__(self, python: str, trained: TrainedRun, rows: list[np.ndarray], folder: Path) -> None:
        write_model(trained, folder)
        self.penalty = trained.config.eval.length_penalty
        (folder / "rows.json").write_text(json.dumps([row.tolist() for row in rows]))
        self.process = subprocess.Popen(
            [python, str(PEER), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, beams: int, batch: int) -> float:
        """Nothing is compiled; one round warms it up."""
        self.run(beams, batch)
        return 0.0

    def run(self, beams: int, batch: int) -> tuple[float, list[list[int]]]:
        """Does what `Ours.run` does."""
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
        raise SystemExit("bench_decode: only the Transformer with multi-head attention has a peer")
    if model.position is None or model.options["attention"]["position"] != "none":
        raise SystemExit("bench_decode: only sinusoidal positions have a peer")
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
    parser.add_argument("--ctranslate2-python", help="a Python that has ctranslate2")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each case; the median counts")
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
    print("| beams | batch | system | tokens/s | ratio | ms a sentence | compile s | BLEU |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        systems: list[Ours | Peer] = [Ours(trained, rows)]
        if arguments.ctranslate2_python:
            systems.append(Peer(arguments.ctranslate2_python, trained, rows, Path(folder)))
        for beams, batch in CASES:
            compiled = {system.name: system.start(beams, batch) for system in systems}
            seconds: dict[str, list[float]] = {system.name: [] for system in systems}
            found: dict[str, list[list[int]]] = {}
            for _ in range(arguments.rounds):
                for system in systems:
                    taken, found[system.name] = system.run(beams, batch)
                    seconds[system.name].append(taken)
            speeds = {
                name: sum(map(len, found[name])) / statistics.median(times) for name, times in seconds.items()
            }
            for system in systems:
                ids = tf.ragged.constant(found[system.name]).to_tensor(0)
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
