"""Measuring: engines by turns, medians and minima, the numbers checked beside the time.

Engines take turns, so that whatever else the machine does meets all alike. A turn is a pause, in
which the threads of the one before go to sleep, a run that is not timed, and one that is. The input
is the self-test's: numbers from -1 to 1.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convforge.benchmark import engines
from convforge.benchmark.engines import PEERS, USUAL, Engine
from convforge.compiler.backend.selftest import make_input
from convforge.compiler.compilation import compile as compile_model
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.models import Model, read_model
from convforge.errors import InputError, PackageError, UnsupportedError
from convforge.processors import processor_name
from convforge.seal import is_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convforge.benchmark.engines import Array
    from convforge.compiler.ir.graph import Shape
    from convforge.compiler.models import Compilable
    from convforge.runtime import Runtime

# Longer than any engine's threads spin for more work: those of ONNX Runtime do for some 45 ms, and
# who comes next shares a core with them (ResNet-50 of bytes, two threads: median 17 ms, not 10).
PAUSE_S = 0.1
WARM_UP = 3  # runs before the first turn


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One engine: milliseconds of every timed run, and how far off it is.

    `error` is the largest difference to the model in float64, of its largest output; None where
    there is no model to ask.
    """

    engine: str
    version: str
    median_ms: float
    min_ms: float
    error: float | None


@dataclass(frozen=True, kw_only=True)
class LayerTiming:
    """One layer of the artifact: milliseconds, and its arithmetic."""

    name: str
    kernel: str
    macs: int
    median_ms: float
    min_ms: float

    @property
    def gflops(self) -> float:
        """Billions of floating-point operations a second at the minimum, two a multiply-add."""
        return 2e-6 * self.macs / self.min_ms if self.min_ms else 0.0


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One model in every engine; `skipped` says why an engine is not among the timings."""

    model: str
    input_shape: Shape
    macs: int
    threads: int
    rounds: int
    timings: tuple[Timing, ...]
    skipped: dict[str, str]
    layers: tuple[LayerTiming, ...]
    machine: str
    load_average: float


def measure(
    model: Compilable,
    *,
    threads: int = 1,
    level: str | None = None,
    rounds: int = 30,
    input_shape: Shape | None = None,
    peers: Sequence[str] = USUAL,
    layers: bool = False,
    progress: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
) -> Benchmark:
    """Time a model: an artifact, or anything that `compile` takes.

    `level` is the artifact's instruction-set level, the best one where it is left out. `peers` are
    the other engines, by their names in PEERS; an artifact holds nothing that they could run.
    Raises InputError where `rounds` is below 1 or a peer is unknown, and what `compile` raises.
    """
    unknown = [name for name in peers if name not in PEERS]
    if rounds < 1 or unknown:
        found = f"rounds is {rounds}" if rounds < 1 else f"engine {unknown[0]!r} is not known"
        raise InputError(f"benchmark: {found}; at least 1 round, with {', '.join(PEERS)}")
    with tempfile.TemporaryDirectory(prefix="convforge-") as name:
        folder, artifact, found_model = Path(name), _artifact(model), None
        label = Path(model).name if isinstance(model, str | Path) else type(model).__name__
        if artifact is None:
            progress(0, 0, f"compiling {label}")
            artifact = folder / "model.so"
            found_model = read_model(model, input_shape=input_shape)
            compile_model(model, artifact, threads=threads, input_shape=input_shape)
        ours, runtime = engines.convforge(artifact, threads=threads, level=level)
        others, skipped = _prepare(found_model, peers, folder, threads=threads)
        ready = [ours, *others]
        x = make_input(runtime.input_shape, None)
        spent = take_turns(
            [partial(engine.run, x) for engine in ready],
            rounds=rounds,
            report=lambda done: progress(done, rounds, f"timing {label}"),
        )
        return Benchmark(
            model=label,
            input_shape=runtime.input_shape,
            macs=sum(layer.macs for layer in runtime.layers),
            threads=threads,
            rounds=rounds,
            timings=_timings(ready, spent, _errors(found_model, ready, x)),
            skipped=skipped,
            layers=_layers(runtime, x, rounds=rounds) if layers else (),
            machine=machine(),
            load_average=round(os.getloadavg()[0], 1),
        )


def take_turns(
    runs: Sequence[Callable[[], object]],
    *,
    rounds: int,
    report: Callable[[int], None] = lambda _done: None,
) -> list[list[float]]:
    """Milliseconds of every timed run, a list for each of `runs`, which take turns."""
    spent: list[list[float]] = [[] for _ in runs]
    for run in runs:
        for _ in range(WARM_UP):
            run()
    for done in range(rounds):
        report(done)
        for run, times in zip(runs, spent, strict=True):
            time.sleep(PAUSE_S)
            run()
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
    return spent


def _artifact(model: Compilable) -> Path | None:
    """The file where the model is an artifact already."""
    if not isinstance(model, str | Path):
        return None
    path = Path(model)
    return path if path.is_file() and is_sealed(path) else None


def machine() -> str:
    """Number and name of the processors."""
    return f"{os.cpu_count()} x {processor_name()}"


def _prepare(
    model: Model | None, peers: Sequence[str], folder: Path, *, threads: int
) -> tuple[list[Engine], dict[str, str]]:
    """The engines that can run the model, and why the others cannot."""
    if model is None:
        return [], dict.fromkeys(peers, "an artifact holds no model that it could run")
    ready, skipped = [], {}
    for name in peers:
        try:
            ready.append(PEERS[name](model, folder, threads=threads))
        except (PackageError, UnsupportedError) as error:
            skipped[name] = str(error)
    return ready, skipped


def _errors(model: Model | None, ready: Sequence[Engine], x: Array) -> list[float | None]:
    if model is None:
        return [None] * len(ready)
    exact = model.exact(x) if model.exact else evaluate(model.graph, x.astype(np.float64))
    largest = float(np.abs(exact).max())
    return [float(np.abs(engine.run(x) - exact).max()) / (largest or 1.0) for engine in ready]


def _timings(
    ready: Sequence[Engine], spent: Sequence[Sequence[float]], errors: Sequence[float | None]
) -> tuple[Timing, ...]:
    return tuple(
        Timing(
            engine=engine.name,
            version=engine.version,
            median_ms=statistics.median(times),
            min_ms=min(times),
            error=error,
        )
        for engine, times, error in zip(ready, spent, errors, strict=True)
    )


def _layers(runtime: Runtime, x: Array, *, rounds: int) -> tuple[LayerTiming, ...]:
    runtime.profile(x)
    times = list(zip(*(runtime.profile(x) for _ in range(rounds)), strict=True))
    return tuple(
        LayerTiming(
            name=layer.name,
            kernel=layer.kernel,
            macs=layer.macs,
            median_ms=statistics.median(spent),
            min_ms=min(spent),
        )
        for layer, spent in zip(runtime.layers, times, strict=True)
    )
