"""Training for studies: the same images, the same recipe, one network after the other.

What is kept is the course of every run, epoch by epoch, as the paper's figures have it: the error
on the images of an epoch as they were learnt from, and the error on the held-out images after it.
The last epoch counts, not the best one, so that the held-out images choose nothing.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from convforge.errors import DataError, RecipeError
from convforge.images import source
from convforge.images.cache import Cache
from convforge.studies.spread import Spread
from convforge.studies.study import Series
from convforge.training.allocation import kept_memory
from convforge.training.fitting import fit
from convforge.training.learner import Learner
from convforge.training.machine import fast_kernels
from convforge.training.measuring import Validated, right_answers
from convforge.training.pixels import read_pixels
from convforge.training.selection import choose_machine, find_device
from convforge.training.threads import suitable_threads
from convforge.training.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from convforge.images.dataset import Images, Split
    from convforge.images.decoding import Decoded
    from convforge.images.preprocess import Preprocess
    from convforge.networks.contract import ConvNet
    from convforge.studies.study import Study, Task
    from convforge.training.recipe import Recipe

    # (num_classes, in_channels) → the network
    Build = Callable[[int, int], ConvNet]


TUNING_SEED = 1000  # no study has as many seeds


@dataclass(frozen=True, eq=False)
class Pool:
    """Images that all networks of a study learn from and are held against, decoded at one size."""

    images: Images
    decoded: Mapping[str, Decoded]
    preprocess: Preprocess
    held_out: str
    side: int

    @cached_property
    def sizes(self) -> dict[str, str | int]:
        """What of the images a report says; their folder is its name alone."""
        return {
            "images": self.images.uri.rstrip("/").rpartition("/")[2],
            "classes": len(self.images.classes),
            "images to train on": len(self.decoded["train"].part),
            "images held out": len(self.decoded[self.held_out].part),
            "side of an image in pixels": self.side,
        }


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a study is: side of the images in pixels, epochs, seeds, images, and maps.

    `images` to train on and `held_out` are at most so many, None for all. What `maps` counts, the
    study says.
    """

    side: int
    epochs: int
    seeds: int
    images: int | None = None
    held_out: int | None = 1000
    maps: int = 16

    def over(self, task: Task) -> Sizes:
        """With what the task asks for instead."""
        return dataclasses.replace(
            self,
            epochs=task.epochs or self.epochs,
            seeds=task.seeds or self.seeds,
            images=task.count or self.images,
        )


@dataclass(frozen=True)
class Run:
    """The course of one training: a value an epoch, shares of wrong answers, and seconds so far."""

    train_error: tuple[float, ...]
    test_error: tuple[float, ...]
    seconds: tuple[float, ...]


def open_pool(study: Study, task: Task, sizes: Sizes) -> Pool:
    """The images of a task, decoded, as many and as large as `sizes` has it."""
    return decode(open_images(study, task, sizes), task, side=sizes.side)


def open_images(study: Study, task: Task, sizes: Sizes) -> Images:
    """The images of a task, as many as `sizes` has it: a part "train" and one that is held out.

    Fewer ones are drawn with a fixed seed, each class in proportion as chance has it. Held out is
    "test" where there is one, else "val". Raises DataError as `images.open` does, and where
    nothing is held out.
    """
    assert study.images is not None, "the study trains"
    images = source.open(task.images or study.images, progress=task.progress)
    held_out = next((name for name in ("test", "val") if name in images.splits), None)
    if held_out is None:
        raise DataError(f"{images.uri}: a study needs held-out images; add test/ or val/")
    parts = {
        "train": draw(images.splits["train"], sizes.images),
        held_out: draw(images.splits[held_out], sizes.held_out),
    }
    return dataclasses.replace(images, splits=parts)


def decode(images: Images, task: Task, *, side: int) -> Pool:
    """The parts of a data set, decoded at `side` x `side` pixels; two of them, one is "train"."""
    (held_out,) = set(images.splits) - {"train"}
    decoded, preprocess = read_pixels(
        images, input_shape=(images.channels, side, side), cache=Cache(), progress=task.progress
    )
    return Pool(images, decoded, preprocess, held_out, side)


def draw(split: Split, count: int | None) -> Split:
    """So many images of a part, the same ones each time, in their order; all where it is None."""
    if count is None or count >= len(split):
        return split
    rows = np.random.default_rng(0).permutation(len(split))[:count]
    return split.select(sorted(int(row) for row in rows))


def learn(
    pool: Pool,
    build: Build,
    *,
    label: str,
    recipe: Recipe,
    seed: int,
    task: Task,
    share: tuple[int, int] = (0, 1),
) -> Run:
    """The course of one network with one seed: `learn_net` without the network."""
    return learn_net(pool, build, label=label, recipe=recipe, seed=seed, task=task, share=share)[1]


def learn_net(
    pool: Pool,
    build: Build,
    *,
    label: str,
    recipe: Recipe,
    seed: int,
    task: Task,
    share: tuple[int, int] = (0, 1),
) -> tuple[ConvNet, Run]:
    """Train one network with one seed, from its first weights on.

    `label` names it in what is reported; `share` is which run of how many this is. The network has
    the weights of the last epoch, and stays on the device. A run whose loss diverges is wrong
    everywhere, in every epoch.
    """
    device = find_device(task.device)
    recipe = dataclasses.replace(recipe, seed=seed)
    done, of = share

    def progress(step: int, steps: int, message: str) -> None:
        task.report(done * steps + step, of * steps, f"{label}, seed {seed}: {message}")

    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]), kept_memory(), fast_kernels(device):
        torch.manual_seed(seed)
        net = named(build, pool, label=label)
        with suitable_threads(net, batch_size=recipe.batch_size):
            trial = Trial(net, pool.decoded, preprocess=pool.preprocess)
            machine = choose_machine(trial, recipe=recipe, device=device, precision="fp32")
            net.to(device)
            learner = Learner(net, recipe=recipe, preprocess=pool.preprocess, machine=machine)
            history = _fit(learner, pool, progress)
    if not history:
        wrong = (1.0,) * recipe.epochs
        return net, Run(wrong, wrong, (time.perf_counter() - started,) * recipe.epochs)
    return net, Run(
        tuple(1 - row["accuracy"] for row in history),
        tuple(row["test_error"] for row in history),
        tuple(row["seconds"] for row in history),
    )


def learn_all(
    pool: Pool,
    builds: Mapping[str, Build],
    *,
    recipes: Mapping[str, Recipe],
    sizes: Sizes,
    task: Task,
) -> dict[str, tuple[Run, ...]]:
    """Train every network with every seed, by turns, so that whatever else goes on meets all."""
    runs: dict[str, list[Run]] = {name: [] for name in builds}
    turns = [(seed, name) for seed in range(sizes.seeds) for name in builds]
    for done, (seed, name) in enumerate(turns):
        run = learn(
            pool,
            builds[name],
            label=name,
            recipe=recipes[name],
            seed=seed,
            task=task,
            share=(done, len(turns)),
        )
        runs[name].append(run)
    return {name: tuple(found) for name, found in runs.items()}


def choose_rate(
    pool: Pool,
    build: Build,
    *,
    label: str,
    recipe: Recipe,
    rates: Sequence[float],
    badness: Callable[[Run], tuple[float, float]],
    task: Task,
) -> Recipe:
    """The recipe with the rate whose run is least bad, of a seed that is not measured.

    `badness` may look at the training error alone, or held-out images would choose.
    """

    def of_rate(rate: float) -> tuple[float, float]:
        return badness(
            learn(
                pool,
                build,
                label=f"{label} at {rate}",
                recipe=dataclasses.replace(recipe, learning_rate=rate),
                seed=TUNING_SEED,
                task=task,
                share=(rates.index(rate), len(rates)),
            )
        )

    return dataclasses.replace(recipe, learning_rate=min(rates, key=of_rate))


def _fit(
    learner: Learner, pool: Pool, progress: Callable[[int, int, str], None]
) -> Sequence[Mapping[str, Any]]:
    """The rows of the epochs; none where the loss diverged."""
    ends: list[dict[str, float]] = []
    started = time.perf_counter()

    def validate(net: ConvNet) -> Validated:
        seconds = time.perf_counter() - started
        ends.append({"test_error": wrong_share(net, pool), "seconds": seconds})
        return Validated(top1=0.0)  # of equals the latest is kept: the weights of the last epoch

    train = pool.decoded["train"]
    try:
        course = fit(learner, train.pixels, train.part.labels, validate=validate, progress=progress)
    except RecipeError:
        return ()
    return [{**row, **end} for row, end in zip(course.history, ends, strict=True)]


def wrong_share(net: ConvNet, pool: Pool) -> float:
    """The share of wrong answers on the held-out images of a pool."""
    right = right_answers(net, pool.decoded[pool.held_out], preprocess=pool.preprocess)
    return 1 - float(right.mean())


def named(build: Build, pool: Pool, *, label: str) -> ConvNet:
    """The network for a pool's images, with what `catalog.create` would write on it."""
    net = build(len(pool.images.classes), pool.images.channels)
    net.name, net.arguments = label, {}
    net.input_shape = (pool.images.channels, pool.side, pool.side)
    net.num_classes = len(pool.images.classes)
    return net


def facts(pool: Pool, recipe: Recipe, sizes: Sizes) -> dict[str, str | int | float]:
    """How large a training was, for a result's `sizes`."""
    return {
        **pool.sizes,
        "epochs": recipe.epochs,
        "images a step": recipe.batch_size,
        "optimiser": recipe.optimizer,
        "learning rate": recipe.learning_rate,
        "seeds": sizes.seeds,
    }


def until(run: Run, error: float) -> float | None:
    """Epochs until the error on the training images is as low, between epochs on a line.

    None where it never is.
    """
    before = 1.0
    for epoch, now in enumerate(run.train_error):
        if now <= error:
            return epoch + (before - error) / (before - now) if before > error else float(epoch)
        before = now
    return None


def last(runs: Sequence[Run], *, held_out: bool) -> Spread:
    """The error in the last epoch, over the seeds."""
    return Spread(tuple((run.test_error if held_out else run.train_error)[-1] for run in runs))


def course_series(runs: Sequence[Run], *, label: str, colour: int, held_out: bool) -> Series:
    """Error by epoch: mean over the seeds, with the lowest and the highest around it."""
    courses = [run.test_error if held_out else run.train_error for run in runs]
    epochs = max(map(len, courses))
    table = np.array([[*one, *[one[-1]] * (epochs - len(one))] for one in courses])
    return Series(
        label=label,
        x=tuple(range(1, epochs + 1)),
        y=tuple(table.mean(0).tolist()),
        low=tuple(table.min(0).tolist()),
        high=tuple(table.max(0).tolist()),
        style="line" if held_out else "dashed",
        colour=colour,
    )
