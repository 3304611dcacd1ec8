"""Convolution in tiles of pixels and output channels that stay in registers.

The arithmetic is in `conv_tiled.c`; a layer is a call of it with every size a number, which the C
compiler inlines. A padded map is copied first into a workspace with its border of zeros, so that
the tiles know no edges; a 1x1 convolution without stride reads its map as one long row.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels.epilogue import epilogue_name
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array

_LANES = 16  # output channels in a panel


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op == "conv2d" else "not a convolution"


def _cost(layer: Layer) -> float:
    # Vector operations: sums with idle lanes included, the tile's way out, the copy with a border.
    _, oc, oh, ow = layer.output
    _, icg, kh, kw = layer.constants[0].shape
    groups = layer.number("groups")
    panels = groups * math.ceil(oc // groups / _LANES)
    sums = panels * math.prod((icg, kh, kw))
    return oh * ow * (sums + oc / 4) + _workspace(layer) / 8


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, *bias = layer.constants
    oc, icg, kh, kw = weight.shape
    groups = layer.number("groups")
    panels = math.ceil(oc // groups / _LANES)
    padded = np.zeros((groups, panels * _LANES, icg, kh, kw), np.float32)
    padded[:, : oc // groups] = weight.reshape(groups, oc // groups, icg, kh, kw)
    blocks = padded.reshape(groups, panels, _LANES, icg, kh, kw).transpose(0, 1, 3, 4, 5, 2)
    start = np.zeros((groups, panels * _LANES), np.float32)
    if bias:
        start[:, : oc // groups] = bias[0].reshape(groups, -1)
    return np.ascontiguousarray(blocks), start


def _workspace(layer: Layer) -> int:
    if not any(layer.numbers("padding")):
        return 0
    return layer.inputs[0][1] * math.prod(_padded_size(layer))


def _padded_size(layer: Layer) -> tuple[int, int]:
    _, _, h, w = layer.inputs[0]
    top, left, bottom, right = layer.numbers("padding")
    return h + top + bottom, w + left + right


def _emit(layer: Layer, out: Writer) -> None:
    source = "x0"
    if _workspace(layer):
        source = "workspace"
        _emit_border(layer, out)
    sizes = ", ".join(f".{name} = {value}" for name, value in _sizes(layer).items())
    out.line(f"const cf_conv conv = {{{sizes}}};")
    out.line(f"cf_conv_all(conv, {epilogue_name(layer.node.epilogue)}, {source}, w0, w1, y);")


def _emit_border(layer: Layer, out: Writer) -> None:
    _, ic, h, w = layer.inputs[0]
    height, width = _padded_size(layer)
    top, left, _, _ = layer.numbers("padding")
    out.line(f"memset(workspace, 0, {_workspace(layer)} * sizeof(float));")
    with out.loop("i", ic), out.loop("h", h):
        target = f"workspace + (i * {height} + h + {top}) * {width} + {left}"
        out.line(f"memcpy({target}, x0 + (i * {h} + h) * {w}, {w} * sizeof(float));")


def _sizes(layer: Layer) -> dict[str, int]:
    _, oc, oh, ow = layer.output
    _, icg, kh, kw = layer.constants[0].shape
    height, width = _padded_size(layer)
    stride, dilation = layer.numbers("stride"), layer.numbers("dilation")
    if (kh, kw) == (1, 1) and stride == (1, 1):
        height, width, oh, ow = 1, height * width, 1, oh * ow
    groups = layer.number("groups")
    return {
        "groups": groups,
        "channels": icg,
        "maps": oc // groups,
        "height": height,
        "width": width,
        "kernel_height": kh,
        "kernel_width": kw,
        "stride_height": stride[0],
        "stride_width": stride[1],
        "dilation_height": dilation[0],
        "dilation_width": dilation[1],
        "rows": oh,
        "columns": ow,
    }


KERNEL = Kernel(
    "conv_tiled",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    workspace=_workspace,
    prelude=files(__package__).joinpath("conv_tiled.c").read_text(),
)
