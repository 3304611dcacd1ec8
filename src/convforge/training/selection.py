"""Which way of computing a step suits a network and a machine: a few measured steps decide.

On a processor: float32 or bfloat16 (where it has no such instructions the latter loses), maps as
[N, H, W, C]. On a GPU: bfloat16, or float32 where that was asked for. Where the run is so long that
it would pay, also through torch.compile. A batch that does not fit the memory goes through in
parts, as few as do fit. What was chosen is kept under the user's cache folder for the next run of
this network, batch and machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, get_args

import torch

from convforge.errors import OutputError, RecipeError
from convforge.files import cache_folder, write_file
from convforge.processors import processor_name
from convforge.training.fitting import total_steps
from convforge.training.machine import PLAIN, Machine, Precision
from convforge.training.threads import ONE_THREAD_FLOPS, step_flops

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from convforge.training.recipe import Recipe
    from convforge.training.trial import Trial

PRECISIONS = ("auto", *get_args(Precision))
WORTH_S = 60.0  # of training, below which the first way is taken without measuring others
# Of training, from which on torch.compile is tried, which takes 30 to 110 s and gained at most 6 %
# on a processor (AMD EPYC, torch 2.14).
WORTH_COMPILING_S = 3600.0
CLEARLY = 0.97  # of the time of what was measured before: less is noise


def find_device(name: str = "auto") -> str:
    """Torch's name of a device: "cpu", "cuda", "cuda:1"; "auto" is a GPU where there is one.

    In a team each process has the GPU of its place on its machine. Raises RecipeError where torch
    does not know the device or the machine does not have it.
    """
    gpu = f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda"
    if name == "auto":
        return gpu if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ""
    if kind not in {"cpu", "cuda"}:
        raise RecipeError(
            f"device {name!r}: expected auto, cpu, cuda or cuda:NUMBER", names=["device"]
        )
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (torch.device(name).index or 0) >= count:
            raise RecipeError(
                f"device {name!r}: torch finds {count} CUDA devices here; take cpu",
                names=["device"],
            )
    return gpu if name == "cuda" else name


def choose_machine(
    trial: Trial, *, recipe: Recipe, device: str = "cpu", precision: str = "auto"
) -> Machine:
    """The way that takes the least time a step, the same in all processes of a team.

    `device` is what `find_device` gave, `precision` one of PRECISIONS. Raises RecipeError where a
    single image does not fit the memory.
    """
    small = step_flops(trial.net, batch_size=recipe.batch_size) < ONE_THREAD_FLOPS
    if device == "cpu" and small and precision != "bf16":
        return PLAIN
    path = _path(trial, recipe, device=device, precision=precision)
    kept = trial.team.agree(_read(path, device))
    if kept is not None:
        return dataclasses.replace(kept, device=device)
    ways = _Ways(trial, recipe)
    best = ways.fastest(_allowed(device, precision))
    if ways.run_seconds(best) >= WORTH_S:
        _write(path, best, seconds=ways.seconds)
    return best


class _Ways:
    """Ways of computing a step, and the `seconds` that one took."""

    def __init__(self, trial: Trial, recipe: Recipe) -> None:
        self._trial, self._recipe = trial, recipe
        self.seconds: dict[Machine, float] = {}

    def fastest(self, ways: Sequence[Machine]) -> Machine:
        """The first of `ways`, or another where the run is long and it is clearly faster."""
        best = self._measured(ways[0])
        for way in ways[1:]:
            if self.run_seconds(best) >= WORTH_S:
                best = self._better(best, way)
        if self.run_seconds(best) >= WORTH_COMPILING_S:
            best = self._better(best, dataclasses.replace(best, compiled=True))
        return best

    def run_seconds(self, way: Machine) -> float:
        """What the whole run takes that way, but for reading and measuring."""
        return self.seconds[way] * total_steps(self._trial.counts["train"], self._recipe)

    def _better(self, best: Machine, other: Machine) -> Machine:
        other = self._measured(dataclasses.replace(other, parts=best.parts))
        return other if self.seconds[other] < CLEARLY * self.seconds[best] else best

    def _measured(self, way: Machine) -> Machine:
        """The way, with as many parts as it takes to fit the memory, once it is measured."""
        while True:
            try:
                self.seconds[way] = self._trial.step_seconds(self._recipe, machine=way)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if way.parts >= self._recipe.batch_size:
                    raise RecipeError(
                        f"training {self._trial.net.name}: one image at a time does not fit the "
                        f"memory of {way.device}; take a smaller input_size or network",
                        names=["input_size"],
                    ) from None
                way = dataclasses.replace(way, parts=2 * way.parts)
            else:
                return way


def _allowed(device: str, precision: str) -> list[Machine]:
    """What to measure, the first where there is no time to."""
    order = ("bf16", "fp32") if device != "cpu" else ("fp32", "bf16")
    allowed = [name for name in get_args(Precision) if precision in {name, "auto"}]
    ways = [
        Machine(device=device, precision=name, channels_last=True)  # type: ignore[arg-type]
        for name in order
        if name in allowed
    ]
    return ways[:1] if device != "cpu" else ways


@contextlib.contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Raises RecipeError where the memory is not enough within, though it once was."""
    try:
        yield
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        raise RecipeError(
            f"batch_size {batch_size}: takes more memory than is free now; give a smaller one, or "
            "make room and go on from what was saved",
            names=["batch_size"],
        ) from None


def _is_out_of_memory(error: RuntimeError) -> bool:
    """On a processor torch says it in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


def _path(trial: Trial, recipe: Recipe, *, device: str, precision: str) -> Path:
    """Where the choice is kept; its name depends on all that it depends on."""
    net = trial.net
    kept_for = {
        "network": net.name,
        "arguments": net.arguments,
        "input_shape": net.input_shape,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer,
        "batch_norm": recipe.batch_norm,
        "device": _device_name(device),
        "processes": trial.team.size,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(kept_for, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "machines" / f"{digest}.json"


def _device_name(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}"


def _read(path: Path, device: str) -> Machine | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))["machine"]
        return Machine.from_json(fields, device=device)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, machine: Machine, *, seconds: dict[Machine, float]) -> None:
    """Keep a choice, and what it was made by, where the folder can be written."""
    measured: list[dict[str, Any]] = [
        {"machine": way.to_json(), "seconds_a_step": taken} for way, taken in seconds.items()
    ]
    record = {"machine": machine.to_json(), "measured": measured}
    with contextlib.suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(record, indent=2).encode())
