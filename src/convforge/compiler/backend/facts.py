"""What an artifact says of each of its layers, as JSON: `cf_layer_facts`.

gives       shape of the map that it gives, the batch first
parameters  numbers that were learned
reads       for each map that it reads, the layers that wrote it; -1 is the network's input
field       what one position sees of the input, or null: first, size, jump [rows, columns]
does        what it does, one after another, with nothing stored in between:
    op        conv2d, max_pool, linear …; `then` are the elementwise steps behind it
    kernel, stride, dilation [rows, columns], padding [top, left, bottom, right], groups
    takes, gives  [C, H, W] or [F]
filters     of a convolution of the network's input, the first few, with their biases
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from convforge.compiler.backend.receptive import receptive_fields, sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convforge.compiler.backend.program import Call, Program
    from convforge.compiler.ir.ops import Step
    from convforge.compiler.kernels.family import Layer

FILTERS = 8  # of a first layer, for who wants to see them
_DIGITS = 5
_WINDOW = ("stride", "padding", "dilation")


def layer_facts(program: Program) -> tuple[str, ...]:
    """JSON of every call of a program; the same text for the same program."""
    rows = zip(program.calls, sources(program), receptive_fields(program), strict=True)
    return tuple(
        json.dumps(
            {
                "gives": (call.images * call.layer.output[0], *call.layer.output[1:]),
                "parameters": sum(constant.size for constant in call.layer.constants),
                "reads": reads,
                "field": asdict(field) if field is not None else None,
                "does": [_part(part) for part in call.layer.parts],
                **_filters(call, reads),
            },
            separators=(",", ":"),
        )
        for call, reads, field in rows
    )


def _part(layer: Layer) -> dict[str, Any]:
    attrs, op = layer.node.attrs, layer.operation
    found: dict[str, Any] = {"op": op, "then": _steps(layer.node.epilogue)}
    if op in {"conv2d", "conv2d_add"}:
        found |= {"kernel": layer.constants[0].shape[2:], "groups": attrs["groups"]}
    elif op in {"max_pool", "avg_pool"}:
        found["kernel"] = attrs["kernel"]
    if "kernel" in found:
        found |= {name: attrs[name] for name in _WINDOW}
    return found | {"takes": layer.inputs[0][1:], "gives": layer.output[1:]}


def _steps(steps: Sequence[Step]) -> list[str]:
    """The names of elementwise steps; ReLU6 and the like are clips."""
    return [
        f"clip {step[1]:g} to {step[2]:g}" if step[0] == "clip" else str(step[0]) for step in steps
    ]


def _filters(call: Call, reads: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The first filters [K, C, H, W] of a convolution of the input and their biases [K]."""
    first = call.layer.parts[0]
    if first.node.op != "conv2d" or reads[0] != (-1,) or first.number("groups") != 1:
        return {}
    weight = first.constants[0][:FILTERS]
    biases = first.constants[1][:FILTERS] if len(first.constants) > 1 else weight[:, 0, 0, 0] * 0
    return {
        "filters": {
            "shape": weight.shape,
            "weights": [_short(value) for value in weight.ravel().tolist()],
            "biases": [_short(value) for value in biases.tolist()],
        }
    }


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
