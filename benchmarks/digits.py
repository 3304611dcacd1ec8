"""Claim: both LeNets have 98.5 % or more on held-out digits, lenet5_relu 99 %, in seconds.

Trains each with its own recipe on five splits of scikit-learn's 1,797 digits (`digits:0` to
`digits:4`, 1,347 to train on and 450 to test on, the split's seed also the training's) and prints
one JSON line a network: share of right answers by split, their mean, the 95 % Wilson interval of
all 5 x 450 answers together, and of each training the wall-clock and processor seconds, reading
and measuring included, beside the machine's load in the last minute. The splits share images, so
the interval is narrower than that of five independent tests. The recipes were chosen on other
splits, of seeds 100 to 119.

    python benchmarks/digits.py >> benchmarks/results/digits.jsonl
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import torch

from convforge.benchmark.measurement import machine
from convforge.evaluation import wilson_interval
from convforge.training.trainer import train
from convforge.version import __version__

NETWORKS = ("lenet5_relu", "lenet5")
SPLITS = range(5)


def main() -> None:
    train("digits", network=NETWORKS[0], epochs=1)  # what is imported at first use is not timed
    for network in NETWORKS:
        print(json.dumps(measure(network)), flush=True)


def measure(network: str) -> dict[str, Any]:
    top1, right, wall, processor = [], 0, [], []
    for seed in SPLITS:
        started = time.perf_counter(), time.process_time()
        classifier = train(f"digits:{seed}", network=network, seed=seed)
        wall.append(round(time.perf_counter() - started[0], 2))
        processor.append(round(time.process_time() - started[1], 2))
        test = classifier.card.metrics["test"]
        top1.append(round(test["top1"], 4))
        right += round(test["top1"] * test["count"])
    count = test["count"] * len(SPLITS)
    low, high = wilson_interval(right, count)
    return {
        "benchmark": "digits",
        "network": network,
        "top1": top1,
        "mean": round(right / count, 4),
        "interval": [round(low, 4), round(high, 4)],
        "seconds": wall,
        "processor_seconds": processor,
        "recipe": {**classifier.card.recipe, "seed": list(SPLITS)},
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "convforge": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


if __name__ == "__main__":
    main()
