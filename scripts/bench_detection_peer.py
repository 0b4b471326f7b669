"""The torchvision process of bench_detection.py, which starts it; reads batch sizes from stdin, one per line.

It runs in a Python environment with torchvision and does not import attnzoo.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torchvision.models.detection import ssdlite320_mobilenet_v3_large


def main() -> None:
    """Prints a line of JSON: first the number of parameters, then the seconds of each round of calls."""
    classes, size, calls = map(int, sys.argv[1:])
    torch.manual_seed(1)
    # torchvision counts the background as a class.
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes + 1).eval()
    print(json.dumps({"parameters": sum(one.numel() for one in model.parameters())}), flush=True)
    images = {}
    with torch.inference_mode():
        for line in sys.stdin:
            batch = int(line)
            if batch not in images:
                images[batch] = list(torch.rand(batch, 3, size, size))
                model(images[batch])
            begin = time.perf_counter()
            for _ in range(max(1, calls // batch)):
                model(images[batch])
            print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)


if __name__ == "__main__":
    main()
