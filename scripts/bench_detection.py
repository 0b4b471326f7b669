"""Benchmarks detection on a CPU: the detector of a config beside SSDlite320 of torchvision, in turn.

python scripts/bench_detection.py configs/detect_shapes.yaml --torch-python ../torch/bin/python

Prints a table: images per second from pixels in memory to boxes, suppression of overlapping boxes included.
torchvision needs a Python environment of its own (`pip install torch torchvision`); without it only attnzoo
is timed. Both use all cores, float32, the same image size and number of classes, random weights, and keep the
detections from a score of 0.001 on, at most 100 (attnzoo) or 300 (torchvision, its default) in an image.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from attnzoo.startup import import_tensorflow

import_tensorflow()

import tensorflow as tf  # noqa: E402

from attnzoo.config import resolve  # noqa: E402
from attnzoo.features.boxes import Boxes  # noqa: E402
from attnzoo.features.image import Image  # noqa: E402
from attnzoo.features.info import DataInfo  # noqa: E402
from attnzoo.runs.building import build_model  # noqa: E402
from attnzoo.tasks import detection_decoding  # noqa: E402

PEER = Path(__file__).with_name("bench_detection_peer.py")
BATCHES = (1, 8)
PAUSE = 0.05
"""Seconds before each turn: threads of the other library may spin for a while."""


class Ours:
    """attnzoo's detector."""

    def __init__(self, config_path: str, classes: int, size: int, calls: int) -> None:
        self.size, self.calls = size, calls
        config = resolve(config_path).config
        names = tuple(f"class {number}" for number in range(classes))
        features = {
            "image": Image(shape=(size, size, 3), mean=(0.5,) * 3, std=(0.25,) * 3),
            "boxes": Boxes(names=names),
        }
        info = DataInfo("detection", features)
        model = build_model(config, info)
        self.parameters = model.count_params()
        decoding = detection_decoding.Decoding(detection_decoding.EVALUATION_THRESHOLD, 0.6, 100)
        self.detect = detection_decoding.detect_fn([model], info, decoding)
        self.images: dict[int, tf.Tensor] = {}

    def run(self, batch: int) -> float:
        """Returns the seconds of one round."""
        if batch not in self.images:
            self.images[batch] = tf.random.uniform([batch, self.size, self.size, 3])
            self.detect({"image": self.images[batch]})
        begin = time.perf_counter()
        for _ in range(max(1, self.calls // batch)):
            self.detect({"image": self.images[batch]}).numpy()
        return time.perf_counter() - begin


class Peer:
    """torchvision in a separate process, which is idle between calls."""

    def __init__(self, python: str, classes: int, size: int, calls: int) -> None:
        command = [python, str(PEER), str(classes), str(size), str(calls)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.parameters = self._read()["parameters"]

    def run(self, batch: int) -> float:
        """Returns the seconds of one round."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{batch}\n")
        self.process.stdin.flush()
        return self._read()["seconds"]

    def _read(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{PEER.name} ended, see its error above")
        return json.loads(line)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", help="config file of a detector")
    parser.add_argument("--torch-python", help="Python of an environment with torchvision")
    parser.add_argument("--size", type=int, default=320, help="height and width in pixels (320)")
    parser.add_argument("--classes", type=int, default=3, help="number of classes (3)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each library (9)")
    parser.add_argument("--calls", type=int, default=64, help="images of a turn (64)")
    options = parser.parse_args()
    shape = (options.classes, options.size, options.calls)
    systems: dict[str, Ours | Peer] = {f"attnzoo {Path(options.config).stem}": Ours(options.config, *shape)}
    if options.torch_python:
        systems["torchvision SSDlite320 MobileNetV3"] = Peer(options.torch_python, *shape)
    seconds: dict[tuple[str, int], list[float]] = {}
    for number in range(options.rounds + 1):
        for batch in BATCHES:
            for name, system in systems.items():
                time.sleep(PAUSE)
                taken = system.run(batch)
                if number:  # the first round warms up
                    seconds.setdefault((name, batch), []).append(taken)
    ours = next(iter(systems))
    print("| detector | parameters | batch | images/s | attnzoo is |\n|---|---|---|---|---|")
    for (name, batch), taken in sorted(seconds.items(), key=lambda item: item[0][1]):
        count = max(1, options.calls // batch) * batch
        ratios = [other / own for other, own in zip(taken, seconds[ours, batch], strict=True)]
        ratio = "" if name == ours else f"{statistics.median(ratios):.2f} times as fast"
        speed = count / statistics.median(taken)
        print(f"| {name} | {systems[name].parameters:,} | {batch} | {speed:.0f} | {ratio} |")


if __name__ == "__main__":
    main()
