"""A network's maps as boxes in oblique projection, as an SVG text.

Height and width of a map run up and backwards, its channels to the right; the window that makes the
next map is drawn on it, with lines to what it makes. Maps of one position stand as bars. A network
of few channels (LeNet-5) has its maps drawn one by one, as its paper does.

Heights and widths are to scale; where the largest map is over twelve times the smallest they are
drawn by their square roots. Channels are to scale where drawn one by one, else by their square
roots, as bars are. The drawing says which. Colours follow the reader's light or dark preference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from convforge.analysis.rows import bytes_text, count_text, view_text
from convforge.analysis.volumes import TIMES, Volume, volumes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convforge.analysis.summary import Summary

TALLEST = 190.0  # pixels, of the largest map's side
LEAST = 2.5  # pixels, of any side of a box
PER_ROOT = 1.9  # pixels a square root of a channel
PER_SHEET = 6.0  # pixels a channel, where channels are drawn one by one
SHEET = 1.6  # pixels, thickness of one such map
SHEETS_UP_TO = 32  # channels of the thickest map, for them to be drawn one by one
TALLEST_BAR = 130.0  # pixels, of the longest vector
DEPTH = (0.36, -0.30)  # pixels right and up that a pixel of width recedes by
COMPRESS_FROM = 12.0  # largest over smallest side, above which sides are drawn by square roots
BAR = 9.0  # pixels, thickness of a vector
FONT = 11.0
LINE = 14.0
LETTER = 0.6  # mean width of a letter, in font sizes

# Colours of (ink, soft ink, lines between faces, rays), then of the faces, by theme.
INKS = {
    "light": ("#22303c", "#5d6b78", "#ffffff", "#8a97a3"),
    "dark": ("#e6edf3", "#9aa7b4", "#0d1117", "#6b7885"),
}
FACES = {
    "light": {
        "input": "#c9d1d9",
        "convolution": "#5b8def",
        "pooling": "#f0883e",
        "linear": "#3fa66b",
        "blocks": "#8f6fd8",
    },
    "dark": {
        "input": "#6e7a86",
        "convolution": "#4f7fd9",
        "pooling": "#d9772f",
        "linear": "#38945f",
        "blocks": "#7f60c9",
    },
}

LEGEND = (
    ("convolution", "convolution"),
    ("pooling", "pooling"),
    ("blocks", "block or stage of blocks"),
    ("linear", "full connection"),
)

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class _Box:
    """A volume in place: front face at (x, y) of `thick` by `high`, receding by `depth` of `wide`.

    Pixels; y grows downwards.
    """

    volume: Volume
    x: float
    y: float
    thick: float
    high: float
    wide: float

    @property
    def depth(self) -> Point:
        return self.wide * DEPTH[0], self.wide * DEPTH[1]

    def side(self, across: float, up: float) -> Point:
        """The point of the right face at these fractions of its width and height."""
        return (
            self.x + self.thick + across * self.depth[0],
            self.y + (1 - up) * self.high + across * self.depth[1],
        )


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Pixels of a side of `positions`, and of channels."""

    largest: int
    power: float
    longest: int
    sheets: bool

    def side(self, positions: int) -> float:
        return float(max(TALLEST * (positions / self.largest) ** self.power, LEAST))

    def thickness(self, channels: int) -> float:
        if self.sheets:
            return PER_SHEET * (channels - 1) + SHEET
        return max(PER_ROOT * math.sqrt(channels), LEAST)

    def bar(self, features: int) -> float:
        return max(TALLEST_BAR * math.sqrt(features / self.longest), LEAST)


def summary_svg(summary: Summary) -> str:
    """The drawing as one SVG document: no external resources, a `<title>` for every map."""
    drawn = volumes(summary)
    scale = _scale(drawn)
    rows: list[list[_Box]] = []
    x = 14.0
    for _, alike in groupby(drawn, key=lambda volume: (volume.shape, volume.what)):
        rows.append(_placed(list(alike), x, scale))
        x = _next_start(rows[-1])
    boxes = [box for row in rows for box in row]
    top = min(box.y + box.depth[1] for box in boxes) - 12
    bottom = max(box.y + box.high for box in boxes) + 5 * LINE
    width = max(x, boxes[-1].x + BAR + boxes[-1].depth[0] + 12, 560.0)
    height = bottom + 2.4 * LINE - top
    parts = [_drawn(box, scale, summary) for box in boxes]
    marks = ["", *(_joint(before, box) for before, box in pairwise(boxes))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cf-drawing" role="img" '
        f'viewBox="0 {top:.1f} {width:.1f} {height:.1f}" width="{width:.0f}" '
        f'height="{height:.0f}" aria-label={quoteattr(f"Maps of {summary.name}")}>'
        f"<style>{_style()}</style>"
        + "".join(part + mark for part, mark in zip(parts, marks, strict=True))
        + "".join(_label(row) for row in rows)
        + _caption(scale, {volume.kind for volume in drawn}, bottom)
        + "</svg>\n"
    )


def _scale(drawn: Sequence[Volume]) -> _Scale:
    maps = [volume for volume in drawn if volume.positions != (1, 1)]
    sides = [side for volume in maps for side in volume.positions]
    largest, smallest = max(sides, default=1), min(sides, default=1)
    return _Scale(
        largest=largest,
        power=0.5 if largest > COMPRESS_FROM * smallest else 1.0,
        longest=max((v.channels for v in drawn if v.positions == (1, 1)), default=1),
        sheets=max((volume.channels for volume in maps), default=1) <= SHEETS_UP_TO,
    )


def _placed(alike: Sequence[Volume], x: float, scale: _Scale) -> list[_Box]:
    """Boxes of maps of one shape and making, close together, centred over their label."""
    first = alike[0]
    if first.positions == (1, 1):
        thick, high, wide = BAR, scale.bar(first.channels), BAR
    else:
        thick = scale.thickness(first.channels)
        high, wide = (scale.side(side) for side in first.positions)
    step = thick + min(5.0 + 0.12 * wide * DEPTH[0], 14.0)
    body = step * (len(alike) - 1) + thick
    start = x + max((_label_width(alike) - body) / 2, 0.0)
    return [
        _Box(volume=volume, x=start + i * step, y=-high / 2, thick=thick, high=high, wide=wide)
        for i, volume in enumerate(alike)
    ]


def _next_start(row: Sequence[_Box]) -> float:
    """Where the next label or box may begin: clear of this label, over part of this box's back."""
    last = row[-1]
    end = last.x + last.thick
    label = (row[0].x + end + _label_width([box.volume for box in row])) / 2
    return max(label + 10, end + 14 + min(0.75 * last.depth[0], 46.0))


def _drawn(box: _Box, scale: _Scale, summary: Summary) -> str:
    faces = ""
    if scale.sheets and box.volume.positions != (1, 1):
        for i in range(box.volume.channels):
            faces += _faces(replace(box, x=box.x + PER_SHEET * i, thick=SHEET))
    else:
        faces = _faces(box)
    return f"<g><title>{escape(_title(box.volume, summary))}</title>{faces}</g>"


def _faces(box: _Box) -> str:
    """Front, top and right face."""
    (dx, dy), kind = box.depth, f"cf-{box.volume.kind}"
    x, y, right, low = box.x, box.y, box.x + box.thick, box.y + box.high
    top = ((x, y), (x + dx, y + dy), (right + dx, y + dy), (right, y))
    side = ((right, y), (right + dx, y + dy), (right + dx, low + dy), (right, low))
    return (
        f'<rect class="cf-face {kind}" x="{x:.1f}" y="{y:.1f}" width="{box.thick:.1f}" '
        f'height="{box.high:.1f}"/>'
        f'<polygon class="cf-face {kind} cf-top" points="{_points(top)}"/>'
        f'<polygon class="cf-face {kind} cf-side" points="{_points(side)}"/>'
    )


def _joint(before: _Box, box: _Box) -> str:
    """From a box to the next: its window and four lines to a position, or lines from all of it."""
    geometry = box.volume.geometry
    if geometry is None or box.volume.positions == (1, 1):
        ends = ((box.x, box.y), (box.x, box.y + box.high))
        edge = 1 if box.x > before.side(1, 0)[0] else 0  # its back, unless that is behind the next
        starts = (before.side(edge, 1), before.side(edge, 0))
        return f'<path class="cf-ray cf-all" d="{_segments(starts, ends)}"/>'
    up, across = (
        min(kernel / side, 1.0)
        for kernel, side in zip(geometry.kernel, before.volume.positions, strict=True)
    )
    near = min(0.06, 1 - across)
    low = min(0.3, 1 - up)
    corners = [
        before.side(near, low),
        before.side(near + across, low),
        before.side(near + across, low + up),
        before.side(near, low + up),
    ]
    end = (box.x, box.y + 0.62 * box.high)
    return (
        f'<path class="cf-ray" d="{_segments(corners, [end] * 4)}"/>'
        f'<polygon class="cf-window" points="{_points(corners)}"/>'
    )


def _label(row: Sequence[_Box]) -> str:
    middle = (row[0].x + row[-1].x + row[-1].thick) / 2
    y = row[0].y + row[0].high + LINE + 2
    lines = _lines([box.volume for box in row])
    return "".join(
        f'<text class="{name}" x="{middle:.1f}" y="{y + i * LINE:.1f}">{escape(line)}</text>'
        for i, (name, line) in enumerate(zip(("cf-what", "cf-name", "cf-soft"), lines, strict=True))
    )


def _label_width(alike: Sequence[Volume]) -> float:
    return max(len(line) for line in _lines(alike)) * FONT * LETTER


def _lines(alike: Sequence[Volume]) -> tuple[str, str, str]:
    """What made some maps, their names, their shape as LeCun et al. write it: 6@28x28."""
    first = alike[0]
    name = first.name if len(alike) == 1 else f"{first.name} … {alike[-1].name}"
    shape = str(first.channels)
    if first.positions != (1, 1):
        shape += "@" + TIMES.join(map(str, first.positions))
    return first.what or "image", name, shape


def _title(volume: Volume, summary: Summary) -> str:
    rows = summary.rows[volume.rows.start : volume.rows.stop]
    shape = TIMES.join(map(str, (*volume.shape[1:], volume.shape[0])))
    text = f"{volume.name}: {volume.what or 'image'}, {shape}"
    if not rows:
        return text
    parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    size = bytes_text(4 * math.prod(volume.shape))
    return (
        f"{text}, sees {view_text(rows[-1].view)} pixels, {count_text(parameters)} parameters, "
        f"{count_text(macs)} MACs, {size}"
    )


def _caption(scale: _Scale, kinds: set[str], y: float) -> str:
    sides = "to scale" if scale.power == 1.0 else "by square root"
    channels = "one by one" if scale.sheets else "by square root"
    text = f"heights and widths {sides}, channels {channels}, vectors by square root"
    parts, x = "", 14.0
    for kind, words in LEGEND:
        if kind in kinds:
            parts += (
                f'<rect class="cf-{kind}" x="{x:.0f}" y="{y - 9:.1f}" width="10" height="10"/>'
                f'<text class="cf-left" x="{x + 15:.0f}" y="{y:.1f}">{words}</text>'
            )
            x += 15 + len(words) * FONT * LETTER + 18
    return parts + f'<text class="cf-left cf-soft" x="14" y="{y + LINE + 4:.1f}">{text}</text>'


def _style() -> str:
    """The drawing's own style sheet: plain colours, twice, so that any viewer can read it."""
    return (
        ".cf-drawing{color-scheme:light dark}"  # a drawing by itself stands on a dark page too
        ".cf-drawing text{font:11px system-ui,-apple-system,'Segoe UI',sans-serif;"
        "text-anchor:middle}.cf-drawing .cf-left{text-anchor:start}"
        ".cf-drawing .cf-what{font-weight:600}"
        ".cf-drawing .cf-face{stroke-width:.8;stroke-linejoin:round}"
        ".cf-drawing .cf-ray{stroke-width:.8;fill:none}.cf-drawing .cf-all{stroke-opacity:.5}"
        ".cf-drawing .cf-window{stroke-width:1.2;fill:none}"
        f"{_theme('light')}@media (prefers-color-scheme:dark){{{_theme('dark')}}}"
    )


def _theme(theme: str) -> str:
    ink, soft, line, ray = INKS[theme]
    rules = (
        f".cf-drawing text{{fill:{ink}}}.cf-drawing .cf-soft{{fill:{soft}}}"
        f".cf-drawing .cf-face{{stroke:{line}}}.cf-drawing .cf-ray{{stroke:{ray}}}"
        f".cf-drawing .cf-window{{stroke:{ink}}}"
    )
    for kind, colour in FACES[theme].items():
        rules += (
            f".cf-{kind}{{fill:{colour}}}.cf-{kind}.cf-top{{fill:{_towards(colour, line, 0.38)}}}"
            f".cf-{kind}.cf-side{{fill:{_towards(colour, line, 0.18)}}}"
        )
    return rules


def _towards(colour: str, other: str, share: float) -> str:
    """A colour (#rrggbb) with a share of another mixed in."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in pairs).hex()


def _segments(starts: Sequence[Point], ends: Sequence[Point]) -> str:
    return "".join(
        f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for (a, b), (c, d) in zip(starts, ends, strict=True)
    )


def _points(corners: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
