"""How a machine computes a training step: what changes its speed, and only in rounding its result.

A step is the same mathematics on every machine. The choices are recorded on the card, since with
others the same recipe gives weights that differ in their last bits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

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

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)


PLAIN = Machine()
