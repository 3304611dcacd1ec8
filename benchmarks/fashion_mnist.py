"""Claim: Fashion-MNIST on a processor: how good a network of the catalogue gets, and in what time.

60,000 images to train on; the 10,000 of the test part are measured once, at the end, and nothing is
chosen by them. PATH has the four IDX files (Debian: the package dataset-fashion-mnist). Clothes may
be mirrored, digits not, so the images are, whatever the recipe. One JSON line; the seconds are
those of training, and of all of it with reading and measuring.

    python benchmarks/fashion_mnist.py PATH >> benchmarks/results/fashion_mnist.jsonl
    python benchmarks/fashion_mnist.py PATH --network resnet20 --epochs 15
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

from training_record import training_record

from convforge.evaluation import evaluate
from convforge.training.recipes import find_recipe, with_fields
from convforge.training.trainer import train


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", help="a folder with the IDX files")
    parser.add_argument("--network", default="lenet5_relu")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--input-size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    fields = {
        "epochs": given.epochs,
        "batch_size": given.batch_size,
        "learning_rate": given.learning_rate,
        "seed": given.seed,
    }
    recipe = with_fields(find_recipe(given.network, "fast"), fields)
    recipe = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, flip=True))
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        folder = Path(name) / "run"
        classifier = train(
            f"arrays:{given.path}",
            network=given.network,
            recipe=recipe,
            input_size=given.input_size,
            folder=folder,
        )
        seconds = time.perf_counter() - started
        found = evaluate(classifier, f"arrays:{given.path}", split="test")
        record = training_record(classifier, found, recipe=recipe, run=folder, seconds=seconds)
    print(json.dumps({"benchmark": "fashion_mnist", **record}), flush=True)


if __name__ == "__main__":
    main()
