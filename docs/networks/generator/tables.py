"""The tables that serve any network. Each function is a directive of `build`."""

from __future__ import annotations

import re
import textwrap
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

import peers
import published
from cells import (
    NONE,
    counts,
    exact,
    macs_of,
    markdown,
    parameters_of,
    short,
    size,
    summary,
    typeset,
)

from convforge.analysis.rows import view_text
from convforge.analysis.source import source_of
from convforge.analysis.volumes import volumes
from convforge.networks.catalog import CATALOG
from convforge.networks.weight_sources import PUBLISHED, TIMM_HUB_URL, TIMM_URL, TORCHVISION_URL

if TYPE_CHECKING:
    from convforge.analysis.summary import Summary
    from convforge.analysis.volumes import Volume
    from convforge.networks.weight_sources import Published

WIDTH = 118  # columns of a line of text
WHOLE_DIGITS = 64  # of a SHA-256 in hex
LONG = 12  # letters of a name that is not repeated in full
UNITS = {"M": 10**6, "G": 10**9}
# What follows a layer without changing its shape, in the tables' words.
FOLLOWING = {
    "BatchNorm2d": "BN",
    "Dropout": "dropout",
    "LocalResponseNorm": "LRN",
    "ReLU": "ReLU",
    "ReLU6": "ReLU6",
    "ScaledTanh": "tanh",
    "SiLU": "SiLU",
}


def layers(name: str) -> str:
    """Layer by layer: what makes a map, what follows, size, receptive field, costs."""
    found = summary(name)
    rows = []
    for _, group in groupby(volumes(found)[1:], key=lambda volume: _making(found, volume)):
        alike = list(group)
        last, names = alike[-1], f"`{alike[0].name}`"
        if len(alike) > 1:
            names += f" … `{last.name}`"
        made, then, output, *figures = _making(found, last)
        sees = view_text(found.rows[last.rows.stop - 1].view)
        times = "" if len(alike) == 1 else f"{len(alike)} x "
        costs = (NONE if count == "0" else times + count for count in figures)
        rows.append((names, made, then or NONE, output, sees, *costs))
    rows.append(("**all**", "", "", "", "", exact(found.parameters), exact(found.macs)))
    heads = ("layer", "made by", "then", "output", "sees", "parameters", "multiply-adds")
    return markdown(heads, rows, numbers=range(4, 7))


def costs(*names: str) -> str:
    """Parameters and multiply-adds beside what is published, with the difference."""
    rows = []
    for name in names:
        for cost in published.COSTS.get(name, (published.Cost("no figures known", None, None),)):
            other = {"input_size": cost.input_size} if cost.input_size else {}
            found = counts(name, **other)
            rows.append(
                (
                    f"`{name}`",
                    str(cost.input_size or CATALOG[name].input_size),
                    exact(found.parameters),
                    exact(cost.parameters),
                    _difference(found.parameters, cost.parameters),
                    short(found.macs),
                    exact(cost.macs),
                    _difference(found.macs, cost.macs),
                    cost.source,
                )
            )
    heads = ("network", "pixels", "parameters", "published", "differ by")
    more = ("multiply-adds", "published", "differ by", "published by")
    return markdown((*heads, *more), rows, numbers=range(1, 8))


def deviations(*names: str) -> str:
    """What the file of a network says of how it differs from its paper, by name where needed."""
    told = [(name, source.deviations) for name in names if (source := source_of(name))]
    parts = []
    for text, group in groupby(told, key=lambda pair: pair[1]):
        alike = [f"`{name}`" for name, _ in group]
        words = text[:1].upper() + text[1:] if text else "None."
        if len(alike) < len(told):
            words = f"{', '.join(alike)}: {words}"
        parts.append(textwrap.fill(f"- {words}", WIDTH, subsequent_indent="  "))
    return typeset("\n".join(parts))


def index() -> str:
    """Every network of the catalogue."""
    rows = []
    for name, entry in CATALOG.items():
        rows.append(
            (
                f"[`{name}`]({entry.module}.md)",
                str(entry.input_size),
                exact(counts(name).parameters),
                short(counts(name).macs),
                published.TOP_1.get(name, NONE),
                _weights(name),
            )
        )
    heads = ("network", "pixels", "parameters", "multiply-adds", "top-1, %", "weights: top-1, %")
    return markdown(heads, rows, numbers=range(1, 5))


def checksums() -> str:
    """Of how many published files the whole SHA-256 is known, and of which ones it is not."""
    rows = [(name, tag, row) for name, tags in PUBLISHED.items() for tag, row in tags.items()]
    others = [f"`{name}` {tag}" for name, tag, row in rows if len(row.sha256) < WHOLE_DIGITS]
    text = (
        f"All digits are known of {len(rows) - len(others)} of the {len(rows)} files, eight of "
        f"these {len(others)}: {', '.join(others)}."
    )
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def forms() -> str:
    """Which library has which form, by name."""
    rows = []
    for form in peers.FORMS:
        libraries = (form.torchvision, form.timm, form.keras, form.convforge)
        rows.append((form.what, *map(_names, libraries)))
    return markdown(("form", "torchvision", "timm", "Keras", "convforge"), rows)


def _making(found: Summary, volume: Volume) -> tuple[str, str, str, str, str]:
    """By what two layers are told apart: made by, then, output, parameters, multiply-adds."""
    figures = exact(parameters_of(found, volume)), exact(macs_of(found, volume))
    return volume.what, _following(found, volume), size(volume.shape), *figures


def _following(found: Summary, volume: Volume) -> str:
    """What follows inside the layer, unless it is a block, and behind it up to the next map."""
    later = (other.rows.start for other in volumes(found) if other.rows.start >= volume.rows.stop)
    start = volume.rows.stop if volume.kind == "blocks" else volume.rows.start
    rows = found.rows[start : min(later, default=len(found.rows))]
    return ", ".join(FOLLOWING[row.kind] for row in rows if row.kind in FOLLOWING)


def _difference(count: int, figure: int | str | None) -> str:
    """0 where an exact figure is met; else in per cent of the figure."""
    if figure is None:
        return NONE
    if isinstance(figure, str):
        number, unit = figure.split()
        share = f"{count / (float(number) * UNITS[unit]) - 1:+.1%}"
        return "0.0%" if share in ("+0.0%", "-0.0%") else share
    return "0" if count == figure else f"{count - figure:+,}"


def _weights(name: str) -> str:
    """Tags of the published weights with their accuracy, and who publishes them."""
    cells = []
    for place, group in groupby(PUBLISHED.get(name, {}).items(), key=lambda item: _place(item[1])):
        tags = ", ".join(f"`{tag}` {weights.top1_percent}" for tag, weights in group)
        cells.append(f"{tags} ({place})")
    return ", ".join(cells) or NONE


def _place(weights: Published) -> str:
    if weights.package:
        return "a package"
    places = {TORCHVISION_URL: "torchvision", TIMM_URL: "timm", TIMM_HUB_URL: "timm"}
    return next(place for url, place in places.items() if weights.file.startswith(url))


def _names(names: tuple[str, ...]) -> str:
    """All names up to two, else the first and the last, without what a long one repeats."""
    if len(names) < 3:
        return ", ".join(f"`{name}`" for name in names) or NONE
    first, last = names[0], names[-1]
    if len(last) > LONG:
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=True))
        repeated = "".join(letter for letter, _ in alike)
        last = re.sub(".*(?:_|(?=[A-Z]))", "", repeated) + last[len(repeated) :]
    return f"`{first}` … `{last}`"
