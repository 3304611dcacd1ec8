"""Which layers become bytes: all that can, but for as many as the accuracy asks for.

The artifact of bytes is measured on held-out images beside the one of float32. While it loses more
than it may, the layers whose rounding weighs most stay as they are: one, two, four and so on. One
of bfloat16 is measured likewise; there is nothing to choose.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import native
from convforge.compiler.passes.quantize import before, can_quantize, looked_up
from convforge.compiler.pipeline import ByteOptions, compile_graph, optimize_for_bytes
from convforge.errors import InputError
from convforge.evaluation import measure
from convforge.images.decoding import BATCH, read_batches
from convforge.quantization.examples import network_inputs, open_examples
from convforge.quantization.observation import observe
from convforge.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convforge.card import Card
    from convforge.compiler.backend.target import Precision
    from convforge.compiler.ir.graph import Array, Graph, Node
    from convforge.evaluation import Evaluation
    from convforge.quantization.examples import Examples
    from convforge.quantization.observation import Range

TIMED_RUNS = 15  # of each artifact: enough to tell whether one is faster, not for a table


@dataclass(frozen=True)
class Choice:
    """What a network is compiled with, and what is known of it, as plain JSON values.

    `record` is for its card. `gain` is of this machine, and for who compiles: bytes of the file and
    milliseconds an image, by precision, where float32 was compiled too.
    """

    options: ByteOptions | None
    record: dict[str, Any]
    gain: dict[str, dict[str, float]] | None = None


def calibrate_with(graph: Graph, inputs: Array, *, top: int = 255) -> Choice:
    """The ranges of a bare network on inputs float32 [N, C, H, W]; nothing is measured.

    `top` is the largest byte of a map, here and below.

    Raises InputError where they are none, or of another shape.
    """
    if inputs.ndim != 4 or inputs.shape[1:] != graph.input_shape[1:]:
        raise InputError(
            f"int8: inputs to calibrate with are {list(inputs.shape)}; the network takes "
            f"[N, {', '.join(map(str, graph.input_shape[1:]))}]"
        )
    batch = graph.input_shape[0]
    starts = range(0, len(inputs), batch)
    images = (_whole(inputs[start : start + batch], batch) for start in starts)
    ranges = observe(optimize_for_bytes(graph), images, top=top)
    return Choice(_options(ranges, top=top), {"calibrated": len(inputs)})


def _whole(inputs: Array, batch: int) -> Array:
    """As many inputs as the network takes at a time; the last ones are repeated where they lack."""
    return np.ascontiguousarray(np.resize(inputs, (batch, *inputs.shape[1:])), np.float32)


def choose(
    graph: Graph,
    card: Card,
    *,
    data: str,
    max_drop: float,
    top: int = 255,
    report: Callable[[int, int, str], None] = lambda _done, _all, _what: None,
) -> Choice:
    """Ranges from, and accuracy on, a data set of a classifier's.

    `max_drop` is how much of its share of right answers it may lose. Raises InputError where it
    loses more with most of its layers in float32; DataError as `evaluate` does.
    """
    examples = open_examples(data, card)
    optimized = optimize_for_bytes(graph)
    report(0, 0, f"calibrating with {len(examples.calibration)} images")
    ranges = observe(optimized, network_inputs(examples.calibration, card), top=top)
    order = _by_noise(optimized, ranges)
    kept, tried = 0, []
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        exact = _library(graph, card, Path(folder) / "float32")
        while True:
            options = _options(ranges, top=top, keep=tuple(order[:kept]))
            report(0, 0, f"measuring on {len(examples.held_out)} images")
            found = _library(graph, card, Path(folder) / f"int8-{kept}", options=options)
            runs = {"float32": exact, "int8": found}
            record = _compare(runs, examples, card)
            record |= {"calibrated": len(examples.calibration), "layers": len(order)}
            tried.append(record["float32"]["top1"] - record["int8"]["top1"])
            if tried[-1] <= max_drop:
                return Choice(options, {**record, "kept": sorted(options.keep)}, _gain(runs))
            kept = max(1, 2 * kept)
            if kept >= len(order):
                raise _refusal(tried, kept=len(options.keep), max_drop=max_drop)


def measure_bf16(
    graph: Graph,
    card: Card,
    *,
    data: str,
    max_drop: float,
    report: Callable[[int, int, str], None] = lambda _done, _all, _what: None,
) -> Choice:
    """What a classifier of bfloat16 answers on a data set, beside the one of float32.

    Raises InputError where it loses more than `max_drop`; DataError as `evaluate` does.
    """
    examples = open_examples(data, card)
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        runs = {
            "float32": _library(graph, card, Path(folder) / "float32"),
            "bf16": _library(graph, card, Path(folder) / "bf16", precision="bf16"),
        }
        report(0, 0, f"measuring on {len(examples.held_out)} images")
        choice = Choice(None, _compare(runs, examples, card), _gain(runs))
    record = choice.record
    drop = record["float32"]["top1"] - record["bf16"]["top1"]
    if drop > max_drop:
        raise InputError(
            f"bf16: loses {100 * drop:.2f} points of accuracy; max_drop allows "
            f"{100 * max_drop:g} %. Nothing was written: allow more, or compile with precision "
            "float32",
            names=["max_drop", "precision"],
        )
    return choice


def _gain(runs: Mapping[str, Runtime]) -> dict[str, dict[str, float]]:
    """How large artifacts are, and how long each takes for an image, by turns in one thread."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(TIMED_RUNS):
        for name, run in runs.items():
            x = np.zeros(run.input_shape, np.float32)
            started = time.perf_counter()
            run.run(x)
            seconds[name].append(time.perf_counter() - started)
    return {
        name: {
            "file_bytes": run.path.stat().st_size,
            "ms": 1000 * statistics.median(seconds[name]),
        }
        for name, run in runs.items()
    }


def _refusal(tried: list[float], *, kept: int, max_drop: float) -> InputError:
    return InputError(
        f"int8: loses {100 * tried[-1]:.2f} points of accuracy with {kept} layers left in float32, "
        f"and {100 * tried[0]:.2f} with none; max_drop allows {100 * max_drop:g} %. Nothing was "
        "written: allow more, calibrate with images that are like those it will see, or compile "
        "with precision float32",
        names=["max_drop", "precision"],
    )


def _options(ranges: Mapping[str, Range], *, top: int, keep: tuple[str, ...] = ()) -> ByteOptions:
    return ByteOptions({name: (one.low, one.high) for name, one in ranges.items()}, keep, top)


def _by_noise(graph: Graph, ranges: Mapping[str, Range]) -> list[str]:
    """Layers that can be of bytes, the ones that lose most by it first."""
    noise = {
        node.name: _noise(graph, node, ranges)
        for node in graph.nodes
        if node.op == "linear" or can_quantize(graph, node)
    }
    return sorted(noise, key=lambda name: (-noise[name], name))


def _noise(graph: Graph, node: Node, ranges: Mapping[str, Range]) -> float:
    """Mean square of what a layer's bytes are off, as a share of the numbers' own."""
    weight = next(graph.constants[name] for name in node.inputs if name in graph.constants)
    steps = np.abs(weight).reshape(len(weight), -1).max(axis=1) / 127
    rounding = float(np.mean(steps**2) / 12 / (np.mean(weight**2) or 1.0))
    values = [name for name in node.inputs if name in ranges]
    if node.op != "linear":  # whose result is no byte
        values += [before(node.name)] if looked_up(node) else [node.name]
    return rounding + sum(ranges[name].noise for name in values)


def _library(
    graph: Graph,
    card: Card,
    path: Path,
    *,
    options: ByteOptions | None = None,
    precision: Precision = "float32",
) -> Runtime:
    """The network compiled for this machine."""
    compiled = compile_graph(
        graph,
        card=card,
        target=native(),
        expected=lambda _x: np.zeros((1, len(card.classes)), np.float32),
        precision=precision,
        options=options,
    )
    assert compiled.built is not None
    path = path.with_suffix(native().suffix)
    save_artifact(compiled.built.path, path)
    return Runtime(path, workers=2)


def _compare(runs: Mapping[str, Runtime], examples: Examples, card: Card) -> dict[str, Any]:
    """Figures of artifacts by the name of each, the first of which is the exact one."""
    part = examples.held_out
    tables: dict[str, list[Array]] = {name: [] for name in runs}
    good: list[int] = []
    bad = []
    for images, rows, unusable in read_batches(part, BATCH, preprocess=card.preprocess):
        if images:
            for name, run in runs.items():
                tables[name].append(run.probabilities(images))
        good += rows
        bad += unusable
    if not good:
        raise InputError(
            f"{[*runs][-1]}: none of the {len(part)} images of {examples.uri} to measure on can be "
            "read"
        )
    seen = part.select(good)

    def scored(table: list[Array]) -> Evaluation:
        return measure(table, seen, classes=card.classes, uri=examples.uri, bad=bad)

    exact, found = (np.concatenate(table).argmax(axis=1) for table in tables.values())
    return {
        **{name: _figures(scored(table)) for name, table in tables.items()},
        "agreement": float(np.mean(exact == found)),
        "uri": examples.uri,
        "split": part.name,
    }


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "top1": evaluation.top1,
        "interval": list(evaluation.interval),
        "count": evaluation.count,
    }
