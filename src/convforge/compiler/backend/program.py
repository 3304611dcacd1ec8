"""The program: one call a layer, buffers instead of values, all weights in one blob.

Flattening changes no byte, so a flattened value shares its source's buffer and needs no call.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels.catalog import select
from convforge.compiler.kernels.family import ALIGNMENT, Kernel, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.compiler.ir.graph import Array, Graph

_FLOATS = ALIGNMENT // 4  # floats in one aligned unit


@dataclass(frozen=True)
class Call:
    """One layer: the kernel that computes it, the buffers it reads and writes, its weights.

    `weights` are offsets into the program's blob, in floats; `workspace` is a buffer that only this
    call uses, "" where it needs none.
    """

    symbol: str
    kernel: Kernel
    layer: Layer
    inputs: tuple[str, ...]
    output: str
    weights: tuple[int, ...]
    workspace: str = ""


@dataclass(frozen=True)
class Program:
    """Calls in order; `buffers` gives each buffer's size in floats; `weights` is the blob."""

    calls: tuple[Call, ...]
    buffers: Mapping[str, int]
    input: str
    output: str
    weights: Array

    @property
    def weight_bytes(self) -> int:
        """Size of the blob, alignment included."""
        return self.weights.nbytes


def build_program(graph: Graph) -> Program:
    """Choose a kernel for every node of a graph after its passes and pack its weights."""
    calls: list[Call] = []
    buffer_of = {graph.input: graph.input}
    sizes = {graph.input: math.prod(graph.input_shape)}
    blob: list[Array] = []
    used = 0
    for node in graph.nodes:
        if node.op == "flatten":
            buffer_of[node.name] = buffer_of[node.inputs[0]]
            continue
        layer = Layer.of(graph, node)
        kernel = select(layer)
        offsets = []
        for array in kernel.pack(layer):
            offsets.append(used)
            blob += [array.reshape(-1), np.zeros(-array.size % _FLOATS, np.float32)]
            used += array.size + -array.size % _FLOATS
        inputs = tuple(buffer_of[name] for name in node.inputs if name not in graph.constants)
        symbol = f"layer_{len(calls):03}_{re.sub(r'[^A-Za-z0-9]', '_', node.name)}"
        workspace = f"{node.name}, workspace" if kernel.workspace(layer) else ""
        if workspace:
            sizes[workspace] = kernel.workspace(layer)
        calls.append(Call(symbol, kernel, layer, inputs, node.name, tuple(offsets), workspace))
        buffer_of[node.name] = node.name
        sizes[node.name] = math.prod(layer.output)
    return Program(
        calls=tuple(calls),
        buffers=sizes,
        input=graph.input,
        output=buffer_of[graph.output],
        weights=np.concatenate(blob) if blob else np.zeros(0, np.float32),
    )
