"""The names that other libraries give to weights, put into the order in which data flows.

Networks of one paper have the same layers everywhere, under other names. Sorted from input to
output, the weights of a file stand side by side with ours. The order inside a file does not
matter: safetensors files are sorted by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Tree = dict[str, "Tree"]

# Names that stand side by side in a module, from input to output. A module's children are sorted
# by the first row that has all of them; children that are numbers, by number.
ORDERS = (
    # of one layer
    ("weight", "bias", "running_mean", "running_var"),
    # torchvision: AlexNet, VGG, MobileNet v2, EfficientNet; squeeze and excitation
    ("features", "classifier"),
    ("fc1", "fc2"),
    # torchvision, timm: ResNet; the CIFAR networks of He et al. as akamaster wrote them
    ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"),
    ("conv1", "bn1", "layer1", "layer2", "layer3", "linear"),
    ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample"),
    # torchvision: GoogLeNet, its blocks, its side heads
    ("conv1", "conv2", "conv3", "inception3a", "inception3b", "inception4a", "inception4b",
     "inception4c", "inception4d", "inception4e", "inception5a", "inception5b", "aux1", "aux2",
     "fc"),
    ("branch1", "branch2", "branch3", "branch4"),
    ("conv", "bn"),
    ("conv", "fc1", "fc2"),
    # timm: VGG
    ("features", "pre_logits", "head"),
    # timm: MobileNets, EfficientNets; depthwise separable, then inverted residual blocks
    ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "classifier"),
    ("conv_dw", "bn1", "se", "conv_pw", "bn2"),
    ("conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_pwl", "bn3"),
    ("conv_reduce", "conv_expand"),
    # efficientnet_pytorch and efficientnet_lite_pytorch
    ("_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1", "_fc"),
    ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_reduce", "_se_expand",
     "_project_conv", "_bn2"),
)  # fmt: skip


def forward_order(names: Iterable[str], *, origin: str) -> tuple[str, ...]:
    """Names of weights, like "layer1.0.bn1.bias", from input to output.

    Raises WeightsError, naming `origin`, where no row of `ORDERS` has all names of a module.
    """
    tree: Tree = {}
    for name in names:
        node = tree
        for part in name.split("."):
            node = node.setdefault(part, {})
    return tuple(_walk(tree, prefix="", origin=origin))


def _walk(node: Tree, *, prefix: str, origin: str) -> Iterator[str]:
    for part in _sorted(list(node), prefix=prefix, origin=origin):
        if node[part]:
            yield from _walk(node[part], prefix=f"{prefix}{part}.", origin=origin)
        else:
            yield prefix + part


def _sorted(parts: list[str], *, prefix: str, origin: str) -> list[str]:
    if all(part.isdecimal() for part in parts):
        return sorted(parts, key=int)
    if len(parts) == 1:
        return parts
    for order in ORDERS:
        if set(parts) <= set(order):
            return [part for part in order if part in parts]
    known = {part for order in ORDERS for part in order}
    strange = [part for part in parts if part not in known] or parts
    shown = ", ".join(f"{prefix}{part}" for part in strange[:3])
    raise WeightsError(
        f"{origin}: the names {shown} are not of torchvision's, timm's, efficientnet_pytorch's or "
        "convforge's naming; rename the weights after one of them"
    )
