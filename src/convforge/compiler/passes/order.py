"""All passes in the order in which they run, with the reason for the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from convforge.compiler.ir.verify import verify
from convforge.compiler.passes.fold_batch_norm import fold_batch_norm
from convforge.compiler.passes.fold_padding import fold_padding
from convforge.compiler.passes.fold_scale_shift import fold_scale_shift
from convforge.compiler.passes.fuse_addition import fuse_addition
from convforge.compiler.passes.fuse_epilogue import fuse_epilogue
from convforge.compiler.passes.fuse_pair import fuse_pair
from convforge.compiler.passes.merge_transposes import merge_transposes
from convforge.compiler.passes.order_operands import order_operands
from convforge.compiler.passes.remove_identities import remove_identities
from convforge.compiler.passes.sink_transposes import sink_transposes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convforge.compiler.ir.graph import Graph

    Pass: TypeAlias = Callable[[Graph], Graph]
    Observer: TypeAlias = Callable[[str, Graph], None]

PASSES: tuple[Pass, ...] = (
    remove_identities,  # first: what changes nothing stands between what could be folded
    order_operands,  # a constant is looked for in one place from here on
    sink_transposes,  # brings transposes together
    merge_transposes,  # and they cancel; what is behind them meets what is before
    fold_padding,  # a convolution's neighbour has to be the layer it folds with
    fold_batch_norm,  # makes scale_shifts
    fold_scale_shift,  # before epilogues: nothing may stand between a layer and its scale
    fuse_epilogue,  # what is left after a layer moves into it
    fuse_addition,  # only a convolution without an epilogue may take a sum, with the sum's
    fuse_pair,  # last: the steps between and behind are in the two convolutions' epilogues
)


# Pairs are of float32; quantize takes the convolutions of a network one by one, and so do the
# kernels of bfloat16.
WITHOUT_PAIRS = PASSES[:-1]


def run_passes(
    graph: Graph, passes: Sequence[Pass] = PASSES, *, observe: Observer | None = None
) -> Graph:
    """Run passes and verify the result of each; `observe` gets each one's name and its graph."""
    verify(graph)
    for rewrite in passes:
        graph = rewrite(graph)
        verify(graph)
        if observe is not None:
            observe(rewrite.__name__, graph)
    return graph
