"""Changes to a network that fine-tuning needs: another head, frozen layers, another dropout.

Every function changes the network that it is given, and returns it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from convforge.errors import NetworkError
from convforge.networks.lenet import RBF

if TYPE_CHECKING:
    from convforge.networks.contract import ConvNet


def replace_head(net: ConvNet, num_classes: int) -> ConvNet:
    """Give the network another number of classes, and keep all else.

    In `head` and in every side head the last linear layer, 1x1 convolution or RBF layer is
    exchanged for a new one: weights normal with deviation 0.01, biases 0, on the old one's device
    and in its type. Raises NetworkError for a number below 1, and a head without such a layer.
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise NetworkError(
            f"{_name(net)}: num_classes must be a whole number above 0, got {num_classes!r}"
        )
    paths = [(head, _last_layer(net, head)) for head in net.heads()]
    for head, path in paths:
        parent, _, child = path.rpartition(".")
        new = _with_outputs(head.get_submodule(path), num_classes)
        setattr(head.get_submodule(parent), child, new)
    net.num_classes = num_classes
    if net.arguments:
        net.arguments = {**net.arguments, "num_classes": num_classes}
    return net


def freeze(net: ConvNet, *, through: str | None = None) -> ConvNet:
    """Stop learning in `features`, from the input through the child named `through`; None: in all.

    Frozen normalisation keeps to its statistics, in training mode too. What is behind `through`
    learns again if it was frozen before. Raises NetworkError for a name that `features` lacks.
    """
    names = [name for name, _ in net.features.named_children()]
    if through is not None and through not in names:
        raise NetworkError(
            f"{_name(net)}: its features have no layer {through!r}; they are {', '.join(names)}"
        )
    frozen = names if through is None else names[: names.index(through) + 1]
    for name, child in net.features.named_children():
        child.requires_grad_(name not in frozen)
    net.train(net.training)
    return net


def freeze_normalization(net: ConvNet) -> ConvNet:
    """Stop every batch normalisation from learning; it keeps to its statistics while all trains."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)  # noqa: FBT003 (torch's only form)
    net.train(net.training)
    return net


def unfreeze(net: ConvNet) -> ConvNet:
    """Let every layer learn again, as after `create`."""
    net.requires_grad_(True)  # noqa: FBT003 (torch's only form)
    net.train(net.training)
    return net


def set_dropout(net: ConvNet, p: float) -> ConvNet:
    """Set every dropout of the heads and the features to probability `p`, 0 ≤ p < 1.

    Dropout of single units only, not the stochastic depth of whole blocks. Raises NetworkError for
    another `p`, and for a network without dropout.
    """
    if not 0 <= p < 1:
        raise NetworkError(f"{_name(net)}: dropout must be at least 0 and below 1, got {p}")
    layers = [module for module in net.modules() if isinstance(module, nn.Dropout)]
    if not layers:
        raise NetworkError(f"{_name(net)} has no dropout to set; leave it out of the recipe")
    for layer in layers:
        layer.p = p
    if "dropout" in net.arguments:
        net.arguments = {**net.arguments, "dropout": p}
    return net


def _name(net: ConvNet) -> str:
    return net.name or type(net).__name__


def _last_layer(net: ConvNet, head: nn.Module) -> str:
    layers = (nn.Linear, nn.Conv2d, RBF)
    paths: list[str] = [path for path, layer in head.named_modules() if isinstance(layer, layers)]
    if not paths:
        raise NetworkError(
            f"{_name(net)}: its head has no linear layer, convolution or RBF to replace; "
            "give the network a head that ends in one"
        )
    return paths[-1]


def _with_outputs(layer: nn.Module, num_classes: int) -> nn.Module:
    if isinstance(layer, RBF):
        return RBF(layer.codes.shape[1], num_classes).to(layer.codes)
    new: nn.Linear | nn.Conv2d
    if isinstance(layer, nn.Linear):
        new = nn.Linear(layer.in_features, num_classes)
    else:
        assert isinstance(layer, nn.Conv2d)
        new = nn.Conv2d(layer.in_channels, num_classes, 1)
    nn.init.normal_(new.weight, std=0.01)
    assert new.bias is not None
    nn.init.zeros_(new.bias)
    return new.to(layer.weight)
