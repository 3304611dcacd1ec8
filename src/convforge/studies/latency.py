"""Time of networks compiled for this machine, by turns, and whether they compute what they should.

A session is so many rounds in which every network runs once; its median is one measurement, so
that the spread over sessions says what the machine does from one minute to the next.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convforge.benchmark import engines
from convforge.benchmark.measurement import take_turns
from convforge.compiler.backend.selftest import make_input
from convforge.compiler.compilation import compile as compile_model
from convforge.compiler.models import read_model
from convforge.errors import ConvforgeError
from convforge.studies.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from convforge.runtime import Runtime
    from convforge.studies.study import Task

THREADS = 1
ROUNDS = 30
TOLERANCE = 1e-4  # of the largest output, to the network in float64


@dataclass(frozen=True)
class Timed:
    """A compiled network: its MACs, milliseconds of every session, and how far off it is.

    `error` is the largest difference to the network in float64, of its largest output.
    """

    macs: int
    ms: Spread
    error: float


def time_by_turns(
    modules: Mapping[str, tuple[nn.Module, tuple[int, ...]]],
    *,
    sessions: int,
    task: Task,
    rounds: int = ROUNDS,
) -> dict[str, Timed]:
    """Compile modules, each with the shape [1, C, H, W] of its input, and time them by turns.

    Raises ConvforgeError where an artifact is off by more than TOLERANCE: its time would count for
    nothing.
    """
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        ready: dict[str, tuple[Runtime, np.ndarray]] = {}
        errors: dict[str, float] = {}
        for done, (name, (module, shape)) in enumerate(modules.items()):
            task.report(done, len(modules), f"compiling {name}")
            runtime, errors[name] = _prepare(module, shape, Path(folder) / f"{done}.so")
            ready[name] = runtime, make_input(runtime.input_shape, None)
        runs = [partial(runtime.run, x) for runtime, x in ready.values()]
        medians: list[list[float]] = [[] for _ in runs]
        for session in range(sessions):
            task.report(session, sessions, "timing, by turns")
            spent = take_turns(runs, rounds=rounds)
            for kept, times in zip(medians, spent, strict=True):
                kept.append(statistics.median(times))
        return {
            name: Timed(
                sum(layer.macs for layer in runtime.layers), Spread(tuple(ms)), errors[name]
            )
            for (name, (runtime, _)), ms in zip(ready.items(), medians, strict=True)
        }


def _prepare(module: nn.Module, shape: tuple[int, ...], file: Path) -> tuple[Runtime, float]:
    """The module's artifact, loaded, and how far off it is."""
    model = read_model(module.eval(), input_shape=shape)
    compile_model(module, file, threads=THREADS, input_shape=shape)
    _, runtime = engines.convforge(file, threads=THREADS)
    assert model.exact is not None, "a torch module can be asked"
    x = make_input(runtime.input_shape, None)
    exact = model.exact(x)
    error = float(np.abs(runtime.run(x) - exact).max()) / (float(np.abs(exact).max()) or 1.0)
    if not error <= TOLERANCE:
        raise ConvforgeError(f"a compiled network of a study is off by {error:.1e} of its output")
    return runtime, error


def remarks(timed: Mapping[str, Timed]) -> tuple[str, ...]:
    """What has to be known of the times: the numerical check, and whether the machine was busy."""
    error = max(one.error for one in timed.values())
    checked = (
        "Every compiled network was held against torch in float64 first: the largest difference is "
        f"{error:.1e} of the largest output."
    )
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    if load <= processors:
        return (checked,)
    busy = (
        f"Other programs kept the machine busy (load {load:.1f} on {processors} processors): long "
        "runs were interrupted more than short ones, and the ratios of times say little."
    )
    return checked, busy
