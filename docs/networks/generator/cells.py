"""What the tables are made of: described networks, counts of their layers, cells of Markdown."""

from __future__ import annotations

import re
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convforge.analysis.rows import shape_text
from convforge.analysis.summary import Summary, describe
from convforge.analysis.volumes import TIMES, volumes
from convforge.networks.catalog import create

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from convforge.analysis.rows import Row, Shape
    from convforge.analysis.volumes import Volume

NONE = "\N{EN DASH}"  # in a cell without a value


# Layers without multiply-adds; running them takes most of the time that counting takes.
POINTWISE = (nn.BatchNorm2d, nn.Dropout, nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.SiLU)


class Counts(NamedTuple):
    """Parameters that a prediction reads, and multiply-adds of an image."""

    parameters: int
    macs: int


@cache
def summary(name: str) -> Summary:
    """A network of the catalogue, described layer by layer."""
    return describe(name)


@cache
def counts(name: str, **arguments: Any) -> Counts:
    """The totals of `summary`, in a quarter of the time, by torch's own counter."""
    with torch.device("meta"):
        net = create(name, **arguments).eval()
    parameters = sum(p.numel() for half in (net.features, net.head) for p in half.parameters())
    for module in list(net.modules()):
        for path, child in module.named_children():
            if isinstance(child, POINTWISE):
                setattr(module, path, nn.Identity())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, *net.input_shape, device="meta"))
    return Counts(parameters, counter.get_total_flops() // 2)


def volume_of(found: Summary, name: str) -> Volume:
    """The map of this name, as drawings have it."""
    return next(volume for volume in volumes(found) if volume.name == name)


def rows_of(found: Summary, volume: Volume) -> tuple[Row, ...]:
    """The rows of the summary that a map stands for."""
    return found.rows[volume.rows.start : volume.rows.stop]


def parameters_of(found: Summary, volume: Volume) -> int:
    """Parameters of the layers that make a map."""
    return sum(row.parameters for row in rows_of(found, volume))


def macs_of(found: Summary, volume: Volume) -> int:
    """Multiply-adds of the layers that make a map."""
    return sum(row.macs for row in rows_of(found, volume))


def weights_of(row: Row) -> int:
    """Parameters of a convolution or linear layer without its biases."""
    return row.output_shape[0] * taps_of(row)


def taps_of(row: Row) -> int:
    """Inputs of one output: the multiply-adds over the number of outputs."""
    return row.macs // prod(row.output_shape)


def short(count: int) -> str:
    """A count as 0.422 M, 40.6 M, 15.470 G."""
    if count >= 10**9:
        return f"{count / 1e9:.3f} G"
    return f"{count / 1e6:.1f} M" if count >= 10**7 else f"{count / 1e6:.3f} M"


def exact(count: int | str | None) -> str:
    """A count in full; a published text as it is."""
    return NONE if count is None else count if isinstance(count, str) else f"{count:,}"


def size(shape: Shape) -> str:
    """(C, H, W) as "HxWxC", as papers write it; (F,) as "F"."""
    return shape_text(shape)


def typeset(text: str) -> str:
    """With multiplication signs for "3x3" and "2 x conv"."""
    return re.sub(r"(?<=\d)x(?=\d)|(?<=\w )x(?= \w)", TIMES, text)


def markdown(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Container[int] = ()
) -> str:
    """A Markdown table, typeset; `numbers` holds the columns to set right."""
    rule = ["--:" if column in numbers else "---" for column in range(len(heads))]
    lines = ("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows))
    return typeset("\n".join(lines))
