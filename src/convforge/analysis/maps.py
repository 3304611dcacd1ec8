"""What a network learned and what it computes, as pictures: first filters, and feature maps.

Filters are the kernels of the first convolution, drawn as colours where the images have colours
(Krizhevsky et al. 2012, figure 3); feature maps the strongest ones after each stage of `features`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from convforge.analysis.explanation import needs_classifier
from convforge.classifier import evaluation_mode
from convforge.errors import InputError
from convforge.images.picture import decode

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from convforge.classifier import Classifier

MAPS_SHOWN = 8  # of a stage: those that are active most


@dataclass(frozen=True, kw_only=True, eq=False)
class Filters:
    """The kernels of the first convolution, `layer`: float32 [OC, IC, KH, KW]."""

    layer: str
    weights: NDArray[np.float32]

    def save(self, path: str | PathLike[str], *, title: str = "") -> None:
        """Draw them; PNG, SVG or PDF by the name. Raises as `Explanation.save` does."""
        from convforge.analysis.overlay import save_filters  # noqa: PLC0415  (draws)

        save_filters(self, Path(path), title=title)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, without the weights."""
        return {"method": "filters", "layer": self.layer, "shape": list(self.weights.shape)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """Maps of one size: those after the child `name` of `features`, the last of that size.

    `channels` of them exist; `maps` float32 [M, h, w] are those with the largest mean magnitude,
    largest first, and `places` where they stand among all.
    """

    name: str
    channels: int
    places: tuple[int, ...]
    maps: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureMaps:
    """The strongest maps of every stage for one image, of which the network gets `seen`."""

    seen: NDArray[np.uint8]
    stages: tuple[Stage, ...]

    def save(self, path: str | PathLike[str], *, title: str = "") -> None:
        """Draw them; PNG, SVG or PDF by the name. Raises as `Explanation.save` does."""
        from convforge.analysis.overlay import save_features  # noqa: PLC0415  (draws)

        save_features(self, Path(path), title=title)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, without the maps."""
        stages = [
            {
                "name": stage.name,
                "shape": [stage.channels, *stage.maps.shape[1:]],
                "shown": list(stage.places),
            }
            for stage in self.stages
        ]
        return {"method": "features", "stages": stages}


def first_filters(classifier: Classifier) -> Filters:
    """The kernels of the first convolution of `features`.

    Raises InputError where there is none, and for a compiled artifact, which keeps
    them packed.
    """
    needs_classifier(classifier, "filters are its weights")
    for name, module in classifier.net.features.named_modules():
        if isinstance(module, nn.Conv2d):
            weights = module.weight.detach().cpu().numpy().astype(np.float32)
            return Filters(layer=f"features.{name}", weights=weights)
    raise InputError(f"{classifier.net.name}: filters: its features have no convolution")


def feature_maps(
    classifier: Classifier, image: str | Path | Image.Image | NDArray[np.uint8]
) -> FeatureMaps:
    """The strongest maps of every stage of `features`, a stage being layers of one map size.

    Raises DataError where the image cannot be used, InputError for a compiled artifact, which keeps
    no maps.
    """
    needs_classifier(classifier, "its maps have to be kept")
    pixels = decode(image)
    net, preprocess = classifier.net, classifier.preprocess
    device = next(itertools.chain(net.parameters(), net.buffers())).device
    last: dict[tuple[int, int], tuple[str, Tensor]] = {}
    with evaluation_mode(net), torch.no_grad():
        x = torch.tensor(preprocess(pixels)[None], device=device)
        for name, layer in net.features.named_children():
            x = layer(x)
            # Of one size the last: a layer that works in place changes the size of none.
            last[x.shape[2], x.shape[3]] = name, x[0]
    stages = tuple(_stage(name, maps) for name, maps in last.values())
    return FeatureMaps(seen=preprocess.pixels(pixels), stages=stages)


def _stage(name: str, maps: Tensor) -> Stage:
    order = maps.abs().mean(dim=(1, 2)).argsort(descending=True, stable=True)[:MAPS_SHOWN]
    return Stage(
        name=f"features.{name}",
        channels=len(maps),
        places=tuple(order.tolist()),
        maps=maps[order].cpu().numpy().astype(np.float32),
    )
