"""Plain against residual at 20 and 56 layers: He et al. 2016, section 4.2 and figure 6.

Both are the paper's networks for CIFAR-10, a plain one its twin without shortcuts. By default they
have half of the maps and see small images for few epochs; at full size it is section 4.2 as it
stands, where images of CIFAR-10 are given.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from convforge.images.augment import Augment
from convforge.networks.catalog import create
from convforge.studies.learning import Sizes, course_series, facts, last, learn_all, open_pool
from convforge.studies.spread import difference, worst
from convforge.studies.study import Column, Finding, Panel, Result, percent
from convforge.training.recipes import PAPER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.networks.contract import ConvNet
    from convforge.studies.learning import Build, Pool, Run
    from convforge.studies.study import Study, Task

LAYERS = (20, 56)
# kind: its networks of the catalogue, before the number of layers
FAMILIES = {"plain": "plain", "residual": "resnet"}
MAPS = 16  # of the first stage, in the paper
SIZES = {
    "default": Sizes(side=16, epochs=10, seeds=3, images=1500, held_out=1000, maps=8),
    "full": Sizes(side=32, epochs=182, seeds=5, held_out=None, maps=16),
}
COLUMNS = (
    Column("network"),
    Column("parameters", "count"),
    Column("training error", "share"),
    Column("test error", "share"),
    Column("seconds a run", "number"),
)


def run(study: Study, task: Task) -> Result:
    """Train all four with every seed; `maps` are those of the first stage."""
    sizes = SIZES[task.size].over(task)
    pool = open_pool(study, task, sizes)
    builds: dict[str, Build] = {
        f"{kind}-{layers}": partial(network, f"{family}{layers}", maps=sizes.maps)
        for kind, family in FAMILIES.items()
        for layers in LAYERS
    }
    # Small images are not mirrored: of digits that would be others.
    augment = Augment(shift=sizes.side // 8, flip=sizes.side >= 32)
    recipe = dataclasses.replace(
        PAPER["resnet20"],
        epochs=sizes.epochs,
        batch_size=128 if task.size == "full" else 64,
        augment=augment,
    )
    runs = learn_all(pool, builds, recipes=dict.fromkeys(builds, recipe), sizes=sizes, task=task)
    return Result(
        sizes={
            **facts(pool, recipe, sizes),
            "maps of the first stage": sizes.maps,
        },
        columns=COLUMNS,
        rows=tuple(
            (
                name,
                weights(builds[name], pool),
                last(found, held_out=False),
                last(found, held_out=True),
                found[0].seconds[-1],
            )
            for name, found in runs.items()
        ),
        findings=findings(runs),
        panels=tuple(_panel(kind, runs) for kind in FAMILIES),
    )


def network(name: str, num_classes: int, in_channels: int, *, maps: int) -> ConvNet:
    """The network of the catalogue whose first stage has so many maps."""
    return create(name, num_classes=num_classes, in_channels=in_channels, width=maps / MAPS)


def weights(build: Build, pool: Pool) -> int:
    """Trainable parameters of a network for the pool's images."""
    net = build(len(pool.images.classes), pool.images.channels)
    return sum(parameter.numel() for parameter in net.parameters())


def findings(runs: Mapping[str, tuple[Run, ...]]) -> tuple[Finding, ...]:
    """What the errors in the last epoch say of the three parts of the claim."""
    return (
        _less(runs, "plain-20", "plain-56", "A plain network of 56 layers is worse than one of 20"),
        _less(
            runs,
            "residual-56",
            "residual-20",
            "A residual network of 56 layers is better than one of 20",
        ),
        _less(
            runs,
            "residual-56",
            "plain-56",
            "At 56 layers the residual network is better than the plain one",
        ),
    )


def _less(runs: Mapping[str, tuple[Run, ...]], better: str, worse: str, claim: str) -> Finding:
    found = {
        part: difference(
            last(runs[better], held_out=held_out), last(runs[worse], held_out=held_out)
        )
        for part, held_out in (("training", False), ("test", True))
    }
    return Finding(
        claim=f"{claim}, in training and test error",
        measured="; ".join(
            f"{better} less {worse}, {part} error: {percent(one)}" for part, one in found.items()
        ),
        verdict=worst(*(one.verdict_below for one in found.values())),
    )


def _panel(kind: str, runs: Mapping[str, tuple[Run, ...]]) -> Panel:
    """As figure 6: error over the epochs, dashed in training, thick on held-out images."""
    return Panel(
        title=kind,
        x="epoch",
        y="error",
        share=True,
        series=tuple(
            course_series(
                runs[f"{kind}-{layers}"],
                label=f"{layers} layers, {'test' if held_out else 'training'}",
                colour=colour,
                held_out=held_out,
            )
            for colour, layers in enumerate(LAYERS)
            for held_out in (False, True)
        ),
    )
