"""Convolutions of 3x3 without stride by Winograd's F(4, 3) and F(2, 3), on blocks of 16 channels.

The transforms are in winograd.py, the loops in `conv_winograd.c`, the products in `microkernel.c`.
Weights are transformed here, in float64: [panel of 16 outputs][place][input channel][16].

Maps may be of bfloat16, and all between is float32 even so, for F(4, 3) would make roundings of
bfloat16 several times as large: its products are four times fewer, theirs twice as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.c.writer import c_float
from convforge.compiler.ir.reference_bf16 import rounded
from convforge.compiler.kernels import conv_bf16
from convforge.compiler.kernels.conv_blocked import MEMORY
from convforge.compiler.kernels.conv_plan import clipped, cut, emit_table
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import CONVOLUTIONS, FEW, LANES, Kernel, Layer, Layout
from convforge.compiler.kernels.winograd import (
    POINTS,
    c_output_transform,
    c_transform,
    transforms,
)

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

_INPUT_FLOATS = 280 * 1024  # transformed inputs that a block may have; 28 tiles it may in any case
_FEWEST_TILES = 28


@dataclass(frozen=True)
class _Winograd:
    """Sizes of one layer; a tile has `m` x `m` outputs."""

    layer: Layer
    m: int

    @property
    def halves(self) -> bool:
        """Whether maps are of bfloat16."""
        return self.layer.gives is Layout.BF16

    @property
    def places(self) -> int:
        """Products a tile, channel and output."""
        return (self.m + 2) ** 2

    @property
    def blocks(self) -> int:
        """Blocks of 16 input channels."""
        return -(-self.layer.inputs[0][1] // LANES)

    @property
    def panels(self) -> int:
        """Blocks of 16 outputs."""
        return -(-self.layer.output[1] // LANES)

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return -(-self.layer.output[3] // self.m)

    @property
    def tiles(self) -> int:
        """Tiles in all."""
        return -(-self.layer.output[2] // self.m) * self.across

    @cached_property
    def block(self) -> int:
        """Tiles that are computed together, in equal parts."""
        most = max(_FEWEST_TILES, _INPUT_FLOATS // (self.places * self.blocks * LANES))
        return -(-self.tiles // -(-self.tiles // most))

    @property
    def count(self) -> int:
        """How many blocks of tiles there are."""
        return -(-self.tiles // self.block)

    @property
    def place(self) -> int:
        """Floats from one place of the transformed inputs to the next: never a power of two."""
        return self.blocks * self.block * LANES + LANES

    @property
    def workspace(self) -> int:
        """Floats of transformed inputs and of the products of a pair of panels."""
        return self.places * (self.place + 2 * self.block * LANES)

    @property
    def weights(self) -> int:
        """Transformed weights."""
        return self.panels * self.places * self.layer.inputs[0][1] * LANES


def _refuses(layer: Layer) -> str | None:
    if layer.node.op not in CONVOLUTIONS:
        return "not a convolution"
    fits = layer.constants[0].shape[2:] == (3, 3) and layer.number("groups") == 1
    if not fits or {*layer.numbers("stride"), *layer.numbers("dilation")} != {1}:
        return "not 3x3 without stride, dilation and groups"
    return None


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    kinds = [Layout.BLOCKED]
    if conv_bf16.KERNEL.refuses(layer) is None and layer.inputs[0][1] > FEW:
        kinds.append(Layout.BF16)
    return tuple((kind,) * (len(layer.inputs) + 1) for kind in kinds)


def _cost(plan: _Winograd) -> float:
    # Products, both transforms, weights that come from memory once for every block of tiles.
    sums = plan.layer.inputs[0][1] + 8  # a tile's way in and out included
    products = plan.places * plan.panels * plan.block * sums
    inputs = 5.5 * plan.places * plan.blocks * plan.block
    outputs = 4.5 * plan.places * plan.panels * plan.block
    return plan.count * (products + inputs + outputs + MEMORY * plan.weights / LANES)


def _pack(plan: _Winograd) -> tuple[Array, ...]:
    weight, *bias = plan.layer.constants
    oc, ic = weight.shape[:2]
    if plan.halves:
        weight = rounded(weight)
    matrix = np.array(transforms(plan.m).filter, np.float64)
    both = np.kron(matrix, matrix).T  # [9, places]
    packed = np.zeros((plan.panels, plan.places, ic, LANES), np.float32)
    for panel in range(plan.panels):
        part = weight[panel * LANES : (panel + 1) * LANES].reshape(-1, 9).astype(np.float64)
        moved = (part @ both).reshape(-1, ic, plan.places)
        packed[panel, :, :, : len(moved)] = moved.transpose(2, 1, 0)
    start = np.zeros(plan.panels * LANES, np.float32)
    if bias:
        start[:oc] = bias[0]
    return packed, start


def _emit(plan: _Winograd, out: Writer) -> None:
    channels = plan.layer.inputs[0][1]
    taps = [
        f"{{{b * plan.block * LANES}, {min(LANES, channels - b * LANES)}}}"
        for b in range(plan.blocks)
    ]
    emit_table(out, "cf_tap", "taps", taps)
    with out.block("static const cf_winograd conv =", end="};"):
        for name, value in _fields(plan).items():
            out.line(f".{name} = {value},")
    addend = "x1" if plan.layer.node.op == "conv2d_add" else "NULL"
    arguments = f"&conv, x0, w0, w1, {addend}, workspace, y, begin, end"
    out.line(f"cf_winograd_{plan.m}{'_bf16' if plan.halves else ''}({arguments});")


def _fields(plan: _Winograd) -> dict[str, str]:
    _, _, h, w = plan.layer.inputs[0]
    _, _, oh, ow = plan.layer.output
    top, left, _, _ = plan.layer.numbers("padding")
    low, high, rest = clipped(plan.layer.node.epilogue)
    sizes = {
        "sums.taps_count": plan.blocks,
        "sums.weights": plan.weights // plan.panels,
        "sums.plane": plan.places * plan.block * LANES,
        "sums.pixel": plan.places * LANES,
        "channels": plan.layer.inputs[0][1],
        "blocks": plan.blocks,
        "panels": plan.panels,
        "height": h,
        "width": w,
        "top": top,
        "left": left,
        "rows": oh,
        "columns": ow,
        "across": plan.across,
        "tiles_count": plan.tiles,
        "block": plan.block,
        "place": plan.place,
    }
    return {
        "sums.taps": "taps",
        "sums.low": "-INFINITY",
        "sums.high": "INFINITY",
        "tiles": f"CF_CUTS({cut(plan.block)}, {LANES})",
        "finish": epilogue_loop_name(rest) if rest else "NULL",
        "low": c_float(low),
        "high": c_float(high),
        **{name: str(value) for name, value in sizes.items()},
    }


def _functions(m: int) -> str:
    matrices = transforms(m)
    text = c_transform(f"cf_winograd_{m}_in", matrices.input)
    text += c_output_transform(f"cf_winograd_{m}_out", matrices.output)
    for halves, name in enumerate((f"cf_winograd_{m}", f"cf_winograd_{m}_bf16")):
        text += (
            f"CF_CALLED void {name}(const cf_winograd *c, const float *x, const float *u,\n"
            "    const float *bias, const float *addend, float *work, float *y, int begin, int end)"
            f"\n{{\n    cf_winograd_units({halves}, {m}, cf_winograd_{m}_in, cf_winograd_{m}_out,"
            " c, x, u, bias,\n        addend, work, y, begin, end);\n}\n\n"
        )
    return text


def _kernel(m: int) -> Kernel:
    return Kernel(
        f"conv_winograd_{m}",
        refuses=_refuses,
        cost=lambda layer: _cost(_Winograd(layer, m)),
        pack=lambda layer: _pack(_Winograd(layer, m)),
        emit=lambda layer, out: _emit(_Winograd(layer, m), out),
        layouts=_layouts,
        workspace=lambda layer: _Winograd(layer, m).workspace,
        units=lambda layer: _Winograd(layer, m).count * -(-_Winograd(layer, m).panels // 2),
        prelude=conv_bf16.PRELUDE
        + files(__package__).joinpath("conv_winograd.c").read_text()
        + _functions(m),
    )


KERNELS = tuple(_kernel(m) for m in POINTS)
