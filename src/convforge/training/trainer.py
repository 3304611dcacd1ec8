"""Training: images and the name of a network → a `Classifier`, the same one for the same seed.

open the data → create the network → decode once, uint8 in memory → fit → measure → card
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.errors import RecipeError
from convforge.images import source
from convforge.images.cache import Cache
from convforge.images.decoding import MAX_BAD
from convforge.networks.catalog import entry
from convforge.training.allocation import kept_memory
from convforge.training.blending import SHARES, blend
from convforge.training.cost import Loop, Stopwatch, loop_of
from convforge.training.creation import card_of, check_net, create_for, start_from
from convforge.training.distributed import join
from convforge.training.finetune import fit_head, set_aside
from convforge.training.fitting import fit, total_steps
from convforge.training.journal import Earlier, open_journal
from convforge.training.learner import Learner, check_batch
from convforge.training.limit import Limit
from convforge.training.machine import Machine, fast_kernels
from convforge.training.measuring import (
    Measured,
    Validated,
    measure_held_out,
    right_answers,
    validated,
)
from convforge.training.pixels import read_pixels
from convforge.training.recipe import Recipe
from convforge.training.recipes import find_recipe
from convforge.training.selection import (
    PRECISIONS,
    choose_machine,
    enough_memory,
    find_device,
)
from convforge.training.state import read_identity, states
from convforge.training.threads import suitable_threads
from convforge.training.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from convforge.images.dataset import Images
    from convforge.images.decoding import Decoded
    from convforge.images.preprocess import Preprocess
    from convforge.images.threads import Progress
    from convforge.networks.contract import ConvNet
    from convforge.training.course import Course
    from convforge.training.loggers import Logger


def train(
    data: str | Path | Images,
    *,
    network: str,
    epochs: int | None = None,
    seed: int | None = None,
    recipe: Recipe | str | Path | None = None,
    time_limit: float | None = None,
    least: float = 1.0,
    weights: str | None = None,
    tune: Literal["all", "head"] = "all",
    input_size: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    max_bad: float = MAX_BAD,
    device: str = "auto",
    precision: str = "auto",
    folder: Path | None = None,
    earlier: Earlier = "continue",
    save_every: float = 60.0,
    logger: Logger | None = None,
    measured: Callable[[Measured], None] | None = None,
    progress: Progress | None = None,
) -> Classifier:
    """Train `network` on the part "train" of `data` and measure it on "val" and "test".

    `data` is what `images.open` takes, or what it gave. `recipe` is a record, a file of one, or
    "fast" (the network's own), "paper" or "tune"; `epochs` and `seed` go over the recipe's. With
    `time_limit`, in seconds, there are as many epochs as fit into it, reading and measuring
    included, by the time that a few steps take; it has to be enough for `least`. Where they take
    longer later, the run is shortened, and the card says so. `input_size` and `arguments` are those
    of `networks.create`; channels and classes come from the data. `weights` is a tag of published
    weights or the path of a file, to start from. Published ones bring their preprocessing along, a
    classifier's file that and the network's arguments, which those given here go over.
    The last layer is then fitted first, to the frozen rest; with `tune` "all", all layers are tuned
    from there, and what `blending` finds best on "val" (without one, on a tenth that is set aside)
    is kept.
    Up to the share `max_bad` of a part's images may be damaged: they are left out, and counted as
    wrong where it is measured. `progress(done, total, message)` is called while images are read and
    after every step.

    `device` is torch's, "auto" a GPU where there is one; `precision` is that of convolutions and
    products, "fp32" or "bf16", "auto" what a few measured steps find faster.

    `folder` keeps the run: its state every `save_every` seconds and after epochs, and its log.
    The state of an `earlier` run there is continued, if it is the same run, or removed once all is
    well and the first step comes. Ctrl-C and SIGTERM save the state and raise Interrupted.
    `logger` is told of the run's start and of every epoch (`loggers`); its end is the caller's.
    `measured` is given what was read and answered in the end, as `save_report` takes it.
    Started by `torchrun`, all processes train together, and the first one writes.

    The same data, network, recipe, way of computing (`Machine`, on the card) and number of threads
    give the same weights to the bit on a processor, also of a run that was interrupted, but where a
    time limit shortened it; torch's generator is afterwards as it was before. Raises DataError,
    NetworkError, WeightsError or RecipeError before the first step, and RecipeError where the loss
    diverges.
    """
    started = time.perf_counter()
    _check(network, weights=weights, tune=tune, epochs=epochs, time_limit=time_limit)
    device = _check_device(device, precision=precision)
    recipe = _choose(recipe, network=network, weights=weights, epochs=epochs, seed=seed)
    images = _open(data, weights=weights, seed=recipe.seed, progress=progress)
    with join(device) as team, torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = create_for(images, network, arguments or {}, input_size=input_size, weights=weights)
        check_net(net, recipe, tune=tune)
        check_batch(net, recipe, count=len(images.splits["train"]), team=team)
        decoded, preprocess = read_pixels(
            images,
            input_shape=net.input_shape,
            crop=recipe.augment.crop,
            preprocess=start_from(net, weights, progress=progress),
            max_bad=max_bad,
            cache=Cache(),
            progress=progress,
        )
        with _well_set(net, device=device, batch_size=recipe.batch_size):
            trial = Trial(net, decoded, preprocess=preprocess, team=team)
            before = read_identity(folder) if folder and earlier == "continue" else None
            machine = _machine(trial, recipe, before, tune=tune, device=device, precision=precision)
            card = _card(net, images, weights=weights, preprocess=preprocess, recipe=recipe)
            net.to(device)
            metrics = {} if weights is None else _fit_head(net, decoded, card, progress=progress)
            until = None if time_limit is None else started + time_limit
            recipe, limit = _fitting(until, trial, recipe, before, machine=machine, least=least)
            card = dataclasses.replace(card, recipe=recipe.to_json())
            learner = Learner(net, recipe=recipe, preprocess=preprocess, machine=machine, team=team)
            loop = None
            if tune == "all":
                kept = folder, earlier, save_every, logger, limit
                fitted, loop = _fit(learner, decoded, card, metrics, kept, progress=progress)
                metrics |= fitted
            metrics |= measure_held_out(learner, decoded, images, loop=loop, measured=measured)
    metrics["seconds"] = round(time.perf_counter() - started, 3)
    net.to("cpu").to(memory_format=torch.contiguous_format)
    return Classifier(net.eval(), dataclasses.replace(card, metrics=metrics))


def _open(
    data: str | Path | Images, *, weights: str | None, seed: int, progress: Progress | None
) -> Images:
    """The images, with some set aside where that is needed to choose between weights."""
    images = source.open(data, progress=progress) if isinstance(data, str | Path) else data
    return images if weights is None else set_aside(images, seed=seed)


def _fit_head(
    net: ConvNet, decoded: Mapping[str, Decoded], card: Card, *, progress: Progress | None
) -> dict[str, Any]:
    """Fit the last layer to the frozen rest; what the card says of it, if it can be done."""
    started = time.perf_counter()
    crop = card.recipe["augment"]["crop"]
    head = fit_head(net, decoded, preprocess=card.preprocess, crop=crop, progress=progress)
    if head is None:
        return {}
    seconds = round(time.perf_counter() - started, 3)
    return {"head": {"top1": head.top1, "strength": head.strength, "seconds": seconds}}


def _fit(
    learner: Learner,
    decoded: Mapping[str, Decoded],
    card: Card,
    metrics: Mapping[str, Any],
    kept: tuple[Path | None, Earlier, float, Logger | None, Limit | None],
    *,
    progress: Progress | None,
) -> tuple[dict[str, Any], Loop]:
    """Train, with what is watched on the way: the part "val", and the folder of the run.

    Where a head was fitted first, and there is "val", what is best between it and the end is kept.
    Gives what the card says of it, and what it took.
    """
    head = {name: tensor.clone() for name, tensor in learner.net.state_dict().items()}

    def validate(net: ConvNet) -> Validated:
        return validated(net, decoded["val"], preprocess=card.preprocess, team=learner.team)

    def right(net: ConvNet) -> NDArray[np.bool_]:
        return right_answers(net, decoded["val"], preprocess=card.preprocess, team=learner.team)

    folder, earlier, save_every, logger, limit = kept
    continued = folder is not None and earlier == "continue" and bool(states(folder))
    stopwatch = Stopwatch()
    if limit is not None and "head" in metrics:
        limit.looks += len(SHARES)
    with open_journal(
        folder,
        identity=_identity(card, learner.machine),
        earlier=earlier,
        save_every=save_every,
        team=learner.team,
        logger=logger,
    ) as journal:
        course = fit(
            learner,
            decoded["train"].pixels,
            decoded["train"].part.labels,
            validate=validate if "val" in decoded else None,
            journal=journal,
            limit=limit,
            progress=progress,
        )
    count = len(decoded["train"].part.labels)
    loop = loop_of(course, stopwatch, learner.recipe, count=count, continued=continued)
    seen = _seen(course, learner, count=count)
    found = {"train": seen, **({"best": course.best} if course.best else {})}
    if "head" in metrics and "val" in decoded:
        found["blend"] = blend(learner.net, head, right=right)
    return found, loop


def _seen(course: Course, learner: Learner, *, count: int) -> dict[str, Any]:
    """What the card says of a course over `count` images."""
    seen = {
        **dataclasses.asdict(course.seen),
        "warning": course.warning,
        "machine": learner.machine.to_json(),
    }
    if course.changes:
        planned = total_steps(count, learner.recipe)
        seen["shortened"] = {"steps": course.step, "planned": planned, "changes": course.changes}
    return seen


def _identity(card: Card, machine: Machine) -> dict[str, Any]:
    """What must be equal in a run that continues."""
    return {
        "network": card.network,
        "arguments": card.arguments,
        "recipe": card.recipe,
        "data": {key: card.data.get(key) for key in ("fingerprint", "split", "weights")},
        "machine": machine.to_json(),
    }


@contextlib.contextmanager
def _well_set(net: ConvNet, *, device: str, batch_size: int) -> Iterator[None]:
    """Within, memory, threads and kernels are set for training; raises where memory runs out."""
    threads = suitable_threads(net, batch_size=batch_size)
    with kept_memory(), threads, fast_kernels(device), enough_memory(batch_size):
        yield


def _machine(
    trial: Trial,
    recipe: Recipe,
    earlier: Mapping[str, Any] | None,
    *,
    tune: str,
    device: str,
    precision: str,
) -> Machine:
    """How steps are computed: as a run that is continued did, else as is fastest.

    Where the last layer alone is fitted there are none.
    """
    if tune == "head":
        return Machine(device=device, channels_last=True)
    if earlier is not None:
        machine = Machine.from_json(earlier["machine"], device=device)
        if precision not in {"auto", machine.precision}:
            raise RecipeError(
                f"precision {precision}: the run that is continued is in {machine.precision}; "
                "leave it out, or start again in another folder",
                names=["precision"],
            )
        return machine
    return choose_machine(trial, recipe=recipe, device=device, precision=precision)


def _fitting(
    deadline: float | None,
    trial: Trial,
    recipe: Recipe,
    earlier: Mapping[str, Any] | None,
    *,
    machine: Machine,
    least: float,
) -> tuple[Recipe, Limit | None]:
    """With a deadline, the recipe with as many epochs as fit, or as a run has that is continued."""
    if deadline is None:
        return recipe, None
    costs = trial.costs(recipe, machine=machine)
    if earlier is not None:
        epochs = earlier["recipe"]["epochs"]
    else:
        seconds = deadline - time.perf_counter()
        epochs = trial.epochs(seconds, recipe, costs=costs, least=least)
    recipe = dataclasses.replace(recipe, epochs=epochs)
    return recipe, Limit(deadline, costs, recipe=recipe)


def _check(
    network: str,
    *,
    weights: str | None,
    tune: str,
    epochs: int | None,
    time_limit: float | None,
) -> None:
    """Refuse unknown names, and what cannot be given together, before a folder is read."""
    entry(network)
    if time_limit is not None and epochs is not None:
        raise RecipeError(
            "epochs and time_limit were both given; leave out one of them",
            names=["epochs", "time_limit"],
        )
    if tune == "head" and weights is None:
        raise RecipeError(
            "tune='head' fits the last layer to weights; name some, or train all",
            names=["tune='head'", "weights"],
        )
    card_of(network, weights)


def _check_device(device: str, *, precision: str) -> str:
    """Torch's name of the device; refuses what there is not, before a folder is read."""
    if precision not in PRECISIONS:
        raise RecipeError(
            f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}", names=["precision"]
        )
    return find_device(device)


def _choose(
    recipe: Recipe | str | Path | None,
    *,
    network: str,
    weights: str | None,
    epochs: int | None,
    seed: int | None,
) -> Recipe:
    if not isinstance(recipe, Recipe):
        recipe = find_recipe(network, recipe or ("fast" if weights is None else "tune"))
    if epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    return recipe if seed is None else dataclasses.replace(recipe, seed=seed)


def _card(
    net: ConvNet, images: Images, *, weights: str | None, preprocess: Preprocess, recipe: Recipe
) -> Card:
    start = {} if weights is None else {"weights": weights}
    return Card(
        network=net.name,
        arguments=net.arguments,
        classes=images.classes,
        preprocess=preprocess,
        recipe=recipe.to_json(),
        data={**images.record(), **start},
    )
