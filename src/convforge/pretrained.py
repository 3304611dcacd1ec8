"""Classifiers with published weights: the network, its weights, class names and preprocessing.

    load_pretrained("efficientnet_lite0").predict("cat.jpg")

`networks.weight_sources` lists what is published.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

import torch

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.errors import NetworkError, PackageError, WeightsError
from convforge.images.preprocess import Interpolation, Preprocess
from convforge.networks.catalog import create, entry
from convforge.networks.weights import find, load_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convforge.networks.download import Progress
    from convforge.networks.weight_sources import Published


def load_pretrained(
    name: str,
    *,
    weights: str | Path = "imagenet",
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    progress: Progress | None = None,
) -> Classifier:
    """The network `name` with published weights, ready to predict, in evaluation mode.

    `weights` is a tag, or the path of a file; a file does not say what its classes are called and
    how its images were prepared, so `classes` (in the order of its outputs; `imagenet_classes()`
    for ImageNet's) and `preprocess` must be given with it, and only with it. The network is built
    for as many classes, and for the size and channels that `preprocess` gives. `progress` is called
    with bytes while a file is fetched.

    The classifier's metrics are the publisher's. Raises NetworkError for an unknown name,
    WeightsError where weights are not published, cannot be had or do not fit, PackageError where
    a package is missing, OutputError where the cache cannot be written.
    """
    entry(name)
    published = find(name, weights)
    if published is not None and classes is None and preprocess is None:
        classes, preprocess = imagenet_classes(), preprocessing(published)
    elif published is not None or classes is None or preprocess is None:
        raise WeightsError(
            f"{name}: classes and preprocess must be given with weights from a file, both, and "
            f"only then; got weights {str(weights)!r}, classes {_given(classes)}, "
            f"preprocess {_given(preprocess)}"
        )
    height, width = preprocess.crop
    if height != width:
        raise NetworkError(f"{name}: takes square images, the preprocessing crops {height}x{width}")
    with torch.random.fork_rng(
        devices=[]
    ):  # the caller's generator goes on as if nothing was drawn
        net = create(
            name, num_classes=len(classes), in_channels=preprocess.channels, input_size=height
        )
    load_weights(net, name, weights, progress=progress)
    card = Card(
        network=name,
        arguments=net.arguments,
        classes=tuple(classes),
        preprocess=preprocess,
        metrics={} if published is None else _metrics(published),
        data={"weights": str(weights) if published is None else _source(published)},
    )
    return Classifier(net.eval(), card)


def preprocessing(
    published: Published, *, input_size: int | None = None, channels: int = 3
) -> Preprocess:
    """What images need before published weights see them, as `Preprocess.for_input` has it."""
    mean, std = published.normalisation
    whole = Preprocess(
        resize=published.resize,
        crop=(published.crop, published.crop),
        mean=mean,
        std=std,
        interpolation=cast("Interpolation", published.interpolation),
    )
    side = published.crop if input_size is None else input_size
    return whole.for_input((channels, side, side))


def imagenet_classes() -> tuple[str, ...]:
    """Names of ImageNet's 1000 classes, in the order of the published networks' outputs.

    They come with torchvision; raises PackageError where that is not installed.
    """
    try:
        models = importlib.import_module("torchvision.models")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise PackageError(
            "the names of ImageNet's classes come with torchvision, which is not installed; "
            'install it with `pip install "convforge[train]"`'
        ) from None
    return tuple(models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def _given(value: object) -> str:
    return "missing" if value is None else "given"


def _metrics(published: Published) -> dict[str, object]:
    return {
        "published": {
            "data": "ImageNet-1k, validation",
            "top1_percent": published.top1_percent,
            "top5_percent": published.top5_percent,
        }
    }


def _source(published: Published) -> str:
    return published.file if published.package is None else f"{published.package}/{published.file}"
