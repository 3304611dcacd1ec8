"""The optimiser of a recipe: weight decay on weights only, one rate for all, set every step.

With gradient g, velocity v and rate r, "sgd" is torch's SGD with Nesterov's momentum,

    g ← g + weight_decay · w
    v ← momentum · v + g
    w ← w - r · (g + momentum · v)        "momentum", the classical one: w - r · v

"adamw" has `momentum` as its first decay rate and 0.999 as the second; "rmsprop" has 0.9 for the
mean of squares and an epsilon of 1e-3, as TensorFlow's had that the papers used; "muon" is Muon for
the weights and "sgd" for all else.

Biases, BatchNorm's scales and shifts and LeNet's sub-sampling coefficients, of which a unit has one
each, are left out of the decay: small ones do not make a simpler function.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from convforge.training.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from convforge.networks.contract import ConvNet
    from convforge.training.recipe import Recipe

# The rates of Muon's directions, of length 1 a row, and of SGD's gradients have no common scale:
# beside a rate of 0.02 for the former, its author's speed runs give the rest about a third.
_BESIDE_MUON = 1 / 3


def build_optimizers(net: ConvNet, recipe: Recipe) -> tuple[torch.optim.Optimizer, ...]:
    """Optimisers that share the trainable parameters of `net` among them: one, with Muon two.

    Each group's "scale" is what its rate is of the recipe's.
    """
    scales = layer_scales(net, decay=recipe.layer_decay)
    last = _last_weights(net)
    groups: dict[str, dict[tuple[bool, float], list[Tensor]]] = {}
    for parameter in net.parameters():
        if not parameter.requires_grad:
            continue
        is_weight = parameter.ndim > 1 and parameter[0].numel() > 1
        kind, scale = recipe.optimizer, scales.get(id(parameter), 1.0)
        if kind == "muon" and (not is_weight or id(parameter) in last):
            kind, scale = "sgd", scale * _BESIDE_MUON
        groups.setdefault(kind, {}).setdefault((is_weight, scale), []).append(parameter)
    return tuple(_build(own, recipe, kind=kind) for kind, own in groups.items())


def set_rate(optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    """Give every group of parameters its share of this learning rate, from the next step on."""
    for group in chain.from_iterable(optimizer.param_groups for optimizer in optimizers):
        group["lr"] = rate * group["scale"]


def layer_scales(net: ConvNet, *, decay: float) -> dict[int, float]:
    """What the rate of each parameter of the features is of the head's, by the parameter's id.

    `decay` for the last child of `features`, its square for the one before it, and so on.
    """
    children = list(net.features.children())
    return {
        id(parameter): decay ** (len(children) - index)
        for index, child in enumerate(children)
        for parameter in child.parameters()
    }


def _build(
    parameters: Mapping[tuple[bool, float], Sequence[Tensor]], recipe: Recipe, *, kind: str
) -> torch.optim.Optimizer:
    """One optimiser over groups by (whether they decay, their scale)."""
    groups: list[dict[str, Any]] = [
        {"params": group, "weight_decay": recipe.weight_decay if decays else 0.0, "scale": scale}
        for (decays, scale), group in parameters.items()
    ]
    rate, momentum = recipe.learning_rate, recipe.momentum
    if kind == "muon":
        return Muon(groups, lr=rate, momentum=momentum)
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=(momentum, 0.999))
    if kind == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=0.9, eps=1e-3, momentum=momentum)
    nesterov = kind == "sgd" and momentum > 0
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov)


def _last_weights(net: ConvNet) -> set[int]:
    """The ids of the weights that give logits, in the head and in side heads."""
    last: set[int] = set()
    for head in net.heads():
        weights = [p for p in head.parameters() if p.ndim > 1]
        last |= {id(p) for p in weights[-1:]}
    return last
