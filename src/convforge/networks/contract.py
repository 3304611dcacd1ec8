"""The contract that every network keeps: maps from `features`, class scores from `head`.

    forward(x) = head(features(x)),  x float32 [N, C, H, W]  →  logits [N, num_classes]

Explanation, fine-tuning, scaling, summaries and the trainer rely on this and on nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from convforge.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST_TRIED = 1024  # pixels a side


class ConvNet(nn.Module):
    """A network as `features` (a Sequential that gives maps [N, C, H, W]) and `head` (the rest).

    `catalog.create` fills in `name`, `arguments` (enough for it to build the network again; both
    empty until then), `input_shape` (C, H, W) and `num_classes`.
    """

    name: str
    arguments: dict[str, Any]
    input_shape: tuple[int, int, int]
    num_classes: int

    def __init__(self, features: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.name = ""
        self.arguments = {}
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, num_classes] of images [N, C, H, W]."""
        return self.head(self.features(x))  # type: ignore[no-any-return]

    def weighted_logits(self, x: Tensor) -> tuple[tuple[Tensor, float], ...]:
        """Every output that training sums a loss over, with its weight: the main one, at 1.

        A network with side heads (GoogLeNet) adds theirs in training mode.
        """
        return ((self(x), 1.0),)

    def heads(self) -> tuple[nn.Module, ...]:
        """Every module that gives logits; `head` is the first."""
        return (self.head,)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 (nn.Module's own signature)
        """As nn.Module's, but normalisation whose weights are frozen keeps to its statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm) and not _learns(module):
                module.train(False)  # noqa: FBT003
        return self


def _learns(module: nn.Module) -> bool:
    parameters = list(module.parameters(recurse=False))
    return not parameters or any(parameter.requires_grad for parameter in parameters)


def output_shape(
    build: Callable[[], nn.Module], input_shape: tuple[int, int, int]
) -> tuple[int, ...] | None:
    """Shape that a module gives for one input of `input_shape`, None where it cannot take it.

    Runs on the meta device: no memory, no arithmetic.
    """
    with torch.device("meta"):
        module = build().eval()
        try:
            shape = module(torch.empty(1, *input_shape)).shape
        except RuntimeError:
            return None
    return tuple(shape) if min(shape) > 0 else None


def map_shape(
    name: str,
    build: Callable[[], nn.Module],
    *,
    in_channels: int,
    input_size: int,
) -> tuple[int, int, int]:
    """(C, H, W) of the maps that the layers of `build` give, for heads that depend on them.

    Raises NetworkError where an input of this size leaves none.
    """
    shape = output_shape(build, (in_channels, input_size, input_size))
    if shape is None:
        raise NetworkError(
            f"{name}: an input of {input_size}x{input_size} pixels leaves nothing after its "
            "strides; take a larger one"
        )
    channels, height, width = shape[1:]
    return channels, height, width


def check_input_size(
    name: str, build: Callable[[int], nn.Module], *, in_channels: int, input_size: int
) -> None:
    """Refuse an input size that the network cannot take, naming the smallest that works.

    `build` gives the network for an input size. Raises NetworkError; what `build` itself raises at
    a size that is large enough is not about the size and is raised as it is.
    """

    def works(size: int) -> bool:
        try:
            return output_shape(lambda: build(size), (in_channels, size, size)) is not None
        except NetworkError:
            return False

    if works(input_size):
        return
    largest = (in_channels, _LARGEST_TRIED, _LARGEST_TRIED)
    if output_shape(lambda: build(_LARGEST_TRIED), largest) is None:
        raise NetworkError(f"{name}: no input size up to {_LARGEST_TRIED} works")
    # A larger input never gives smaller maps, so what works, works from some size on.
    smallest = 1 + bisect_left(range(1, _LARGEST_TRIED), True, key=works)  # noqa: FBT003
    raise NetworkError(
        f"{name}: an input of {input_size}x{input_size} pixels leaves nothing after its strides; "
        f"the smallest that works is {smallest}x{smallest}"
    )
