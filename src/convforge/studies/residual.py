"""What the parts of MobileNet v2's block are worth: Sandler et al. 2018, section 6.4.

A small network of inverted residuals, with one thing changed at a time: no shortcut, ReLU6 on the
way out, other expansions. Networks of another expansion have as many more or fewer maps as bring
them nearest to the same multiply-adds.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from convforge.analysis.summary import describe
from convforge.images.augment import Augment
from convforge.networks.blocks import (
    ConvNormActivation,
    average_head,
    initialize_kaiming,
    sequence,
)
from convforge.networks.contract import ConvNet
from convforge.networks.mobilenet_v2 import InvertedResidual
from convforge.studies.learning import Sizes, course_series, facts, last, learn_all, open_pool
from convforge.studies.spread import difference
from convforge.studies.study import Column, Finding, Panel, Result, percent
from convforge.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.studies.learning import Build, Pool, Run
    from convforge.studies.study import Study, Task


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One network of the ablation."""

    expansion: int = 6
    shortcut: bool = True
    linear: bool = True


VARIANTS = {
    "the paper's": Variant(),
    "no shortcut": Variant(shortcut=False),
    "ReLU6 on the way out": Variant(linear=False),
    "expansion 3": Variant(expansion=3),
    "expansion 1": Variant(expansion=1),
}
BLOCKS = 3  # a stage; the first of a stage has no shortcut
SIZES = {
    "default": Sizes(side=16, epochs=8, seeds=3, images=1500, maps=8),
    "full": Sizes(side=32, epochs=100, seeds=5, held_out=None, maps=24),
}
COLUMNS = (
    Column("network"),
    Column("expansion", "count"),
    Column("maps", "count"),
    Column("MACs", "count"),
    Column("training error", "share"),
    Column("test error", "share"),
)


def run(study: Study, task: Task) -> Result:
    """Train every variant with every seed; `maps` are those of the first stage, at expansion 6."""
    sizes = SIZES[task.size].over(task)
    pool = open_pool(study, task, sizes)
    maps = {name: equal_maps(variant, pool, maps=sizes.maps) for name, variant in VARIANTS.items()}
    builds: dict[str, Build] = {
        name: partial(network, variant=variant, maps=maps[name])
        for name, variant in VARIANTS.items()
    }
    recipe = Recipe(
        epochs=sizes.epochs,
        batch_size=32,
        learning_rate=0.1,
        augment=Augment(shift=sizes.side // 8, flip=sizes.side >= 32),
    )
    runs = learn_all(pool, builds, recipes=dict.fromkeys(builds, recipe), sizes=sizes, task=task)
    return Result(
        sizes={
            **facts(pool, recipe, sizes),
            "blocks": 3 * BLOCKS,
        },
        columns=COLUMNS,
        rows=tuple(
            (
                name,
                VARIANTS[name].expansion,
                maps[name],
                macs(VARIANTS[name], pool, maps=maps[name]),
                last(found, held_out=False),
                last(found, held_out=True),
            )
            for name, found in runs.items()
        ),
        findings=findings(runs),
        panels=(_panel(runs),),
    )


def network(num_classes: int, in_channels: int, *, variant: Variant, maps: int) -> ConvNet:
    """Three stages of `maps`, 2 and 4 times as many, the last two at half and quarter size."""
    layers: dict[str, nn.Module] = {
        "stem": ConvNormActivation(in_channels, maps, kernel_size=3, activation=nn.ReLU6)
    }
    channels = maps
    for stage in range(3):
        for index in range(BLOCKS):
            halves = stage > 0 and index == 0
            block = InvertedResidual(
                channels, maps << stage, stride=1 + halves, expansion=variant.expansion
            )
            block.has_shortcut = block.has_shortcut and variant.shortcut
            channels = maps << stage
            name = f"block{len(layers)}"
            layers[name] = block if variant.linear else sequence(block=block, activation=nn.ReLU6())
    last_maps = 8 * maps
    layers["last"] = ConvNormActivation(channels, last_maps, kernel_size=1, activation=nn.ReLU6)
    net = ConvNet(sequence(**layers), average_head(last_maps, num_classes))
    initialize_kaiming(net)
    return net


def macs(variant: Variant, pool: Pool, *, maps: int) -> int:
    """Multiply-adds of a variant for one image."""
    with torch.device("meta"):
        net = network(len(pool.images.classes), pool.images.channels, variant=variant, maps=maps)
    shape = (pool.images.channels, pool.side, pool.side)
    return describe(net, input_shape=shape).macs


def equal_maps(variant: Variant, pool: Pool, *, maps: int) -> int:
    """The maps that bring a variant nearest to the paper's block with `maps`, in multiply-adds."""
    wanted = macs(Variant(), pool, maps=maps)
    tried = range(maps, 5 * maps, 2)
    above = bisect_left(tried, wanted, key=lambda count: macs(variant, pool, maps=count))
    near = tried[max(above - 1, 0) : above + 1]
    return min(near, key=lambda count: abs(macs(variant, pool, maps=count) - wanted))


def findings(runs: Mapping[str, tuple[Run, ...]]) -> tuple[Finding, ...]:
    """The paper's block against each change."""
    claims = {
        "no shortcut": "Without shortcuts the test error is higher",
        "ReLU6 on the way out": "With ReLU6 on the way out the test error is higher",
        "expansion 1": "At equal multiply-adds, blocks that do not expand err more",
    }
    return tuple(_worse(runs, other, claim) for other, claim in claims.items())


def _worse(runs: Mapping[str, tuple[Run, ...]], other: str, claim: str) -> Finding:
    found = difference(last(runs["the paper's"], held_out=True), last(runs[other], held_out=True))
    return Finding(
        claim=claim,
        measured=f"the paper's less {other}: {percent(found)}",
        verdict=found.verdict_below,
    )


def _panel(runs: Mapping[str, tuple[Run, ...]]) -> Panel:
    return Panel(
        title="test error, one change at a time",
        x="epoch",
        y="test error",
        share=True,
        series=tuple(
            course_series(found, label=name, colour=colour, held_out=True)
            for colour, (name, found) in enumerate(runs.items())
        ),
    )
