"""What `convforge describe` shows: a row a layer, the sums, where it comes from, how timed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from convforge.analysis.rows import HEADINGS, bytes_text, cells
from convforge.cli.tables import make_table, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from convforge.analysis.summary import Summary

FULL_WIDTH = 140  # columns that the whole table needs; a narrower terminal gets the essential ones

_WIDE_ONLY = frozenset({"kind", "size", "activations", "FLOP/byte"})
_BETWEEN = 3  # columns of a terminal from a cell to the next
_ON_THE_LEFT = ("layer", "kind", "kernel", "size")


def summary(found: Summary, *, width: int) -> Iterator[RenderableType]:
    """The layers for a terminal of `width` columns, the sums, the source, how it was timed."""
    yield _layers(found, width=width)
    yield from map(plain, _sums(found))
    if found.source is not None:
        yield plain(f"paper: {found.source.paper}")
        if found.source.deviations:
            yield plain(f"deviations: {found.source.deviations}")
    if found.timing is not None:
        yield plain(
            f"timed in torch, {found.timing.threads} threads, medians of {found.timing.runs} runs; "
            f"the whole network {found.timing.total_ms:.2f} ms, with Python's own time"
        )


def _layers(found: Summary, *, width: int) -> RenderableType:
    left_out = set() if width >= FULL_WIDTH else set(_WIDE_ONLY)
    if found.timing is None:
        left_out.add("ms")
    kept = [place for place, heading in enumerate(HEADINGS) if heading not in left_out]
    rows = [[texts[place] for place in kept] for texts in map(cells, found.rows)]
    headings = [HEADINGS[place] for place in kept]
    if _width(headings, rows) > width:
        names = _shortened([row[0] for row in rows])
        rows = [[name, *row[1:]] for name, row in zip(names, rows, strict=True)]
    if _width(headings, rows) > width:
        place = headings.index("kernel")
        headings, *rows = ([*row[:place], *row[place + 1 :]] for row in (headings, *rows))
    table = make_table("", *headings, left=_ON_THE_LEFT)
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def _width(headings: list[str], rows: list[list[str]]) -> int:
    """Columns of a terminal that no cell of a table is broken in."""
    return sum(max(map(len, column)) + _BETWEEN for column in zip(headings, *rows, strict=True)) + 2


def _shortened(names: list[str]) -> list[str]:
    """Dotted names, each without the parts that it shares with the beginning of the one above."""
    found = names[:1]
    for above, name in itertools.pairwise(names):
        parts, shared = name.split("."), 0
        for one, other in zip(parts[:-1], above.split("."), strict=False):
            if one != other:
                break
            shared += 1
        found.append(f"{'…' if shared else ''}{'.'.join(parts[shared:])}")
    return found


def _sums(found: Summary) -> Iterator[str]:
    yield (
        f"{found.parameters:,} parameters, {found.macs:,} MACs, {found.flops:,} FLOPs, "
        f"outputs of {bytes_text(found.activation_bytes)} in all"
    )
    if found.rows:
        yield (
            f"at most {bytes_text(found.peak_bytes)} of activations at once, "
            f"in {found.rows[found.peak_row].name}"
        )
    if found.unused:
        names = ", ".join(found.unused)
        yield f"{sum(found.unused.values()):,} more parameters that no prediction reads: {names}"
    if found.uncounted:
        yield f"without {', '.join(found.uncounted)}, which no rule counts: a lower bound"
