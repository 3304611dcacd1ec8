"""The maps that a drawing of a network shows: one a layer, or one a stage of blocks. No torch.

Papers draw the maps between layers and leave out what keeps their shape (activations, norms,
dropout). Rows are gathered by the first names in their path: `features.conv1` of a chain,
`features.inception3a` of a module, `features.conv4` of a stage of 36 bottlenecks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convforge.analysis.rows import Geometry, Row, Shape
    from convforge.analysis.summary import Summary

Kind = Literal["input", "convolution", "pooling", "linear", "blocks"]

_HALVES = frozenset({"features", "head", "classifier"})  # containers that are no layer themselves
_SHORTCUTS = frozenset({"shortcut", "downsample"})
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One map, (C, H, W) or (F,): `what` made it, in words; `geometry` where one window did.

    `rows` are the indices in `Summary.rows` that it stands for, none for the input.
    """

    name: str
    kind: Kind
    shape: Shape
    what: str
    geometry: Geometry | None
    rows: range

    @property
    def positions(self) -> tuple[int, int]:
        """(H, W); (1, 1) for a vector."""
        return (self.shape[1], self.shape[2]) if len(self.shape) == 3 else (1, 1)

    @property
    def channels(self) -> int:
        """Maps, or features of a vector."""
        return self.shape[0]


def volumes(summary: Summary) -> tuple[Volume, ...]:
    """The maps of a network in order, the input first."""
    first = Volume(
        name="input",
        kind="input",
        shape=summary.input_shape,
        what="",
        geometry=None,
        rows=range(0),
    )
    drawn = [first]
    for name, span in groups(summary):
        rows = summary.rows[span.start : span.stop]
        volume = _volume(name, rows, drawn[-1].shape, span)
        if volume is not None:
            drawn.append(volume)
    return tuple(drawn)


def groups(summary: Summary) -> tuple[tuple[str, range], ...]:
    """Layers and stages in order: a path, and the indices of its rows.

    A row belongs to the first name in its path that tells: one that all rows share does not, nor
    does that of a half of a network ("features").
    """
    paths = [row.name.split(":")[0].split(".") for row in summary.rows]
    depth = 0
    while min((len(path) for path in paths), default=0) > depth + 1 and (
        len({path[depth] for path in paths}) == 1
    ):
        depth += 1
    names = [".".join(path[: depth + 2 if path[depth] in _HALVES else depth + 1]) for path in paths]
    spans = [list(span) for _, span in groupby(range(len(names)), names.__getitem__)]
    return tuple((names[span[0]], range(span[0], span[-1] + 1)) for span in spans)


def _volume(name: str, rows: Sequence[Row], before: Shape, span: range) -> Volume | None:
    """The map that some rows make; None where they only reshape or work value by value."""
    shape = rows[-1].output_shape
    windows = [row for row in rows if _slides(row)]
    products = [row for row in rows if row.macs and row.geometry is None]
    kind: Kind
    geometry = None
    if len(windows) == 1 and not products:
        geometry = windows[0].geometry
        kind = "pooling" if _pools(windows[0]) else "convolution"
        what = _window_words(windows[0])
    elif windows:
        kind, what = "blocks", _block_words(name, rows, windows)
    elif products or (shape != before and not all(_reshapes(row) for row in rows)):
        kind = "linear"
        what = "linear" if products else rows[-1].kind
    else:
        return None
    half, _, rest = name.partition(".")
    return Volume(
        name=rest if half in _HALVES and rest else name,
        kind=kind,
        shape=shape,
        what=what,
        geometry=geometry,
        rows=span,
    )


def _slides(row: Row) -> bool:
    """Whether a row is a convolution or a pooling that does something."""
    if row.size_formula.startswith("mean of"):
        return True
    if row.geometry is None or row.geometry.operator == "constant_pad_nd":
        return False
    return not (_pools(row) and row.geometry.kernel == row.geometry.stride == (1, 1))


def _pools(row: Row) -> bool:
    return re.search("pool|sampl|mean|average", row.kind, flags=re.IGNORECASE) is not None


def _reshapes(row: Row) -> bool:
    return row.moved_bytes == 0


def _window_words(row: Row) -> str:
    """In words: "5x5 conv /2", "3x3 depthwise", "2x2 max /2", "global average"."""
    if row.geometry is None:
        return "global average"
    geometry = row.geometry
    rows, columns = geometry.kernel
    words = [f"{rows}{TIMES}{columns}"]
    if _pools(row):
        kind = row.kind.lower()
        words.append("max" if "max" in kind else "subsampling" if "sampl" in kind else "average")
    elif geometry.groups > 1:
        depthwise = geometry.groups == row.input_shapes[0][0]
        words.append("depthwise" if depthwise else f"conv, {geometry.groups} groups")
    else:
        words.append("conv")
    if geometry.stride != (1, 1):
        words.append("/" + str(max(geometry.stride)))
    return " ".join(words)


def _block_words(name: str, rows: Sequence[Row], windows: Sequence[Row]) -> str:
    """In words: a stage "3 x (1x1, 3x3, 1x1)", a module "4 branches", a block "3x3, 1x1"."""
    size = rows[-1].output_shape[1:]
    inside = [
        row
        for row in windows
        if not _SHORTCUTS & set(row.name.split("."))
        and (row.output_shape[1:] == size or row.output_shape[1:] != (1, 1))
    ]
    blocks: dict[str, list[Row]] = {}
    for row in inside:
        rest = row.name.removeprefix(name + ".").split(".")
        blocks.setdefault(rest[0] if len(rest) > 1 else "", []).append(row)
    stems = {re.sub(r"\d+$", "", key) for key in blocks}
    repeated = len(blocks) > 1 and len(stems) == 1 and all(key[-1:].isdigit() for key in blocks)
    first = next(iter(blocks.values())) if repeated else inside
    kernels = [_kernel(row) for row in first]
    joins = [row for row in rows if row.kind == "concatenate" and row.name.startswith(f"{name}:")]
    if joins:
        return f"{len(joins[-1].input_shapes)} branches"
    words = ", ".join(kernels) if len(kernels) < 5 else ", ".join(dict.fromkeys(kernels))
    return f"{len(blocks)} {TIMES} ({words})" if repeated else words


def _kernel(row: Row) -> str:
    if row.geometry is None:
        return "average"
    text = f"{row.geometry.kernel[0]}{TIMES}{row.geometry.kernel[1]}"
    if _pools(row):
        return text + " pool"
    return text + " dw" if row.geometry.groups == row.input_shapes[0][0] > 1 else text
