"""The network of a training: made for its data, and refused where it cannot do what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convforge.errors import NetworkError, RecipeError
from convforge.networks.catalog import create
from convforge.training.vectors import last_layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.images.dataset import Images
    from convforge.networks.contract import ConvNet
    from convforge.training.recipe import Recipe


def create_for(
    images: Images, network: str, arguments: Mapping[str, Any], *, input_size: int | None
) -> ConvNet:
    """The network for the data. Raises NetworkError for arguments that are said elsewhere."""
    if "weights" in arguments or (input_size is not None and "input_size" in arguments):
        name = "weights" if "weights" in arguments else "input_size"
        raise NetworkError(
            f"{network}: {name} is an option of its own, and cannot be given as an argument of the "
            f"network, {arguments[name]!r}; give it there alone",
            names=[name],
        )
    of_data = {"num_classes": len(images.classes), "in_channels": images.channels}
    taken = [name for name in of_data if name in arguments]
    if taken:
        raise NetworkError(
            f"{network}: {taken[0]} comes from the data, {of_data[taken[0]]} here, and cannot be "
            f"given as {arguments[taken[0]]!r}; leave it out"
        )
    return create(network, **{**of_data, "input_size": input_size, **arguments})


def check_net(net: ConvNet, recipe: Recipe, *, tune: str) -> None:
    """Raise RecipeError for what this network cannot do, before an image is decoded."""
    if tune == "head" and last_layer(net) is None:
        raise RecipeError(
            f"tune='head' fits the linear layer that gives the logits, and {net.name} does not end "
            "in one; tune all of it, or take another network",
            names=["tune='head'"],
        )
    _, height, width = net.input_shape
    shift = recipe.augment.shift
    if shift >= min(height, width):
        raise RecipeError(
            f"augmentation: shift is {shift} pixels; expected less than a side of the network's "
            f"input, which is {width}x{height}"
        )
