"""The network of a training: made for its data, and refused where it cannot do what is asked.

Weights to start from may be a classifier's file. Its card then says how the network was made and
what its images were prepared like, as the tables do of published weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convforge.classifier import read_card
from convforge.errors import NetworkError, RecipeError
from convforge.networks.catalog import create
from convforge.networks.weights import find, load_weights
from convforge.pretrained import preprocessing
from convforge.training.vectors import last_layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.card import Card
    from convforge.images.dataset import Images
    from convforge.images.preprocess import Preprocess
    from convforge.images.threads import Progress
    from convforge.networks.contract import ConvNet
    from convforge.training.recipe import Recipe


def create_for(
    images: Images,
    network: str,
    arguments: Mapping[str, Any],
    *,
    input_size: int | None,
    weights: str | None = None,
) -> ConvNet:
    """The network for the data, else as the classifier was whose file `weights` are.

    Raises NetworkError for arguments that are said elsewhere.
    """
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
    if input_size is not None:
        of_data["input_size"] = input_size
    own = card_of(network, weights)
    made_with = own.arguments if own is not None and own.network == network else {}
    return create(network, **{**made_with, **of_data, **arguments})


def card_of(network: str, weights: str | None) -> Card | None:
    """The card of weights that are a classifier's file; None of all others.

    Raises WeightsError where they are neither published nor a file, ClassifierError where the file
    is damaged.
    """
    if weights is None or find(network, weights) is not None:
        return None
    return read_card(Path(weights))


def start_from(
    net: ConvNet, weights: str | None, *, progress: Progress | None = None
) -> Preprocess | None:
    """Load `weights`, if any; gives the preprocessing they were made for, where it is known."""
    if weights is None:
        return None
    load_weights(net, net.name, weights, progress=progress)
    published = find(net.name, weights)
    if published is None:
        own = card_of(net.name, weights)
        return None if own is None else own.preprocess.for_input(net.input_shape)
    channels, side, _ = net.input_shape
    return preprocessing(published, input_size=side, channels=channels)


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
