"""All kernel families; among those that accept a layer the cheapest one gets it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convforge.compiler.kernels import (
    channelwise,
    conv_bf16,
    conv_blocked,
    conv_depthwise,
    conv_direct,
    conv_int8,
    conv_pair,
    conv_winograd,
    depthwise_bf16,
    depthwise_int8,
    elementwise,
    elementwise_blocked,
    linear,
    linear_bf16,
    linear_int8,
    maps_bf16,
    maps_int8,
    normalization,
    pool_blocked,
    pooling,
    rbf,
    reduction,
    relayout,
    reorder,
    upsampling,
)
from convforge.compiler.kernels.family import all_planar
from convforge.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convforge.compiler.kernels.family import Kernel, Layer

KERNELS: tuple[Kernel, ...] = (
    conv_direct.KERNEL,
    conv_blocked.KERNEL,
    conv_depthwise.KERNEL,
    conv_pair.KERNEL,
    *conv_winograd.KERNELS,
    linear.KERNEL,
    pooling.KERNEL,
    upsampling.KERNEL,
    pool_blocked.KERNEL,
    elementwise.KERNEL,
    elementwise_blocked.KERNEL,
    channelwise.KERNEL,
    normalization.KERNEL,
    reduction.KERNEL,
    reorder.KERNEL,
    relayout.KERNEL,
    rbf.KERNEL,
    conv_int8.KERNEL,
    depthwise_int8.KERNEL,
    linear_int8.KERNEL,
    maps_int8.KERNEL,
    conv_bf16.KERNEL,
    depthwise_bf16.KERNEL,
    linear_bf16.KERNEL,
    maps_bf16.KERNEL,
)


def select(layer: Layer) -> Kernel:
    """The cheapest kernel that takes the layer in its layouts.

    Raises UnsupportedError with every refusal.
    """
    layouts = layer.layouts or all_planar(layer)[0]
    accepting = [
        kernel
        for kernel in KERNELS
        if kernel.refuses(layer) is None and layouts in kernel.layouts(layer)
    ]
    if not accepting:
        reasons = "; ".join(
            f"{kernel.name}: {kernel.refuses(layer) or 'knows other layouts'}" for kernel in KERNELS
        )
        raise UnsupportedError(
            f"layer {layer.node.name!r} ({layer.node.op}): no kernel takes it ({reasons})"
        )
    return min(accepting, key=lambda kernel: kernel.cost(layer))


def choices(layer: Layer) -> Iterator[tuple[Layer, float]]:
    """The layer in each combination of layouts that a kernel knows for it, and the cost there."""
    for kernel in KERNELS:
        if kernel.refuses(layer) is None:
            for layouts in kernel.layouts(layer):
                laid_out = replace(layer, layouts=layouts)
                yield laid_out, kernel.cost(laid_out)
