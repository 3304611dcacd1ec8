"""The end of a search: the winner as it will be shipped, before its training and after it."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from convforge.compiler.backend.package import check_package
from convforge.compiler.compilation import compile as compile_model
from convforge.errors import BudgetError, OutputError
from convforge.file_kinds import check_classifier_name
from convforge.files import check_destination
from convforge.networks.catalog import create
from convforge.runtime import Runtime
from convforge.scaling.budget import MEGABYTE
from convforge.scaling.latency import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.compiler.backend.target import Target
    from convforge.scaling.budget import Budget
    from convforge.scaling.latency import Cost

TRIES = 5  # that a finished artifact has to stay within its milliseconds
PAUSE_S = 1.0  # between them
WHOLE = 2.0  # times what one level takes, for all of them
AGAIN = 0.6  # of a compilation, for the same code with other weights
END_S = 3.0  # beside compiling, for measuring and the report


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the classifier, its artifact and the search's folder lie."""

    file: Path
    artifact: Path
    folder: Path

    @classmethod
    def of(cls, file: Path, *, target: Target) -> Places:
        """Beside the classifier's file, with its name."""
        name = file.name.removesuffix(file.suffix)
        return cls(
            file=file,
            artifact=file.with_name(name + target.suffix),
            folder=file.with_name(f"{name}.scale"),
        )

    def check(self, *, target: Target, force: bool) -> None:
        """Raise OutputError, before any work, where something cannot be written or is there."""
        check_classifier_name(self.file)
        check_destination(self.file)
        check_package(self.artifact, target=target)
        for path in (self.file, self.artifact):
            if path.exists() and not force:
                raise OutputError(
                    f"{path}: exists already; name another file with output, or replace it with "
                    "force",
                    names=["output", "force"],
                )


def is_native(target: Target) -> bool:
    """Whether its artifacts are libraries for this machine."""
    return target.form == "library" and not target.triple


def name_of(target: Target) -> str:
    """The name that `compile` knows a target by: a machine's own one is "native"."""
    return "native" if is_native(target) else target.name


def whole_cost(
    network: str, arguments: Mapping[str, Any], *, num_classes: int, in_channels: int, threads: int
) -> dict[str, float]:
    """Milliseconds and bytes of a network's whole artifact for this machine, untrained.

    Its code is what the trained one will have, and the compiler keeps it. "seconds" is how long
    that took.
    """
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = create(network, num_classes=num_classes, in_channels=in_channels, **arguments).eval()
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        file = Path(folder) / "whole.so"
        artifact = compile_model(net, file, threads=threads, input_shape=(1, *net.input_shape))
        ms = milliseconds(Runtime(file, threads=threads))
    seconds = time.perf_counter() - started
    return {"ms": ms, "file_bytes": artifact.file_bytes, "seconds": round(seconds, 3)}


def seconds_after(whole_s: float, *, target: Target) -> float:
    """That the finish takes after the training, where compiling whole took so many before it."""
    return AGAIN * whole_s + (0.0 if is_native(target) else whole_s) + END_S


def build(
    classifier: Path, *, name: str, target: Target, threads: int, budget: Budget
) -> tuple[Path, int, float]:
    """Compile a classifier's file beside it: (artifact, its bytes, milliseconds on this machine).

    An artifact that runs elsewhere is measured by its twin for this machine.
    """
    made = compile_model(
        classifier, classifier.with_name(name), target=name_of(target), threads=threads
    )
    if is_native(target):
        return made.path, made.file_bytes, _shipped_ms(made.path, threads=threads, budget=budget)
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        twin = Path(folder) / "twin.so"
        compile_model(classifier, twin, threads=threads)
        return made.path, made.file_bytes, _shipped_ms(twin, threads=threads, budget=budget)


def move(artifact: Path, place: Path) -> Path:
    """Put an artifact in its place; what is there is replaced. A wheel keeps its own name."""
    destination = place.with_name(artifact.name) if artifact.suffix == ".whl" else place
    if destination.is_dir():
        shutil.rmtree(destination)
    return artifact.rename(destination)


def check_shipped(cost: Cost, *, chosen_ms: float, budget: Budget, trained: Path) -> None:
    """Raise BudgetError where a finished artifact, of `trained`, takes more than the budget."""
    if budget.use(cost) <= 1:
        return
    slow = budget.max_ms is not None and cost.ms > budget.max_ms
    why, advice = (
        (
            f"it took {chosen_ms:.3g} ms when it was chosen, so the machine may be busier now",
            "run the same command on an idle machine to measure again",
        )
        if slow
        else ("it is larger than was foreseen", "search again with force and a smaller max_mb")
    )
    raise BudgetError(
        f"scale: the finished artifact takes {cost.ms:.3g} ms and "
        f"{cost.file_bytes / MEGABYTE:.3g} MB, over the budget of {budget.text()}; {why}. The "
        f"training is kept: {advice}, or compile {trained} as it is",
        names=() if slow else ["force", "max_mb"],
    )


def _shipped_ms(artifact: Path, *, threads: int, budget: Budget) -> float:
    # A machine that is busy now may be less so in a moment.
    runtime = Runtime(artifact, threads=threads)
    found = milliseconds(runtime)
    for _ in range(TRIES - 1):
        if budget.max_ms is None or found <= budget.max_ms:
            break
        time.sleep(PAUSE_S)
        found = min(found, milliseconds(runtime))
    return found
