r"""Claim: Fashion-MNIST on a processor: how good a network of the catalogue gets, and in what time.

60,000 images to train on; the 10,000 of the test part are measured once, at the end. PATH has the
four IDX files (Debian: the package dataset-fashion-mnist). Clothes may be mirrored, digits not, so
the images are, whatever the recipe. A network as small as LeNet-5 does not come to know 60,000
images by heart in ten epochs: it gets SMALL's larger batches and higher rate, and no shift. One
JSON line; the seconds are those of training, and of all of it with reading and measuring.

    python benchmarks/fashion_mnist.py PATH >> benchmarks/results/fashion_mnist.jsonl
    python benchmarks/fashion_mnist.py PATH --network resnet20 --width 1.5 --time-limit 1700 \
        --set 'optimizer="muon"' learning_rate=0.02 momentum=0.95
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

SMALL = {"epochs": 10, "batch_size": 256, "learning_rate": 0.2}  # of LeNet-5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", help="a folder with the IDX files")
    parser.add_argument("--network", default="lenet5_relu")
    parser.add_argument("--width", type=float, help="times the paper's maps")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--time-limit", type=float, help="seconds, instead of epochs")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="of the recipe")
    parser.add_argument("--shift", type=int, help="pixels, at most, each way")
    parser.add_argument("--input-size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    fields = {
        "epochs": given.epochs,
        "seed": given.seed,
        **{name: json.loads(value) for name, _, value in (one.partition("=") for one in given.set)},
    }
    recipe, shift = find_recipe(given.network, "fast"), given.shift
    if given.network.startswith("lenet5"):
        recipe, shift = with_fields(recipe, SMALL), shift or 0
    recipe = with_fields(recipe, fields)
    shift = recipe.augment.shift if shift is None else shift
    augment = dataclasses.replace(recipe.augment, flip=True, shift=shift)
    recipe = dataclasses.replace(recipe, augment=augment)
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        folder = Path(name) / "run"
        classifier = train(
            f"arrays:{given.path}",
            network=given.network,
            recipe=recipe,
            arguments={} if given.width is None else {"width": given.width},
            input_size=given.input_size,
            time_limit=given.time_limit,
            folder=folder,
        )
        seconds = time.perf_counter() - started
        found = evaluate(classifier, f"arrays:{given.path}", split="test")
        record = training_record(classifier, found, run=folder, seconds=seconds)
    print(json.dumps({"benchmark": "fashion_mnist", **record}), flush=True)


if __name__ == "__main__":
    main()
