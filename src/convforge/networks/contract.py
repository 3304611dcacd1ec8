"""The contract that every network keeps: maps from `features`, class scores from `head`.

    forward(x) = head(features(x)),  x float32 [N, C, H, W]  →  logits [N, num_classes]

Explanation, fine-tuning, scaling, summaries and the trainer rely on this and on nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from convforge.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ConvNet(nn.Module):
    """A network as `features` (a Sequential that gives maps [N, C, H, W]) and `head` (the rest).

    `catalog.create` fills in `name`, `arguments` (what the builder was called with, enough to build
    it again), `input_shape` (C, H, W) and `num_classes`.
    """

    name: str
    arguments: dict[str, Any]
    input_shape: tuple[int, int, int]
    num_classes: int

    def __init__(self, features: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, num_classes] of images [N, C, H, W]."""
        return self.head(self.features(x))  # type: ignore[no-any-return]

    def weighted_logits(self, x: Tensor) -> tuple[tuple[Tensor, float], ...]:
        """Every output that training sums a loss over, with its weight: the main one, at 1.

        A network with side heads (GoogLeNet) adds theirs.
        """
        return ((self(x), 1.0),)


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


def check_input_size(
    name: str,
    build: Callable[[Mapping[str, int]], nn.Module],
    *,
    in_channels: int,
    input_size: int,
) -> None:
    """Refuse an input size that the network cannot take, naming the smallest that works.

    `build` takes {"in_channels": …, "input_size": …} and gives the module. Raises NetworkError.
    """

    def works(size: int) -> bool:
        fields = {"in_channels": in_channels, "input_size": size}
        try:
            return output_shape(lambda: build(fields), (in_channels, size, size)) is not None
        except (NetworkError, ValueError, ZeroDivisionError):
            return False

    if works(input_size):
        return
    smallest = next((size for size in range(1, 1025) if works(size)), None)
    advice = f"the smallest that works is {smallest}" if smallest else "no size up to 1024 works"
    raise NetworkError(
        f"{name}: an input of {input_size}x{input_size} pixels leaves nothing after its strides; "
        f"{advice}"
    )
