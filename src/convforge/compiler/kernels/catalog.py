"""All kernel families; among those that accept a layer the cheapest one gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.compiler.kernels import (
    channelwise,
    conv_direct,
    conv_tiled,
    elementwise,
    linear,
    pooling,
    rbf,
    reorder,
)
from convforge.errors import UnsupportedError

if TYPE_CHECKING:
    from convforge.compiler.kernels.family import Kernel, Layer

KERNELS: tuple[Kernel, ...] = (
    conv_direct.KERNEL,
    conv_tiled.KERNEL,
    linear.KERNEL,
    pooling.KERNEL,
    elementwise.KERNEL,
    channelwise.KERNEL,
    reorder.KERNEL,
    rbf.KERNEL,
)


def select(layer: Layer) -> Kernel:
    """The cheapest kernel that takes the layer. Raises UnsupportedError with every refusal."""
    accepting = [kernel for kernel in KERNELS if kernel.refuses(layer) is None]
    if not accepting:
        reasons = "; ".join(f"{kernel.name}: {kernel.refuses(layer)}" for kernel in KERNELS)
        raise UnsupportedError(
            f"layer {layer.node.name!r} ({layer.node.op}): no kernel takes it ({reasons})"
        )
    return min(accepting, key=lambda kernel: kernel.cost(layer))
