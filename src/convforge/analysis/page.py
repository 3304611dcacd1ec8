"""A summary as one HTML page that needs nothing else: drawing, figures, table, paper, conventions.

No script, no font, no image from elsewhere; the page forbids itself to load any. Light or dark as
the reader prefers, wide tables scroll in themselves. All names are escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from convforge.analysis.drawing import summary_svg
from convforge.analysis.rows import bytes_text, count_text, shape_text, view_text, window_text
from convforge.analysis.volumes import TIMES, groups
from convforge.html_page import html_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convforge.analysis.rows import Row
    from convforge.analysis.summary import Summary

OPEN_UP_TO = 64  # rows; the groups of longer tables start closed

STYLE = """
.share{background-image:linear-gradient(to left,var(--bar) var(--share),transparent 0)}
.group th{background-color:var(--tint);font-weight:600}.group label{cursor:pointer}
.group input{margin:0 .4rem 0 0;vertical-align:-1px}
.inner td:first-child{padding-left:2rem}
tbody:has(input:not(:checked)) .inner{display:none}
"""

# Heading, what its figures mean; lines are joined.
CONVENTIONS = {
    "output": """height x width x channels, for one image. Beside it, how it follows:
        floor((n + 2p - k) / s) + 1 for n positions, padding p, kernel k, stride s; with dilation d
        the kernel spans d (k - 1) + 1.""",
    "sees": """side of the receptive field in pixels of the input, padding included, so it may
        exceed the image; "all" where a gate lets every output depend on the whole image, with what
        the map's own path sees in brackets.""",
    "parameters": """trained numbers, each counted once, in the layer that reads it first. Running
        means and variances of batch normalisation are not trained and not counted.""",
    "MACs": """multiplications with their additions, of convolutions and matrix products, without
        biases. Many papers call one of them a FLOP.""",
    "FLOP/byte": """arithmetic intensity: single operations (two a MAC, one a value for activations
        and additions, one a value in a window for pooling) over bytes of inputs, weights and
        outputs in float32, each moved once. A low figure says that memory sets the pace.""",
    "activations": """bytes of a layer's output in float32. Peak: the most that is alive at once if
        every map is dropped after its last reader; weights and scratch space not counted.""",
}


def summary_html(summary: Summary) -> str:
    """The page as one HTML text."""
    return html_page(
        f"{summary.name}: layer by layer",
        f"<h1>{escape(summary.name)}</h1>{_lead(summary)}{_figures(summary)}"
        f'<h2>Maps</h2><div class="wide">{summary_svg(summary)}</div>'
        f"<h2>Layers</h2>{_table(summary)}{_remainder(summary)}{_source(summary)}{_conventions()}",
        style=STYLE,
    )


def _lead(summary: Summary) -> str:
    paper = f"{escape(summary.source.paper)}. " if summary.source else ""
    shapes = (
        f"{_times(shape_text(summary.input_shape))} to {_times(shape_text(summary.output_shape))}"
    )
    return f'<p class="lead soft">{paper}{shapes}, one image, float32.</p>'


def _figures(summary: Summary) -> str:
    published = summary.source.parameters if summary.source else None
    beside = "" if published is None else f"published: {published:,}"
    peak = summary.rows[summary.peak_row].name.partition(".")[2] if summary.rows else ""
    figures = [
        ("parameters", f"{summary.parameters:,}", beside),
        ("weights", bytes_text(4 * summary.parameters), "float32"),
        ("MACs", count_text(summary.macs), f"{summary.macs:,}"),
        ("FLOPs", count_text(summary.flops), f"{summary.flops:,}"),
        ("peak activations", bytes_text(summary.peak_bytes), peak and f"at {peak}"),
        ("all activations", bytes_text(summary.activation_bytes), f"{len(summary.rows)} rows"),
    ]
    if summary.timing is not None:
        timing = summary.timing
        words = f"median of {timing.runs}, torch, {timing.threads} threads"
        figures.append(("one image", f"{timing.total_ms:.2f} ms", words))
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{escape(note)}</small></dd></div>"
        for name, value, note in figures
    )
    return f'<dl class="figures">{cells}</dl>'


def _table(summary: Summary) -> str:
    headings = [
        ("layer", ""),
        ("kind", "kernel /stride padding groups"),
        ("output", "how it follows"),
        ("sees", "pixels"),
        ("parameters", "how they follow"),
        ("MACs", "how they follow"),
        ("activations", ""),
        ("FLOP/byte", ""),
    ]
    headings += [("ms", "")] if summary.timing is not None else []
    head = "".join(
        f'<th{_numeric(index)} scope="col">{name}<small>{note}</small></th>'
        for index, (name, note) in enumerate(headings)
    )
    checked = " checked" if len(summary.rows) <= OPEN_UP_TO else ""
    bodies = "".join(_group(summary, name, span, checked) for name, span in groups(summary))
    total = _sums(summary, summary.rows)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>{bodies}'
        f'<tfoot><tr><th scope="row">total</th><th colspan="3"></th>{total}</tr></tfoot>'
        "</table></div>"
    )


def _group(summary: Summary, name: str, span: range, checked: str) -> str:
    """A layer or stage: its rows, under one with their sums where there are several."""
    rows = summary.rows[span.start : span.stop]
    if len(rows) == 1:
        return f"<tbody>{_row(summary, rows[0], name='')}</tbody>"
    last = rows[-1]
    head = (
        f'<tr class="group"><th scope="rowgroup"><label><input type="checkbox"{checked}>'
        f"{escape(name)}</label></th><th>{len(rows)} rows</th>"
        f"<th>{_times(shape_text(last.output_shape))}</th>"
        f'<th class="number">{view_text(last.view)}</th>'
        f"{_sums(summary, rows)}</tr>"
    )
    return f"<tbody>{head}{''.join(_row(summary, row, name=name) for row in rows)}</tbody>"


def _row(summary: Summary, row: Row, *, name: str) -> str:
    short = row.name.removeprefix(name).lstrip(".") or row.name
    intensity = "" if row.intensity is None else f"{row.intensity:.3g}"
    size = bytes_text(row.activation_bytes) if row.activation_bytes else ""
    cells = (
        f'<td title="{escape(row.name)}">{escape(short)}</td>'
        f"<td>{escape(row.kind)}{_small(_times(window_text(row.geometry)))}</td>"
        f"<td>{_times(shape_text(row.output_shape))}{_small(row.size_formula)}</td>"
        f'<td class="number">{view_text(row.view)}</td>'
        f"{_share(row.parameters, summary.parameters, row.parameter_formula)}"
        f"{_share(row.macs, summary.macs, row.mac_formula)}"
        f'<td class="number">{size}</td><td class="number">{intensity}</td>'
    )
    if row.milliseconds is not None and summary.timing is not None:
        total = sum(other.milliseconds or 0.0 for other in summary.rows)
        share = _percent(row.milliseconds, total)
        cells += f'<td class="number share" style="--share:{share}">{row.milliseconds:.3f}</td>'
    kind = ' class="inner"' if name else ""
    return f"<tr{kind}>{cells}</tr>"


def _sums(summary: Summary, rows: Sequence[Row]) -> str:
    parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    size = sum(row.activation_bytes for row in rows)
    cells = (
        f'<th class="number share" style="--share:{_percent(parameters, summary.parameters)}">'
        f"{parameters:,}</th>"
        f'<th class="number share" style="--share:{_percent(macs, summary.macs)}">{macs:,}</th>'
        f'<th class="number">{bytes_text(size)}</th><th></th>'
    )
    if summary.timing is not None:
        cells += f'<th class="number">{sum(row.milliseconds or 0.0 for row in rows):.3f}</th>'
    return cells


def _remainder(summary: Summary) -> str:
    """What the table leaves out, said."""
    text = ""
    if summary.unused:
        count = sum(summary.unused.values())
        names = sorted({name.split(".")[0] for name in summary.unused})
        text += (
            f"<p>{count:,} more parameters are read in training only, or not at all: "
            f"{escape(', '.join(names))}.</p>"
        )
    if summary.uncounted:
        text += (
            f"<p>Operators without a rule, so that FLOPs are a lower bound: "
            f"{escape(', '.join(summary.uncounted))}.</p>"
        )
    if summary.timing is not None:
        text += (
            "<p>A row's milliseconds are those inside its operators; one image takes longer by "
            "what Python does between them.</p>"
        )
    return text


def _source(summary: Summary) -> str:
    source = summary.source
    if source is None:
        return ""
    deviations = source.deviations or "none that the file names for this network."
    return (
        f"<h2>Paper</h2><p>{escape(source.paper)}.</p>"
        f"<p><strong>Deviations:</strong> {escape(deviations)}</p><pre>{escape(source.notes)}</pre>"
    )


def _conventions() -> str:
    items = "".join(
        f"<dt>{name}</dt><dd>{escape(' '.join(text.split()))}</dd>"
        for name, text in CONVENTIONS.items()
    )
    return f'<h2>How to read this</h2><dl class="notes">{items}</dl>'


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>" if text else ""


def _times(text: str) -> str:
    """Text of numbers with a proper sign of multiplication for its x."""
    return text.replace("x", TIMES)


def _numeric(index: int) -> str:
    return ' class="number"' if index > 2 else ""


def _share(count: int, total: int, formula: str) -> str:
    """A count with its formula, on a bar of its share of the total."""
    if not count:
        return "<td></td>"
    return (
        f'<td class="number share" style="--share:{_percent(count, total)}">{count:,}'
        f"{_small(formula)}</td>"
    )


def _percent(part: float, total: float) -> str:
    return f"{100 * part / total:.1f}%" if total else "0%"
