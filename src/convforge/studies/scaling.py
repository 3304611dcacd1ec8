"""Depth, width and resolution grown alone and together, at equal cost: Tan and Le 2019.

A residual network for small images is grown to four times its multiply-adds (phi = 2): by blocks
alone, by maps alone, by pixels alone, and by the compound rule with the paper's coefficients. What
the rounding to whole blocks, maps and pixels makes of that is counted and stands beside it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from convforge.analysis.scaling import Rule, rule_of
from convforge.analysis.summary import describe
from convforge.images.augment import Augment
from convforge.networks.blocks import (
    ConvNormActivation,
    average_head,
    initialize_kaiming,
    sequence,
)
from convforge.networks.contract import ConvNet
from convforge.networks.resnet import Residual
from convforge.studies.latency import remarks, time_by_turns
from convforge.studies.learning import (
    Sizes,
    decode,
    facts,
    last,
    learn,
    named,
    open_images,
)
from convforge.studies.spread import difference
from convforge.studies.study import Column, Finding, Panel, Result, Series, percent
from convforge.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from convforge.analysis.scaling import Factors
    from convforge.studies.latency import Timed
    from convforge.studies.learning import Build, Pool, Run
    from convforge.studies.study import Study, Task


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A network of the family: blocks in all, maps of the first stage, side of the input."""

    blocks: int
    maps: int
    side: int


PHI = 2.0  # four times the multiply-adds
RULES = {
    "depth": rule_of(depth=1, width=0, resolution=0),
    "width": rule_of(depth=0, width=1, resolution=0),
    "resolution": rule_of(depth=0, width=0, resolution=1),
    "all": Rule().normalized(),
}
BLOCKS = 6
STAGES = 3
SESSIONS = 5
SIZES = {
    "default": Sizes(side=16, epochs=8, seeds=3, images=1500, maps=8),
    "full": Sizes(side=64, epochs=60, seeds=5, held_out=None, maps=16),
}
RESOLUTION = (
    "Larger inputs show more only where the images have more: the digits have 8x8 pixels, and "
    "growing their resolution adds none to them."
)
COLUMNS = (
    Column("grown"),
    Column("blocks", "count"),
    Column("maps", "count"),
    Column("pixels", "count"),
    Column("MACs", "count"),
    Column("training error", "share"),
    Column("test error", "share"),
    Column("ms an image, compiled", "number"),
)


def run(study: Study, task: Task) -> Result:
    """Train the base and all that it grows to with every seed, then time them compiled."""
    sizes = SIZES[task.size].over(task)
    images = open_images(study, task, sizes)
    base = Plan(blocks=BLOCKS, maps=sizes.maps, side=sizes.side)
    plans = {"nothing": base, **{name: nearest(base, rule) for name, rule in RULES.items()}}
    pools = {side: decode(images, task, side=side) for side in {p.side for p in plans.values()}}
    recipe = Recipe(
        epochs=sizes.epochs,
        batch_size=32,
        learning_rate=0.1,
        augment=Augment(shift=2, flip=task.size == "full"),
    )
    runs = _learn(plans, pools, recipe, sizes=sizes, task=task)
    timed = _time(plans, pools, task)
    return Result(
        sizes={
            **facts(pools[base.side], recipe, sizes),
            "multiply-adds wanted, times the base's": 2**PHI,
        },
        columns=COLUMNS,
        rows=tuple(
            (
                name,
                plan.blocks,
                plan.maps,
                plan.side,
                timed[name].macs,
                last(runs[name], held_out=False),
                last(runs[name], held_out=True),
                timed[name].ms,
            )
            for name, plan in plans.items()
        ),
        findings=findings(runs),
        panels=(_errors_panel(runs), _front_panel(runs, timed)),
        remarks=(
            *remarks(timed),
            RESOLUTION,
        ),
    )


def grown(base: Plan, factors: Factors) -> Plan:
    """The base grown, rounded to whole blocks, an even number of maps, and whole pixels."""
    return Plan(
        blocks=round(base.blocks * factors.depth),
        maps=2 * round(base.maps * factors.width / 2),
        side=round(base.side * factors.resolution),
    )


def nearest(base: Plan, rule: Rule) -> Plan:
    """The base grown by a rule to about PHI, whatever rounds nearest to its multiply-adds times 4.

    phi is tried around PHI, the nearest of equals is taken.
    """
    wanted = 2**PHI * macs(base)
    tried = sorted((PHI + step / 30 for step in range(-12, 13)), key=lambda phi: abs(phi - PHI))
    plans = dict.fromkeys(grown(base, rule.at(phi)) for phi in tried)
    return min(plans, key=lambda plan: abs(macs(plan) - wanted))


def network(num_classes: int, in_channels: int, *, plan: Plan) -> ConvNet:
    """A convolution and three stages of residual blocks; what does not divide goes to the last."""
    layers: dict[str, nn.Module] = {
        "stem": ConvNormActivation(in_channels, plan.maps, kernel_size=3)
    }
    channels = plan.maps
    for stage in range(STAGES):
        first, end = (plan.blocks * (stage + more) // STAGES for more in (0, 1))
        for index in range(end - first):
            halves = stage > 0 and index == 0
            layers[f"block{len(layers)}"] = Residual(
                channels, plan.maps << stage, stride=1 + halves
            )
            channels = plan.maps << stage
    net = ConvNet(sequence(**layers), average_head(channels, num_classes))
    initialize_kaiming(net)
    return net


def macs(plan: Plan, *, in_channels: int = 1) -> int:
    """Multiply-adds of a plan for one image."""
    with torch.device("meta"):
        net = network(10, in_channels, plan=plan)
    return describe(net, input_shape=(in_channels, plan.side, plan.side)).macs


def findings(runs: Mapping[str, tuple[Run, ...]]) -> tuple[Finding, ...]:
    """All together against each alone."""
    found = []
    for name in ("depth", "width", "resolution"):
        one = difference(last(runs["all"], held_out=True), last(runs[name], held_out=True))
        found.append(
            Finding(
                claim=f"Grown together, the network errs less than with {name} grown alone",
                measured=f"all less {name}, test error: {percent(one)}",
                verdict=one.verdict_below,
            )
        )
    return tuple(found)


def _learn(
    plans: Mapping[str, Plan],
    pools: Mapping[int, Pool],
    recipe: Recipe,
    *,
    sizes: Sizes,
    task: Task,
) -> dict[str, tuple[Run, ...]]:
    """As `learn_all`, each network on images of its own size."""
    runs: dict[str, list[Run]] = {name: [] for name in plans}
    turns = [(seed, name) for seed in range(sizes.seeds) for name in plans]
    for done, (seed, name) in enumerate(turns):
        plan = plans[name]
        # A shift is a share of the image, as large on each of them.
        shift = max(1, plan.side // 8)
        own = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, shift=shift))
        build: Build = partial(network, plan=plan)
        run_ = learn(
            pools[plan.side],
            build,
            label=name,
            recipe=own,
            seed=seed,
            task=task,
            share=(done, len(turns)),
        )
        runs[name].append(run_)
    return {name: tuple(found) for name, found in runs.items()}


def _time(plans: Mapping[str, Plan], pools: Mapping[int, Pool], task: Task) -> dict[str, Timed]:
    modules = {}
    for name, plan in plans.items():
        pool = pools[plan.side]
        net = named(partial(network, plan=plan), pool, label=name)
        modules[name] = (net, (1, *net.input_shape))
    return time_by_turns(modules, sessions=SESSIONS, task=task)


def _errors_panel(runs: Mapping[str, tuple[Run, ...]]) -> Panel:
    errors = {name: last(found, held_out=True) for name, found in runs.items()}
    return Panel(
        title="four times the multiply-adds, spent on",
        x="",
        y="test error",
        share=True,
        ticks=tuple(errors),
        series=(
            Series(
                label="mean, and all seeds",
                x=tuple(map(float, range(len(errors)))),
                y=tuple(one.mean for one in errors.values()),
                low=tuple(min(one.values) for one in errors.values()),
                high=tuple(max(one.values) for one in errors.values()),
                style="bars",
            ),
        ),
    )


def _front_panel(runs: Mapping[str, tuple[Run, ...]], timed: Mapping[str, Timed]) -> Panel:
    return Panel(
        title="error and time",
        x="ms an image, compiled",
        y="test error",
        share=True,
        series=tuple(
            Series(
                label=name,
                x=(timed[name].ms.mean,),
                y=(error.mean,),
                low=(min(error.values),),
                high=(max(error.values),),
                style="points",
                colour=colour,
            )
            for colour, (name, error) in enumerate(
                (name, last(found, held_out=True)) for name, found in runs.items()
            )
        ),
    )
