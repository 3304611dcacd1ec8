"""Trials: a candidate trained for a short time, on a part of the images, measured on another.

Both parts are of "train": what is held out to validate and to test on has no say in the choice.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from convforge.classifier import Classifier
from convforge.errors import DataError
from convforge.evaluation import evaluate
from convforge.images.cache import Cache
from convforge.networks.catalog import create
from convforge.scaling.plan import Speed
from convforge.training.machine import Machine
from convforge.training.pixels import read_pixels
from convforge.training.trainer import train
from convforge.training.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.images.dataset import Images
    from convforge.images.threads import Progress
    from convforge.training.recipe import Recipe

SET_ASIDE = 0.2  # of "train" is measured on
MOST_SET_ASIDE = 2000  # images
_PROBED = 256  # images that a step is timed on


def parts_of(images: Images, *, count: int | None = None, seed: int) -> Images:
    """Of "train": `count` images to train on, all where it is None, and others as "test".

    Every class has its share of both, by a hash of seed and name. Raises DataError where no class
    has two images.
    """
    whole = images.splits["train"]
    share = min(SET_ASIDE, MOST_SET_ASIDE / len(whole))
    held: list[int] = []
    rest: list[tuple[float, int]] = []
    for label in np.unique(whole.labels):
        rows = np.flatnonzero(whole.labels == label).tolist()
        rows.sort(key=lambda row: _rank(whole.names[row], seed))
        aside = min(max(1, round(share * len(rows))), len(rows) - 1)
        held += rows[:aside]
        rest += [(place / len(rows), row) for place, row in enumerate(rows[aside:])]
    if not held:
        raise DataError(f"{images.uri}: no class has two images to train on; add some")
    rest.sort()  # every class by turns, so that the first ones are a fair part
    kept = [row for _, row in rest[:count]]
    return dataclasses.replace(
        images,
        splits={
            "train": whole.select(sorted(kept)),
            "test": dataclasses.replace(whole.select(sorted(held)), name="test"),
        },
    )


def chance_of(images: Images) -> float:
    """Share of right answers on "test", of `parts_of`, that a guess stays below, but for luck."""
    labels = images.splits["test"].labels
    guess = float(np.bincount(labels).max() / len(labels))
    return guess + 3 * float(np.sqrt(guess * (1 - guess) / len(labels)))


def try_out(
    network: str,
    arguments: Mapping[str, Any],
    *,
    images: Images,
    recipe: Recipe,
    device: str,
    progress: Progress | None,
) -> Classifier:
    """What was trained on "train" and measured on "test", both of `parts_of`."""
    return train(
        images,
        network=network,
        arguments={name: arguments[name] for name in ("width", "depth")},
        input_size=arguments["input_size"],
        recipe=recipe,
        device=device,
        progress=progress,
    )


def as_winner(trial: Classifier, *, images: Images, trained_on: int) -> Classifier:
    """A trial on `trained_on` images to be handed out, measured on what `images` hold out."""
    metrics = {"train": {**trial.card.metrics["train"], "images": trained_on}}
    for name in ("val", "test"):
        if name in images.splits:
            metrics[name] = evaluate(trial, images, split=name).summary()
    metrics["seconds"] = trial.card.metrics["seconds"]
    return Classifier(trial.net, dataclasses.replace(trial.card, metrics=metrics))


def speed_of(
    network: str,
    able: Mapping[int, Mapping[str, Any]],
    *,
    images: Images,
    recipe: Recipe,
    device: str,
) -> Speed:
    """How fast networks of given arguments learn, by multiply-adds: both ends are timed."""
    few, most = min(able), max(able)
    timed = {
        macs: pass_seconds(network, able[macs], images=images, recipe=recipe, device=device)
        for macs in sorted({few, most})
    }
    speed = Speed(macs=most, seconds=timed[most])
    return speed if few == most else speed.through(few, timed[few])


def pass_seconds(
    network: str, arguments: Mapping[str, Any], *, images: Images, recipe: Recipe, device: str
) -> float:
    """Seconds in which a network learns from one image, by a few steps that are timed."""
    few = parts_of(images, count=max(_PROBED, 2 * recipe.batch_size), seed=recipe.seed)
    splits = {"train": few.splits["train"]}
    with torch.random.fork_rng(devices=[]):
        net = create(
            network, num_classes=len(images.classes), in_channels=images.channels, **arguments
        )
    decoded, preprocess = read_pixels(
        dataclasses.replace(few, splits=splits),
        input_shape=net.input_shape,
        crop=recipe.augment.crop,
        cache=Cache(),
    )
    trial = Trial(net.to(device), decoded, preprocess=preprocess)
    step = trial.step_seconds(recipe, machine=Machine(device=device, channels_last=True))
    return step / min(recipe.batch_size, len(splits["train"]))


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"scale/{seed}/{name}".encode()).digest()
