"""An AlexNet-style network with and without local response normalisation.

Krizhevsky et al. 2012, section 3.3: after the ReLU of the first two convolutions, before the
pooling. The network is small, for small images: three convolutions, overlapping pooling, a linear
layer; all constants of the normalisation are the paper's.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from convforge.images.augment import Augment
from convforge.networks.blocks import (
    LocalResponseNorm,
    average_head,
    conv2d,
    initialize_kaiming,
    sequence,
)
from convforge.networks.contract import ConvNet
from convforge.studies.latency import remarks, time_by_turns
from convforge.studies.learning import (
    Sizes,
    course_series,
    facts,
    last,
    learn_all,
    named,
    open_pool,
)
from convforge.studies.spread import difference
from convforge.studies.study import Column, Finding, Panel, Result, percent
from convforge.training.recipes import PAPER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.studies.latency import Timed
    from convforge.studies.learning import Build, Run
    from convforge.studies.study import Study, Task

VARIANTS = ("with", "without")
SIZES = {
    "default": Sizes(side=16, epochs=15, seeds=5, images=1500, maps=32),
    "full": Sizes(side=32, epochs=90, seeds=5, held_out=None, maps=64),
}
SESSIONS = 5
COLUMNS = (
    Column("normalisation"),
    Column("training error", "share"),
    Column("test error", "share"),
    Column("seconds of training", "number"),
    Column("ms an image, compiled", "number"),
)


def run(study: Study, task: Task) -> Result:
    """Train both with every seed; `maps` are those of the first convolution."""
    sizes = SIZES[task.size].over(task)
    pool = open_pool(study, task, sizes)
    builds: dict[str, Build] = {
        name: partial(network, normalised=name == "with", maps=sizes.maps) for name in VARIANTS
    }
    recipe = dataclasses.replace(
        PAPER["alexnet"],
        epochs=sizes.epochs,
        batch_size=32,
        augment=Augment(shift=sizes.side // 8, flip=sizes.side >= 32),
    )
    runs = learn_all(pool, builds, recipes=dict.fromkeys(VARIANTS, recipe), sizes=sizes, task=task)
    shape = (1, pool.images.channels, sizes.side, sizes.side)
    timed = time_by_turns(
        {name: (named(builds[name], pool, label=name), shape) for name in VARIANTS},
        sessions=SESSIONS,
        task=task,
    )
    return Result(
        sizes={
            **facts(pool, recipe, sizes),
            "maps of the first convolution": sizes.maps,
        },
        columns=COLUMNS,
        rows=tuple(
            (
                name,
                last(found, held_out=False),
                last(found, held_out=True),
                sum(one.seconds[-1] for one in found) / len(found),
                timed[name].ms,
            )
            for name, found in runs.items()
        ),
        findings=findings(runs, timed),
        panels=(_panel(runs),),
        remarks=remarks(timed),
    )


def network(num_classes: int, in_channels: int, *, normalised: bool, maps: int) -> ConvNet:
    """Three convolutions as AlexNet's first, third and fifth, of `maps`, 2 and 2 times as many."""
    layers: dict[str, nn.Module] = {}
    channels = in_channels
    for number, (out, kernel) in enumerate(((maps, 5), (2 * maps, 5), (2 * maps, 3)), start=1):
        layers[f"conv{number}"] = conv2d(channels, out, kernel_size=kernel)
        layers[f"relu{number}"] = nn.ReLU()
        if number < 3:
            if normalised:
                layers[f"norm{number}"] = LocalResponseNorm()
            layers[f"pool{number}"] = nn.MaxPool2d(3, stride=2)
        channels = out
    net = ConvNet(sequence(**layers), average_head(channels, num_classes))
    initialize_kaiming(net)
    return net


def findings(
    runs: Mapping[str, tuple[Run, ...]], timed: Mapping[str, Timed]
) -> tuple[Finding, ...]:
    """The error, and what Simonyan and Zisserman say of the cost."""
    error = difference(*(last(runs[name], held_out=True) for name in VARIANTS))
    ms = difference(*(timed[name].ms for name in VARIANTS))
    return (
        Finding(
            claim="With local response normalisation the test error is lower",
            measured=f"with less without: {percent(error)}",
            verdict=error.verdict_below,
        ),
        Finding(
            claim="It takes more time",
            measured=f"with less without, compiled: {ms.estimate:+.4f} ms an image "
            f"[{ms.low:+.4f}, {ms.high:+.4f}]",
            verdict=ms.verdict_above,
        ),
    )


def _panel(runs: Mapping[str, tuple[Run, ...]]) -> Panel:
    return Panel(
        title="with and without normalisation",
        x="epoch",
        y="error",
        share=True,
        series=tuple(
            course_series(
                runs[name],
                label=f"{name}, {'test' if held_out else 'training'}",
                colour=colour,
                held_out=held_out,
            )
            for colour, name in enumerate(VARIANTS)
            for held_out in (False, True)
        ),
    )
