"""An AlexNet-style network with and without local response normalisation.

Krizhevsky et al. 2012, section 3.3: after the ReLU of the first two convolutions, before the
pooling. The network is small, for small images: three convolutions, overlapping pooling, a linear
layer; all constants of the normalisation are the paper's. The rate of each is chosen by the
training error of a seed that is not among those that are measured.
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
    choose_rate,
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
    from convforge.studies.learning import Build, Pool, Run
    from convforge.studies.study import Study, Task

VARIANTS = ("with", "without")
SIZES = {
    "default": Sizes(side=16, epochs=12, seeds=5, images=1500, maps=32),
    "full": Sizes(side=32, epochs=90, seeds=5, held_out=None, maps=64),
}
SESSIONS = 5
# The normalisation makes maps smaller, and gradients with them: each network has a rate of its own.
RATES = (0.01, 0.03, 0.1, 0.3)
COLUMNS = (
    Column("normalisation"),
    Column("learning rate", "number"),
    Column("training error", "share"),
    Column("test error", "share"),
    Column("seconds of training", "number"),
    Column("ms an image, compiled", "number"),
)


def run(study: Study, task: Task) -> Result:
    """Train both with every seed; `maps` are those of the first convolution."""
    sizes = SIZES[task.size].over(task)
    pool = open_pool(study, task, sizes)
    make = partial(network, maps=sizes.maps)
    builds: dict[str, Build] = {name: partial(make, normalised=name == "with") for name in VARIANTS}
    recipe = dataclasses.replace(
        PAPER["alexnet"],
        epochs=sizes.epochs,
        batch_size=32,
        augment=Augment(shift=sizes.side // 8, flip=sizes.side >= 32),
    )
    recipes = {
        name: choose_rate(
            pool, build, label=name, recipe=recipe, rates=RATES, badness=badness, task=task
        )
        for name, build in builds.items()
    }
    runs = learn_all(pool, builds, recipes=recipes, sizes=sizes, task=task)
    timed = _time(builds, pool, task)
    return Result(
        sizes={
            **facts(pool, recipe, sizes),
            "learning rate": f"the best of {', '.join(map(str, RATES))}",
            "first maps": sizes.maps,
        },
        columns=COLUMNS,
        rows=tuple(
            (
                name,
                recipes[name].learning_rate,
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


def badness(run: Run) -> tuple[float, float]:
    """Of a rate: the training error in the last epoch, then that of all epochs."""
    return run.train_error[-1], sum(run.train_error)


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


def _time(builds: Mapping[str, Build], pool: Pool, task: Task) -> dict[str, Timed]:
    shape = (1, pool.images.channels, pool.side, pool.side)
    modules = {name: (named(build, pool, label=name), shape) for name, build in builds.items()}
    return time_by_turns(modules, sessions=SESSIONS, task=task)


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
