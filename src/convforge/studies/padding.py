"""What a network makes of evidence at the border of an image, with and without padding.

Two networks that differ in padding alone learn small pictures that lie at random places of a larger
empty canvas, up to its very border. Then the same held-out pictures are asked for in the middle and
in the corners. Beside that it is counted how much of the last map each pixel leads to.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import nn

from convforge.images.augment import Augment
from convforge.networks.blocks import (
    ConvNormActivation,
    average_head,
    initialize_kaiming,
    sequence,
)
from convforge.networks.contract import ConvNet
from convforge.studies.learning import Sizes, decode, facts, learn_net, open_images, wrong_share
from convforge.studies.spread import Spread, difference
from convforge.studies.study import Column, Finding, Panel, Result, Series, percent
from convforge.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from convforge.images.dataset import Images, Split
    from convforge.networks.blocks import Padding
    from convforge.studies.learning import Pool
    from convforge.studies.study import Study, Task

    # place: errors over the seeds
    Errors = Mapping[str, Spread]

POLICIES: tuple[Padding, ...] = ("valid", "same")
PLACES = ("middle", "corner")
KERNELS = (5, 5, 3)
# `side` is that of the canvas; a picture has half of it.
SIZES = {
    "default": Sizes(side=32, epochs=15, seeds=5, images=1500, maps=8),
    "full": Sizes(side=64, epochs=60, seeds=10, held_out=None, maps=32),
}
COLUMNS = (
    Column("padding"),
    Column("error in the middle", "share"),
    Column("error in the corners", "share"),
    Column("corner less middle", "share"),
    Column("corner pixel's share of the middle's paths", "number"),
)


def run(study: Study, task: Task) -> Result:
    """Train both with every seed, and ask at both places; `maps` are those of the first layer."""
    sizes = SIZES[task.size].over(task)
    images = open_images(study, task, sizes)
    pools = {
        place: decode(on_canvas(images, place, side=sizes.side), task, side=sizes.side)
        for place in PLACES
    }
    # Pictures in the middle that are shifted by up to a quarter of the canvas lie anywhere on it.
    recipe = Recipe(
        epochs=sizes.epochs,
        batch_size=32,
        learning_rate=0.1,
        augment=Augment(shift=sizes.side // 4),
    )
    errors = _learn(pools, recipe, sizes=sizes, task=task)
    reach: dict[str, NDArray[np.float64]] = {
        padding: paths(padding, side=sizes.side) for padding in POLICIES
    }
    return Result(
        sizes={
            **facts(pools["middle"], recipe, sizes),
            "side of a picture in pixels": sizes.side // 2,
        },
        columns=COLUMNS,
        rows=tuple(
            (padding, *found.values(), gap(found), corner_share(reach[padding]))
            for padding, found in errors.items()
        ),
        findings=findings(errors, {name: corner_share(one) for name, one in reach.items()}),
        panels=(_paths_panel(reach), _errors_panel(errors)),
    )


def network(num_classes: int, in_channels: int, *, padding: Padding, maps: int) -> ConvNet:
    """Convolutions of KERNELS with normalisation and ReLU, pooling between, a mean at the end."""
    layers: dict[str, nn.Module] = {}
    channels = in_channels
    for index, kernel in enumerate(KERNELS):
        layers[f"conv{index + 1}"] = ConvNormActivation(
            channels, maps << index, kernel_size=kernel, padding=padding
        )
        if index < len(KERNELS) - 1:
            layers[f"pool{index + 1}"] = nn.MaxPool2d(2)
        channels = maps << index
    net = ConvNet(sequence(**layers), average_head(channels, num_classes))
    initialize_kaiming(net)
    return net


def on_canvas(images: Images, place: str, *, side: int) -> Images:
    """Every picture at half of `side` on an empty canvas: in the middle, or in a corner, by turns.

    Only what is held out goes to the corners.
    """

    def placed(split: Split) -> Split:
        corner = place == "corner" and split.name != "train"
        read = partial(_read, split, corner=corner, side=side)
        return dataclasses.replace(split, read=read, digests=(), read_small=None)

    parts = {name: placed(split) for name, split in images.splits.items()}
    return dataclasses.replace(images, splits=parts)


def _read(split: Split, index: int, *, corner: bool, side: int) -> NDArray[np.uint8]:
    inner = side // 2
    picture = Image.fromarray(split.load(index)).resize((inner, inner), Image.Resampling.BICUBIC)
    free = side - inner
    top, left = (index // 2 % 2 * free, index % 2 * free) if corner else (free // 2, free // 2)
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[top : top + inner, left : left + inner] = np.asarray(picture)
    return canvas


def _learn(
    pools: Mapping[str, Pool], recipe: Recipe, *, sizes: Sizes, task: Task
) -> dict[str, dict[str, Spread]]:
    """Padding → place → the error there, over the seeds."""
    found: dict[str, dict[str, list[float]]] = {
        padding: {place: [] for place in PLACES} for padding in POLICIES
    }
    turns = [(seed, padding) for seed in range(sizes.seeds) for padding in POLICIES]
    for done, (seed, padding) in enumerate(turns):
        net, _ = learn_net(
            pools["middle"],
            partial(network, padding=padding, maps=sizes.maps),
            label=padding,
            recipe=recipe,
            seed=seed,
            task=task,
            share=(done, len(turns)),
        )
        for place, pool in pools.items():
            at = dataclasses.replace(pool, preprocess=pools["middle"].preprocess)
            found[padding][place].append(wrong_share(net, at))
    return {
        padding: {place: Spread(tuple(values)) for place, values in places.items()}
        for padding, places in found.items()
    }


def paths(padding: Padding, *, side: int) -> NDArray[np.float64]:
    """[side, side]: how many paths lead from each pixel to the last map, of the most there are.

    All weights are 1 and pooling takes means, so that the gradient of the sum counts them;
    normalisation that has seen nothing only scales.
    """
    net = network(2, 1, padding=padding, maps=1).features
    layers = [nn.AvgPool2d(2) if isinstance(one, nn.MaxPool2d) else one for one in net]
    counting = nn.Sequential(*layers).double().eval()
    for layer in counting.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    x = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(counting(x).sum(), x)
    counts: NDArray[np.float64] = gradient[0, 0].numpy()
    return np.asarray(counts / counts.max())


def corner_share(reach: NDArray[np.float64]) -> float:
    """Paths of a corner's pixel over those of the middle's."""
    middle = len(reach) // 2
    return float(reach[0, 0] / reach[middle, middle])


def gap(errors: Errors) -> Spread:
    """Error in the corners less that in the middle, of each seed."""
    pairs = zip(errors["corner"].values, errors["middle"].values, strict=True)
    return Spread(tuple(corner - middle for corner, middle in pairs))


def findings(errors: Mapping[str, Errors], shares: Mapping[str, float]) -> tuple[Finding, ...]:
    """What is counted, and what the networks make of it."""
    found = difference(gap(errors["same"]), gap(errors["valid"]))
    at_corner = difference(errors["same"]["corner"], errors["valid"]["corner"])
    return (
        Finding(
            claim="A pixel in the corner leads to fewer places than one in the middle, and to "
            "fewest without padding",
            rule="holds where the counts are so",
            measured=f"of the middle's paths, {shares['valid']:.4f} without padding, "
            f"{shares['same']:.4f} with it",
            verdict="holds" if shares["valid"] < shares["same"] < 1 else "does not hold",
        ),
        Finding(
            claim="Without padding a picture loses more by lying in a corner than with it",
            measured=f"corner less middle, with padding less without: {percent(found)}",
            verdict=found.verdict_below,
        ),
        Finding(
            claim="In the corners the error is lower with padding",
            measured=f"with padding less without: {percent(at_corner)}",
            verdict=at_corner.verdict_below,
        ),
    )


def _paths_panel(reach: Mapping[str, NDArray[np.float64]]) -> Panel:
    return Panel(
        title="ways from a pixel to the last map",
        x="column of the pixel, in the middle row",
        y="ways, as a share of the most",
        series=tuple(
            Series(
                label=name,
                x=tuple(map(float, range(len(counts)))),
                y=tuple(counts[len(counts) // 2].tolist()),
                colour=colour,
            )
            for colour, (name, counts) in enumerate(reach.items())
        ),
    )


def _errors_panel(errors: Mapping[str, Errors]) -> Panel:
    return Panel(
        title="error by place",
        x="where the picture lies",
        y="test error",
        share=True,
        ticks=PLACES,
        series=tuple(
            Series(
                label=name,
                x=tuple(map(float, range(len(PLACES)))),
                y=tuple(found[place].mean for place in PLACES),
                low=tuple(min(found[place].values) for place in PLACES),
                high=tuple(max(found[place].values) for place in PLACES),
                style="bars",
                colour=colour,
            )
            for colour, (name, found) in enumerate(errors.items())
        ),
    )
