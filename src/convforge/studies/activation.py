"""LeNet-5 with tanh, sigmoid and ReLU: how fast each learns, at a rate of its own.

Krizhevsky et al. 2012, section 3.1: "the learning rates for each network were chosen independently
to make training as fast as possible". So are they here, with a seed that is not among those that
are measured. All else is `lenet5_relu`, max pooling included.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Literal

from torch import nn

from convforge.networks.catalog import create
from convforge.studies.learning import (
    Sizes,
    choose_rate,
    course_series,
    facts,
    last,
    learn_all,
    open_pool,
    until,
)
from convforge.studies.spread import Spread, difference
from convforge.studies.study import Column, Finding, Panel, Result
from convforge.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convforge.networks.contract import ConvNet
    from convforge.studies.learning import Build, Run
    from convforge.studies.study import Study, Task

Name = Literal["tanh", "sigmoid", "relu"]
ACTIVATIONS: dict[Name, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
}
SIZES = {
    # Few images, so that an epoch is short and its end finely placed.
    "default": Sizes(side=32, epochs=36, seeds=5, images=384),
    "full": Sizes(side=32, epochs=40, seeds=10, held_out=None),
}
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
THRESHOLD = 0.25  # of training error, the paper's
CENSORED = (
    "A run that never reaches 25 % counts with all of its epochs, which is less than it would have "
    "taken."
)
COLUMNS = (
    Column("activation"),
    Column("learning rate", "number"),
    Column("epochs to 25 % training error", "number"),
    Column("training error", "share"),
    Column("test error", "share"),
)


def run(study: Study, task: Task) -> Result:
    """Choose the rates, then train each activation with every seed."""
    sizes = SIZES[task.size].over(task)
    pool = open_pool(study, task, sizes)
    builds: dict[str, Build] = {name: partial(network, name=name) for name in ACTIVATIONS}
    plain = Recipe(
        epochs=sizes.epochs,
        batch_size=32,
        optimizer="momentum",
        schedule="linear",
        warmup=0.0,
        weight_decay=5e-4,
        label_smoothing=0.0,
    )
    recipes = {
        name: choose_rate(
            pool, build, label=name, recipe=plain, rates=RATES, badness=badness, task=task
        )
        for name, build in builds.items()
    }
    runs = learn_all(pool, builds, recipes=recipes, sizes=sizes, task=task)
    reached = {name: epochs_to_threshold(found) for name, found in runs.items()}
    return Result(
        sizes={
            **facts(pool, plain, sizes),
            "learning rate": f"the best of {', '.join(map(str, RATES))}",
        },
        columns=COLUMNS,
        rows=tuple(
            (
                name,
                recipes[name].learning_rate,
                reached[name],
                last(found, held_out=False),
                last(found, held_out=True),
            )
            for name, found in runs.items()
        ),
        findings=findings(reached),
        panels=(_panel(runs),),
        remarks=(CENSORED,),
    )


def network(num_classes: int, in_channels: int, *, name: Name) -> ConvNet:
    """`lenet5_relu` with another activation, its weights drawn as Glorot and Bengio 2010 do."""
    net = create("lenet5_relu", num_classes=num_classes, in_channels=in_channels)
    for part in (net.features, net.head):
        for child, layer in list(part.named_children()):
            if isinstance(layer, nn.ReLU):
                setattr(part, child, ACTIVATIONS[name]())
            elif isinstance(layer, nn.Conv2d | nn.Linear) and name != "relu":
                nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain(name))
    return net


def badness(run: Run) -> tuple[float, float]:
    """Of a rate: epochs to the threshold, then the error in the last one."""
    reached = until(run, THRESHOLD)
    return len(run.train_error) if reached is None else reached, run.train_error[-1]


def epochs_to_threshold(runs: tuple[Run, ...]) -> Spread:
    """Epochs until the training error is THRESHOLD, over the seeds."""
    return Spread(tuple(badness(run)[0] for run in runs))


def findings(reached: Mapping[str, Spread]) -> tuple[Finding, ...]:
    """ReLU before tanh, and tanh before the sigmoid."""
    return tuple(
        _sooner(reached, sooner=sooner, later=later)
        for sooner, later in (("relu", "tanh"), ("tanh", "sigmoid"))
    )


def _sooner(reached: Mapping[str, Spread], *, sooner: str, later: str) -> Finding:
    found = difference(reached[sooner], reached[later])
    times = reached[later].mean / reached[sooner].mean
    return Finding(
        claim=f"{sooner} reaches a training error of 25 % in fewer epochs than {later}",
        measured=f"{sooner} less {later}: {found.estimate:+.2f} epochs "
        f"[{found.low:+.2f}, {found.high:+.2f}]; {later} takes {times:.2f} times as many",
        verdict=found.verdict_below,
    )


def _panel(runs: Mapping[str, tuple[Run, ...]]) -> Panel:
    return Panel(
        title="LeNet-5 by activation; dotted: 25 %",
        x="epoch",
        y="training error",
        share=True,
        level=THRESHOLD,
        series=tuple(
            dataclasses.replace(
                course_series(found, label=name, colour=colour, held_out=False), style="line"
            )
            for colour, (name, found) in enumerate(runs.items())
        ),
    )
