"""How a machine computes a training step: what changes its speed, and only in rounding its result.

A step is the same mathematics on every machine. The choices are recorded on the card, since with
others the same recipe gives weights that differ in their last bits. `selection` chooses by a few
measured steps.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`device` is torch's; `precision` that of convolutions and products, weights stay in float32.

    With `channels_last`, maps lie in memory as [N, H, W, C]. `compiled` steps went through
    torch.compile. A batch goes through the network in `parts`, whose gradients are summed.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    channels_last: bool = False
    compiled: bool = False
    parts: int = 1

    @property
    def is_gpu(self) -> bool:
        """Whether steps run beside the processor and not on it."""
        return torch.device(self.device).type != "cpu"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; of several devices of a kind, which one it was is left out."""
        return {**dataclasses.asdict(self), "device": torch.device(self.device).type}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], *, device: str) -> Self:
        """From what `to_json` gave, on this device."""
        return cls(**{**fields, "device": device})


PLAIN = Machine()


@contextlib.contextmanager
def fast_kernels(device: str) -> Iterator[None]:
    """Within, a GPU's convolutions take the kernels that are measured fastest, TF32 for float32.

    Different kernels may be taken in different runs, which then agree in rounding only. On a
    processor nothing changes.
    """
    if device == "cpu":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, torch.get_float32_matmul_precision()
    cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        cudnn.benchmark = before[0]
        torch.set_float32_matmul_precision(before[1])
