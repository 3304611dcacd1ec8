"""The range of every value of a network on real images, as its bytes are to span it.

The network is compiled with all of its values as its output, so that looking at an image takes
hardly longer than computing it. Of each value and image up to SAMPLES numbers are kept, evenly
spaced, and the range is the one whose steps are nearest to them in the mean square: a range
that leaves out what is rare is finer for all the rest.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import native
from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.quantize import CONVOLUTIONS, Scale, before, looked_up
from convforge.compiler.pipeline import compile_graph
from convforge.errors import InputError
from convforge.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convforge.compiler.ir.graph import Array, Graph

SAMPLES = 2048  # of a value in an image
_SHARES = np.linspace(1.0, 0.3, 29)  # of the whole range that are tried


@dataclass(frozen=True)
class Range:
    """Of a value; `noise` is the mean square of its rounding, as a share of its own."""

    low: float
    high: float
    noise: float


def observe(graph: Graph, inputs: Iterable[Array], *, top: int = 255) -> dict[str, Range]:
    """Of every map and vector of a graph after its passes, and `before` those that are looked up.

    `inputs` are float32 of the graph's input shape; `top` is the largest byte of a map, and what is
    looked up has 256. Raises InputError where there are none, or where a value is not finite.
    """
    samples: dict[str, list[Array]] = {}
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    for values in _runs(graph, inputs):
        for name, value in values.items():
            low, high = float(value.min()), float(value.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                raise InputError(
                    f"int8: layer {name!r} gives values that are not finite on an image of the "
                    "calibration; its weights are damaged, train the network again"
                )
            lows[name] = min(low, lows.get(name, 0.0))
            highs[name] = max(high, highs.get(name, 0.0))
            samples.setdefault(name, []).append(value[:: -(-value.size // SAMPLES)].copy())
    if not samples:
        raise InputError("int8: there are no images to calibrate with")
    found = {before(node.name) for node in graph.nodes}
    return {
        name: nearest(
            np.concatenate(kept), lows[name], highs[name], top=255 if name in found else top
        )
        for name, kept in samples.items()
    }


def nearest(samples: Array, low: float, high: float, *, top: int = 255) -> Range:
    """The range, at most from `low` to `high`, whose bytes are nearest to samples."""
    power = float(np.mean(samples**2)) or 1.0
    tried = []
    for share in _SHARES.tolist():
        scale = Scale.of(low * share, high * share, top=top)
        back = (scale.bytes(samples) - scale.zero) * scale.scale
        tried.append((float(np.mean((back - samples) ** 2)) / power, -share))
    noise, share = min(tried)
    return Range(-share * low, -share * high, noise)


def _runs(graph: Graph, inputs: Iterable[Array]) -> Iterator[dict[str, Array]]:
    """The values of each input; they are gone with the next one."""
    watched, names = _watched(graph)
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        path = Path(folder) / f"artifact{native().suffix}"
        # The self-test is nobody's here, and numpy would take a while for its answer.
        nothing = np.zeros(watched.shapes[watched.output], np.float32)
        compiled = compile_graph(watched, target=native(), expected=lambda _x: nothing)
        assert compiled.built is not None
        save_artifact(compiled.built.path, path)
        runtime = Runtime(path)
        ends = np.cumsum([math.prod(watched.shapes[name]) for name in names])[:-1]
        for x in inputs:
            parts = np.split(runtime.run(x)[0], ends)
            yield {graph.input: x.reshape(-1), **dict(zip(names, parts, strict=True))}


def _watched(graph: Graph) -> tuple[Graph, list[str]]:
    """A graph whose output is all of its values, one behind the other, and their names."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op in CONVOLUTIONS and looked_up(node):
            nodes.append(replace(node, name=before(node.name), epilogue=()))
            nodes.append(
                Node(node.name, "elementwise", (before(node.name),), epilogue=node.epilogue)
            )
        else:
            nodes.append(node)
    whole = graph.rewritten(nodes, constants=graph.constants)
    names = [node.name for node in nodes if len(whole.shapes[node.name]) in {2, 4}]
    flat = [
        Node(f"{name}, flat", "reshape", (name,), {"shape": (1, math.prod(whole.shapes[name]))})
        for name in names
    ]
    joined = Node("all of them", "concat", tuple(node.name for node in flat), {"axis": 1})
    return (
        whole.rewritten([*nodes, *flat, joined], constants=graph.constants, output=joined.name),
        names,
    )
