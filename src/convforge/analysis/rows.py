"""One row of a summary: what a layer is, gives, sees and costs, as plain values, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convforge.analysis.arithmetic import Window

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a layer's window slides: rows and columns, with the padding of a pad before it."""

    operator: str
    rows: Window
    columns: Window
    groups: int = 1

    @property
    def kernel(self) -> tuple[int, int]:
        """(KH, KW)."""
        return self.rows.kernel, self.columns.kernel

    @property
    def stride(self) -> tuple[int, int]:
        """(SH, SW)."""
        return self.rows.stride, self.columns.stride

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """(top, bottom, left, right)."""
        return (*self.rows.pads, *self.columns.pads)

    @property
    def dilation(self) -> tuple[int, int]:
        """(DH, DW)."""
        return self.rows.dilation, self.columns.dilation


@dataclass(frozen=True, kw_only=True)
class View:
    """What a layer's outputs see of the input image, in pixels, as (rows, columns).

    Output i sees `size` pixels from `first` + i * `jump` on; `first` is negative where that is
    padding. `whole`: every output depends on the whole image, by a gate such as squeeze and
    excitation; `size` then is what the map's own path sees. Without positions, as after
    flattening, `jump` is None and `size` is what all of them see.
    """

    size: tuple[int, int]
    first: tuple[float, float]
    jump: tuple[float, float] | None
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """A call of a layer, or an operator between layers (`name` is then path:operator).

    Shapes leave the batch out. `geometry` is None where no single window slides, `view` where it is
    unknown. A formula is empty where there is nothing to fill in. Per image: `macs`, `flops`
    (single operations), `activation_bytes` (the output's; 0 where it is a view or written in
    place), `moved_bytes` (inputs read, weights read, outputs written, once each), `milliseconds`
    where it was timed.
    """

    name: str
    kind: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    geometry: Geometry | None
    size_formula: str
    view: View | None
    parameters: int
    parameter_formula: str
    macs: int
    mac_formula: str
    flops: int
    activation_bytes: int
    moved_bytes: int
    milliseconds: float | None

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity in FLOPs a byte moved; None where nothing is moved."""
        return self.flops / self.moved_bytes if self.moved_bytes else None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, tuples as lists."""
        view, geometry = self.view, self.geometry
        return {
            "name": self.name,
            "kind": self.kind,
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "output_shape": list(self.output_shape),
            "window": None
            if geometry is None
            else {
                "kernel": list(geometry.kernel),
                "stride": list(geometry.stride),
                "padding": list(geometry.padding),
                "dilation": list(geometry.dilation),
                "groups": geometry.groups,
            },
            "size_formula": self.size_formula,
            "receptive_field": None
            if view is None
            else {
                "size": list(view.size),
                "first": list(view.first),
                "jump": None if view.jump is None else list(view.jump),
                "whole_input": view.whole,
            },
            "parameters": self.parameters,
            "parameter_formula": self.parameter_formula,
            "macs": self.macs,
            "mac_formula": self.mac_formula,
            "flops": self.flops,
            "activation_bytes": self.activation_bytes,
            "moved_bytes": self.moved_bytes,
            "flops_per_byte": self.intensity,
            "milliseconds": self.milliseconds,
        }


HEADINGS = (
    "layer",
    "kind",
    "kernel",
    "output",
    "size",
    "sees",
    "parameters",
    "MACs",
    "activations",
    "FLOP/byte",
    "ms",
)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, one cell a heading of `HEADINGS`; empty where a value does not apply."""
    return (
        row.name,
        row.kind,
        window_text(row.geometry),
        shape_text(row.output_shape),
        row.size_formula,
        view_text(row.view),
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.macs:,}" if row.macs else "",
        bytes_text(row.activation_bytes) if row.activation_bytes else "",
        "" if row.intensity is None else f"{row.intensity:.3g}",
        "" if row.milliseconds is None else f"{row.milliseconds:.3f}",
    )


def window_text(geometry: Geometry | None) -> str:
    """Kernel, stride, padding, dilation and groups, the last four where they are not plain.

    "5x5", "3x3 /2 p1", "3x3 /2 p0,1" (before, after), "5x5 p2 g2".
    """
    if geometry is None:
        return ""
    words = [f"{geometry.kernel[0]}x{geometry.kernel[1]}"]
    if geometry.stride != (1, 1):
        words.append(f"/{_short(geometry.stride)}")
    if any(geometry.padding):
        top, bottom, left, right = geometry.padding
        alike = (top, bottom) == (left, right)
        words.append(f"p{_short((top, bottom) if alike else geometry.padding)}")
    if geometry.dilation != (1, 1):
        words.append(f"d{_short(geometry.dilation)}")
    if geometry.groups > 1:
        words.append(f"g{geometry.groups}")
    return " ".join(words)


def shape_text(shape: Shape) -> str:
    """(C, H, W) as "HxWxC", as papers write it; (F,) as "F"."""
    if len(shape) == 3:
        return f"{shape[1]}x{shape[2]}x{shape[0]}"
    return "x".join(map(str, shape))


def view_text(view: View | None) -> str:
    """What an output sees: "212", "7x3" (rows, columns), "all (51)" behind a gate, "?" unknown."""
    if view is None:
        return "?"
    rows, columns = view.size
    text = str(rows) if rows == columns else f"{rows}x{columns}"
    return f"all ({text})" if view.whole else text


def bytes_text(count: int) -> str:
    """Bytes in powers of 1024: "640 B", "18.4 KiB", "3.06 MiB"."""
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def count_text(count: int) -> str:
    """A count in thousands, millions or milliards: "61.7 K", "138 M", "15.5 G"."""
    for scale, unit in ((10**9, "G"), (10**6, "M"), (10**3, "K")):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return str(count)


def _short(values: tuple[int, ...]) -> str:
    """One number where all are alike, else all of them."""
    return str(values[0]) if len(set(values)) == 1 else ",".join(map(str, values))
