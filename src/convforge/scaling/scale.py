"""`scale`: from images and a budget to a classifier within it, compiled, with a report.

smallest fits? → candidates → plan → search → the winner whole → train → compile → measure → report
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convforge.analysis.scaling import Factors, Rule, scaled_arguments
from convforge.compiler.backend.target import find_target
from convforge.errors import RecipeError
from convforge.images import source
from convforge.scaling.budget import Budget
from convforge.scaling.candidates import Fitter
from convforge.scaling.finish import Places, name_of
from convforge.scaling.latency import Stopwatch
from convforge.scaling.ledger import Ledger, remove
from convforge.scaling.space import MIXES, named_mixes, smallest_factors
from convforge.scaling.work import Work, tell
from convforge.training.lock import alone_in
from convforge.training.recipe import Recipe
from convforge.training.recipes import find_recipe, with_fields
from convforge.training.selection import find_device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convforge.compiler.backend.target import Target
    from convforge.images.dataset import Images
    from convforge.images.threads import Progress
    from convforge.scaling.result import Scaled
    from convforge.scaling.space import Mix


def scale(
    network: str,
    data: str | Path | Images,
    *,
    output: str | Path,
    max_ms: float | None = None,
    max_mb: float | None = None,
    max_train: float | None = None,
    target: str = "native",
    threads: int = 1,
    input_size: int | None = None,
    rule: Rule | None = None,
    mixes: Sequence[str] = MIXES,
    recipe: Recipe | str | Path = "fast",
    epochs: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    force: bool = False,
    measure_again: bool = False,
    progress: Progress | None = None,
) -> Scaled:
    """The best `network` for `data` within a budget: searched, trained, compiled and measured.

    `network` is one of the catalogue with width and depth to scale; `input_size`, by default the
    catalogue's, is its side at a resolution of 1. The budget is `max_ms` for one image with
    `threads` on this machine, `max_mb` of 10^6 bytes for the artifact for `target`, or both.
    `max_train` are seconds for all of it; without it the winner is trained for `epochs`, by default
    the recipe's. `rule` is the compound rule's alpha, beta and gamma; `mixes` are names of MIXES,
    the roads that compete: one alone is trained without a search.

    `output` is the classifier's file, which the artifact's lies beside; the folder NAME.scale keeps
    every step, so that the same call goes on where another was stopped, also with more time, and
    the report. Where no time is left for the winner's training, its trial is handed out. With
    `force`, what is there is replaced. With `measure_again`, nothing that was measured on this
    machine before counts.

    The same data, seed, plan and measured times give the same winner; without a time limit, and on
    the processor, to the bit. Raises BudgetError where not even the smallest network is within the
    budget, naming what would be, or where the winner is not when it is finished; TimeLimitError
    where the time is not enough to train anything; what `train` and `compile` raise; Interrupted.
    """
    started = time.monotonic()
    budget, compound = Budget(max_ms=max_ms, max_mb=max_mb), rule or Rule()
    found = find_target(target)
    roads = named_mixes(mixes, rule=compound)
    scaled_arguments(network, Factors(), input_size=input_size)
    _check_time(max_train, epochs=epochs)
    chosen = _recipe(network, recipe, epochs=epochs, seed=seed)
    training_device = find_device(device)
    places = _places(Path(output), target=found, force=force)
    images = source.open(data, progress=progress) if isinstance(data, str | Path) else data
    fitter = Fitter(
        network=network,
        fields={"num_classes": len(images.classes), "in_channels": images.channels},
        input_size=input_size,
        budget=budget,
        smallest=smallest_factors(network, input_size=input_size),
        measure=Stopwatch(network, threads=threads, form=found.form, again=measure_again).measure,
    )
    tell(progress, f"measuring the smallest {network}")
    fitter.check()
    identity = _identity(fitter, images, compound=compound, mixes=roads, recipe=chosen)
    identity |= {"limited": max_train is not None, "target": name_of(found), "threads": threads}
    work = Work(
        images=images,
        recipe=chosen,
        device=training_device,
        limit=max_train,
        fitter=fitter,
        ledger=_ledger(places.folder, identity, started=started, force=force),
        target=found,
        threads=threads,
        progress=progress,
    )
    with alone_in(places.folder):
        return work.run(roads, places=places)


def _places(output: Path, *, target: Target, force: bool) -> Places:
    places = Places.of(output, target=target)
    places.check(target=target, force=force)
    return places


def _ledger(folder: Path, identity: Mapping[str, Any], *, started: float, force: bool) -> Ledger:
    if force:
        remove(folder)
    return Ledger(folder, identity=identity, started=started)


def _identity(
    fitter: Fitter, images: Images, *, compound: Rule, mixes: Sequence[Mix], recipe: Recipe
) -> dict[str, Any]:
    """What must be the same in a search that goes on, beside what it is for."""
    return {
        "network": fitter.network,
        "data": images.fingerprint,
        "input_size": fitter.input_size,
        "budget": dataclasses.asdict(fitter.budget),
        "rule": dataclasses.asdict(compound),
        "mixes": [mix.name for mix in mixes],
        "recipe": recipe.to_json(),
    }


def _recipe(
    network: str, recipe: Recipe | str | Path, *, epochs: int | None, seed: int | None
) -> Recipe:
    chosen = recipe if isinstance(recipe, Recipe) else find_recipe(network, recipe)
    return with_fields(chosen, {"epochs": epochs, "seed": seed})


def _check_time(max_train: float | None, *, epochs: int | None) -> None:
    if max_train is not None and epochs is not None:
        raise RecipeError(
            "epochs and max_train were both given; leave out one of them",
            names=["epochs", "max_train"],
        )
    if max_train is not None and not max_train > 0:
        raise RecipeError(
            f"max_train is {max_train}; expected seconds above 0", names=["max_train"]
        )
