"""convforge: the whole of `train`, as it is by default, told from the log that it writes.

`--full-size 1` takes the recipe's small images in the first steps out, so that every step is at the
full size as those of the other trainers are; that is for images a second only. `--optimizer sgd`
is the recipe with SGD, at a rate of 0.05, in the place of its own.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import torch
from course import given, tell

from convforge.training.recipes import find_recipe
from convforge.training.trainer import train
from convforge.version import __version__

LOG = Path("run") / "log.csv"
SGD = {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9}


def main() -> None:
    task = given("--full-size", "--optimizer")
    recipe = find_recipe(task.network, "fast")
    if task.optimizer == "sgd":
        recipe = dataclasses.replace(recipe, **SGD)
    recipe = dataclasses.replace(
        recipe,
        epochs=task.epochs,
        seed=task.seed,
        batch_size=task.batch_size or recipe.batch_size,
        small_images=0.0 if task.full_size else recipe.small_images,
    )
    tell(
        versions={"convforge": __version__, "torch": torch.__version__},
        settings={**recipe.to_json(), "threads": torch.get_num_threads()},
    )
    told = 0

    def tell_epochs(*_: object) -> None:
        nonlocal told
        text = LOG.read_text() if LOG.exists() else ""
        rows = list(csv.DictReader(text.splitlines()))
        for before, row in zip([{"step": 0}, *rows][told:], rows[told:], strict=False):
            images = (int(row["step"]) - int(before["step"])) * recipe.batch_size
            tell(images=images, top1=float(row["val_top1"]) if row["val_top1"] else None)
        told = len(rows)

    classifier = train(
        task.photos,
        network=task.network,
        recipe=recipe,
        input_size=task.input_size,
        folder=LOG.parent,
        progress=tell_epochs,
    )
    tell(settings={"machine": classifier.card.metrics["train"]["machine"]})


if __name__ == "__main__":
    main()
