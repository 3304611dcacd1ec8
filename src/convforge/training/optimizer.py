"""The optimiser of a recipe: Nesterov's momentum, weight decay on weights only, a triangular rate.

The update is that of torch.optim.SGD: with gradient g and velocity v,

    g ← g + weight_decay · w
    v ← momentum · v + g
    w ← w - rate · (g + momentum · v)

Biases, BatchNorm's scales and shifts and LeNet's sub-sampling coefficients, of which a unit has one
each, are left out of the decay: small ones do not make a simpler function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from convforge.training.recipe import Recipe


def build_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """An optimiser over the trainable parameters of `net`, in two groups: decayed and not."""
    trainable = [p for p in net.parameters() if p.requires_grad]
    weights = [p for p in trainable if p.ndim > 1 and p[0].numel() > 1]
    others = [p for p in trainable if p.ndim <= 1 or p[0].numel() == 1]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of parameters this learning rate, from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
