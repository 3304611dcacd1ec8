"""Tables of the papers, beside what the networks give. Each function is a directive of `build`."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import published
from cells import (
    NONE,
    counts,
    exact,
    markdown,
    parameters_of,
    rows_of,
    short,
    size,
    summary,
    taps_of,
    volume_of,
    weights_of,
)

from convforge.analysis.arithmetic import output_size
from convforge.analysis.volumes import volumes
from convforge.networks import efficientnet, googlenet, mobilenet_v2, resnet, vgg
from convforge.networks.catalog import CATALOG

if TYPE_CHECKING:
    from convforge.analysis.rows import Row
    from convforge.analysis.summary import Summary
    from convforge.analysis.volumes import Volume

VGG_COLUMNS = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}
# Tan and Le 2019, figures and the authors' code: the exponent of each variant.
PHI = {"b0": 0, "b1": 0.5, "b2": 1, "b3": 2, "b4": 4, "b5": 5, "b6": 6, "b7": 7}


def lenet_5() -> str:
    """Trainable parameters and connections of each layer, section II.B."""
    found = summary("lenet5")
    rows: list[tuple[str, ...]] = []
    total = 0
    for volume in volumes(found)[1:]:
        connections = _connections(found, volume)
        total += connections
        theirs = published.LENET_5.get(volume.name, (None, None))
        ours = exact(parameters_of(found, volume)), exact(connections)
        cells = (ours[0], exact(theirs[0]), ours[1], exact(theirs[1]))
        rows.append((f"`{volume.name}`", size(volume.shape), *cells))
    paper = sum(parameters for parameters, _ in published.LENET_5.values())
    sums = (found.parameters, paper, total, published.LENET_5_CONNECTIONS)
    rows.append(("**all**", "", *map(exact, sums)))
    heads = ("layer", "output", "trainable", "paper", "connections", "paper")
    return markdown(heads, rows, numbers=range(2, 6))


def vgg_1() -> str:
    """Table 1: the columns that are built."""
    pools = [volume for volume in volumes(summary("vgg16")) if volume.kind == "pooling"]
    rows = []
    for stage, pool in enumerate(pools):
        maps = [vgg.TABLE_1[column][stage] for column in VGG_COLUMNS]
        cells = (f"{len(widths)} x conv3-{widths[0]}" for widths in maps)
        rows.append((str(stage + 1), *cells, size(pool.shape)))
    layers = (sum(map(len, vgg.TABLE_1[column])) + 3 for column in VGG_COLUMNS)
    rows.append(("layers with weights", *map(str, layers), ""))
    heads = [f"{column}, `{name}`" for column, name in VGG_COLUMNS.items()]
    return markdown(("stage", *heads, "after 2x2 max pooling"), rows)


def googlenet_1() -> str:
    """Table 1: maps of every branch, weights and operations."""
    found = summary("googlenet")
    rows = []
    sums = [0.0] * 4
    for volume in volumes(found)[1:]:
        if volume.name not in published.GOOGLENET_1:
            continue
        parts = [*rows_of(found, volume)]
        if volume.name == "conv2":
            parts += rows_of(found, volume_of(found, "conv2_reduce"))
        weights = sum(weights_of(row) for row in parts if row.macs) / 1024
        operations = sum(row.macs for row in parts) / 1e6
        theirs = published.GOOGLENET_1[volume.name]
        figures = (weights, theirs[0], operations, theirs[1])
        sums = [total + value for total, value in zip(sums, figures, strict=True)]
        maps = googlenet.TABLE_1.get(volume.name) or (NONE,) * 6
        rows.append(
            (f"`{volume.name}`", size(volume.shape), *map(str, maps), *map(_three, figures))
        )
    rows.append(("**all**", *[""] * 7, *map(_three, sums)))
    branches = ("1x1", "3x3 reduce", "3x3", "5x5 reduce", "5x5", "pool proj")
    heads = ("type", "output", *branches, "weights, K", "paper", "operations, M", "paper")
    return markdown(heads, rows, numbers=range(2, 12))


def resnet_1() -> str:
    """Table 1: the blocks of every stage."""
    basic = [depth for depth, (maps, _) in resnet.TABLE_1.items() if maps == 64]
    deep = [depth for depth in resnet.TABLE_1 if depth not in basic]
    rows = []
    for stage in range(4):
        maps, wide = (resnet.TABLE_1[group[0]][0] << stage for group in (basic, deep))
        repeats = {depth: str(blocks[stage]) for depth, (_, blocks) in resnet.TABLE_1.items()}
        rows.append(
            (
                f"conv{stage + 2}_x",
                size(volume_of(summary("resnet18"), f"conv{stage + 2}").shape[1:]),
                f"3x3, {maps}; 3x3, {maps}",
                *(repeats[depth] for depth in basic),
                f"1x1, {wide // 4}; 3x3, {wide // 4}; 1x1, {wide}",
                *(repeats[depth] for depth in deep),
            )
        )
    heads = ("stage", "output", "block", *map(str, basic), "bottleneck", *map(str, deep))
    return markdown(heads, rows, numbers=(3, 4, 6, 7, 8))


def resnet_cifar() -> str:
    """The networks of section 4.2 with the errors of table 6."""
    rows = []
    for depth, (maps, blocks) in resnet.CIFAR_TABLE.items():
        found = counts(f"resnet{depth}")
        twin = f"plain{depth}"
        rows.append(
            (
                f"`resnet{depth}`",
                f"`{twin}`" if twin in CATALOG else NONE,
                str(blocks[0]),
                f"{maps}, {2 * maps}, {4 * maps}",
                exact(found.parameters),
                short(found.macs),
                f"{published.CIFAR_ERROR[depth]:.2f}",
            )
        )
    heads = ("network", "plain twin", "n", "maps", "parameters", "multiply-adds")
    return markdown((*heads, "error on CIFAR-10, %, paper"), rows, numbers=range(4, 7))


def mobilenet_v1_2() -> str:
    """Table 2: where multiply-adds and parameters lie."""
    found = summary("mobilenet_v1")
    totals = {kind: [0, 0] for kind in published.MOBILENET_SHARES}
    for row in found.rows:
        if row.macs:
            totals[_kind(row)][0] += row.macs
            totals[_kind(row)][1] += weights_of(row)
    weights = sum(count for _, count in totals.values())
    rows = []
    for kind, (macs, count) in totals.items():
        theirs = published.MOBILENET_SHARES[kind]
        shares = (100 * macs / found.macs, theirs[0], 100 * count / weights, theirs[1])
        rows.append((kind, *(f"{share:.2f}" for share in shares)))
    heads = ("layers", "multiply-adds, %", "paper", "parameters, %", "paper")
    return markdown(heads, rows, numbers=range(1, 5))


def multipliers(name: str) -> str:
    """Width and resolution multipliers: costs, and the accuracy that is published."""
    table = {"mobilenet_v1": published.MOBILENET_V1, "mobilenet_v2": published.MOBILENET_V2}[name]
    rows = []
    for (width, pixels), (macs, parameters, top1) in table.items():
        found = counts(name, width=width, input_size=pixels)
        size_cells = (exact(found.parameters), f"{parameters} M")
        operations = (f"{found.macs / 1e6:.1f} M", f"{macs} M")
        rows.append((str(width), str(pixels), *size_cells, *operations, f"{top1:.1f}"))
    heads = ("width", "pixels", "parameters", "published", "multiply-adds", "published")
    return markdown((*heads, "top-1, %, published"), rows, numbers=range(7))


def mobilenet_v2_2() -> str:
    """Table 2: expansion t, maps c, repeats n and first stride s of every group of blocks."""
    pixels, channels = CATALOG["mobilenet_v2"].input_size, mobilenet_v2.STEM
    stem = ("3x3 convolution", NONE, str(channels), "1", "2")
    rows: list[tuple[str, ...]] = [(size((3, pixels, pixels)), *stem)]
    side = output_size(pixels, kernel=3, stride=2, padding=1)
    for expansion, maps, blocks, stride in mobilenet_v2.TABLE_2:
        numbers = map(str, (expansion, maps, blocks, stride))
        rows.append((size((channels, side, side)), "inverted residual", *numbers))
        side, channels = output_size(side, kernel=3, stride=stride, padding=1), maps
    last = mobilenet_v2.LAST
    rows.append((size((channels, side, side)), "1x1 convolution", NONE, str(last), "1", "1"))
    rows.append((size((last, side, side)), "average, linear", NONE, "1000", "1", NONE))
    return markdown(("input", "operator", "t", "c", "n", "s"), rows, numbers=range(2, 6))


def efficientnet_1() -> str:
    """Table 1, and what the rule makes of it for b3 and b7."""
    variants = ("b0", "b3", "b7")
    columns = []
    for variant in variants:
        width, depth, *_ = efficientnet.COMPOUND[variant]
        columns.append(efficientnet.scale(width=width, depth=depth))
    rows = []
    for number, stages in enumerate(zip(*columns, strict=True), start=1):
        kernel = f"{stages[0].kernel_size}x{stages[0].kernel_size}"
        shape = volume_of(summary("efficientnet_b0"), f"stage{number}").shape
        rows.append(
            (
                f"`stage{number}`",
                f"MBConv{stages[0].expansion}, {kernel}, stride {stages[0].stride}",
                size(shape),
                *(f"{stage.repeats} x {stage.channels}" for stage in stages),
            )
        )
    heads = [f"{variant}: blocks x maps" for variant in variants]
    return markdown(("stage", "operator", "output of b0", *heads), rows)


def compound() -> str:
    """Coefficients of every variant, what the rule gives, what multiply-adds grow by."""
    base = counts("efficientnet_b0").macs
    rows = []
    for variant, phi in PHI.items():
        width, depth, pixels, _ = efficientnet.COMPOUND[variant]
        rule = efficientnet.compound_scaling(phi)
        growth = counts(f"efficientnet_{variant}").macs / base
        pairs = ((width, f"{rule[0]:.2f}"), (depth, f"{rule[1]:.2f}"), (pixels, f"{rule[2]:.0f}"))
        cells = [str(cell) for pair in pairs for cell in pair]
        rows.append((f"`{variant}`", str(phi), *cells, f"{growth:.1f}", f"{2**phi:.1f}"))
    heads = ("variant", "φ", "width", "1.1^φ", "depth", "1.2^φ", "pixels", "224 · 1.15^φ")
    return markdown((*heads, "multiply-adds over b0's", "2^φ"), rows, numbers=range(1, 10))


def _connections(found: Summary, volume: Volume) -> int:
    """Inputs of all units, biases too, as LeCun et al. count them; weights may be shared."""
    first = rows_of(found, volume)[0]
    if first.kind == "RBF":
        return prod(first.input_shapes[0]) * first.output_shape[0]
    if volume.kind == "pooling":
        return prod(volume.shape) * (taps_of(first) + 1)
    return prod(volume.shape[1:]) * first.parameters


def _kind(row: Row) -> str:
    """A row of MobileNet v1 by the words of its paper's table 2."""
    if row.geometry is None:
        return "linear layer"
    if row.geometry.groups > 1:
        return "3x3 depthwise convolutions"
    return "1x1 convolutions" if row.geometry.kernel == (1, 1) else "first convolution"


def _three(value: float) -> str:
    """With one decimal below 10, else none."""
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"
