"""Claim: a training that is killed five times ends with the undisturbed one's weights, to the bit.

Trains a network with batch normalisation, dropout, augmentation, a moving average and a validation
part, once undisturbed and once killed with SIGKILL at five random moments and taken up again each
time, in one process and in a team of two (gloo). Prints one JSON line a team: the steps that the
killed runs had saved, whether all weights are equal to the bit, and the machine.

    python benchmarks/resume.py [--network NAME] [--epochs N] >> benchmarks/results/resume.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convforge.classifier import Classifier
from convforge.images.augment import Augment
from convforge.images.dataset import Images, Split
from convforge.training.recipe import Recipe
from convforge.training.state import states
from convforge.training.trainer import train
from convforge.version import __version__

KILLS = 5
SAVE_EVERY = 0.05  # seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # children are forked: no threads before that
    recipe = Recipe(
        epochs=arguments.epochs,
        batch_size=16,
        learning_rate=0.02,
        average=0.99,
        small_images=0.3,
        augment=Augment(shift=4, flip=True, mixup=0.2),
    )
    for size in (1, 2):
        print(json.dumps(measure(arguments.network, recipe, size, arguments.seed)), flush=True)


def measure(network: str, recipe: Recipe, size: int, seed: int) -> dict[str, Any]:
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        wait(start(network, recipe, size, here / "whole"))
        steps = saved(here / "whole")
        killed = []
        for step in sorted(moments.sample(range(1, steps - 1), KILLS)):
            children = start(network, recipe, size, here / "killed")
            while saved(here / "killed") < step:
                time.sleep(0.01)
            time.sleep(moments.uniform(0.0, 0.3))  # in a step or while a state is written
            for child in children:
                os.kill(child, signal.SIGKILL)
            for child in children:
                os.waitpid(child, 0)
            killed.append(saved(here / "killed"))
        wait(start(network, recipe, size, here / "killed"))
        one, other = (load(here / folder) for folder in ("whole", "killed"))
    return {
        "benchmark": "resume",
        "network": network,
        "processes": size,
        "steps": steps,
        "killed_after_steps": killed,
        "tensors": len(one),
        "equal_to_the_bit": one.keys() == other.keys()
        and all(torch.equal(one[key], other[key]) for key in one),
        "recipe": recipe.to_json(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "convforge": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def saved(folder: Path) -> int:
    """Steps of the newest state."""
    found = states(folder)
    return int(found[-1].stem.partition("-")[2]) if found else 0


def start(network: str, recipe: Recipe, size: int, folder: Path) -> list[int]:
    """Fork the processes of a team; gives their ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(size):
        child = os.fork()
        if child == 0:
            place = {"WORLD_SIZE": size, "RANK": rank, "MASTER_PORT": port}
            os.environ.update({key: str(value) for key, value in place.items()})
            os.environ["MASTER_ADDR"] = "127.0.0.1"
            work(network, recipe, folder)
        children.append(child)
    return children


def work(network: str, recipe: Recipe, folder: Path) -> None:
    """In a child: train in `folder`, save the classifier beside it, and exit."""
    code = 1
    try:
        classifier = train(
            made_up(),
            network=network,
            recipe=recipe,
            input_size=64,
            folder=folder,
            save_every=SAVE_EVERY,
        )
        if os.environ["RANK"] == "0":
            classifier.save(folder.with_suffix(".safetensors"))
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait(children: list[int]) -> None:
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(codes):
        raise SystemExit(f"a process failed: exit codes {codes}")


def load(folder: Path) -> dict[str, torch.Tensor]:
    return dict(Classifier.load(folder.with_suffix(".safetensors")).net.state_dict())


def made_up() -> Images:
    """Images of noise with a bright third, 100 to train on and 30 to validate on."""
    rng = np.random.default_rng(0)

    def part(name: str, count: int) -> Split:
        labels = np.arange(count) % 3
        pixels = rng.integers(0, 150, (count, 64, 64, 3), np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[20 * label : 20 * label + 20] += 80
        names = tuple(f"{name}/{i}" for i in range(count))
        return Split(name=name, names=names, labels=labels, read=pixels.__getitem__)

    splits = {"train": part("train", 100), "val": part("val", 30)}
    classes = ("bottom", "middle", "top")
    return Images(uri="made up", classes=classes, channels=3, splits=splits, fingerprint="0")


if __name__ == "__main__":
    main()
