"""Training: images and the name of a network → a `Classifier`, the same one for the same seed.

open the data → create the network → decode once, uint8 in memory → fit → measure → card
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.errors import RecipeError
from convforge.evaluation import measure
from convforge.images import source
from convforge.networks.catalog import create, entry
from convforge.prediction import softmax
from convforge.training.fitting import fit
from convforge.training.pixels import read_pixels
from convforge.training.recipe import default_recipe
from convforge.training.threads import suitable_threads

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from convforge.images.dataset import Images
    from convforge.images.preprocess import Preprocess
    from convforge.images.threads import Progress
    from convforge.networks.contract import ConvNet
    from convforge.training.recipe import Recipe

_BATCH = 256  # images that are normalised at a time when the result is measured: bounds memory


def train(
    data: str | Path | Images,
    *,
    network: str,
    epochs: int | None = None,
    seed: int | None = None,
    recipe: Recipe | None = None,
    weights: str | None = None,
    input_size: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Classifier:
    """Train `network` on the part "train" of `data` and measure it on "val" and "test".

    `data` is what `images.open` takes, or what it gave. `recipe` is the network's own by default;
    `epochs` and `seed` go over the recipe's. `input_size`, `arguments` and `weights` are those of
    `networks.create`; channels and classes come from the data. `progress(done, total, message)` is
    called while images are read and after every step.

    The same data, network, recipe and number of threads give the same weights to the bit; torch's
    generator is afterwards as it was before. Raises DataError, NetworkError, WeightsError or
    RecipeError before the first step, and RecipeError where the loss stops being finite.
    """
    started = time.perf_counter()
    entry(network)  # an unknown name is refused before a folder is read
    recipe = _with_overrides(recipe or default_recipe(network), epochs=epochs, seed=seed)
    images = source.open(data, progress=progress) if isinstance(data, str | Path) else data
    sizes = {"num_classes": len(images.classes), "in_channels": images.channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = create(network, **sizes, input_size=input_size, weights=weights, **(arguments or {}))
        _check_shift(recipe, input_shape=net.input_shape)
        pixels, preprocess = read_pixels(images, input_shape=net.input_shape, progress=progress)
        with suitable_threads(net, batch_size=recipe.batch_size):
            fitted = fit(
                net,
                pixels["train"],
                images.splits["train"].labels,
                preprocess=preprocess,
                recipe=recipe,
                progress=progress,
            )
            card = _card(net, images, preprocess=preprocess, recipe=recipe)
            metrics = _measure(Classifier(net.eval(), card), images, pixels)
    metrics["train"] = dataclasses.asdict(fitted)
    metrics["seconds"] = round(time.perf_counter() - started, 3)
    return Classifier(net, dataclasses.replace(card, metrics=metrics))


def _with_overrides(recipe: Recipe, *, epochs: int | None, seed: int | None) -> Recipe:
    if epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    return recipe if seed is None else dataclasses.replace(recipe, seed=seed)


def _check_shift(recipe: Recipe, *, input_shape: tuple[int, int, int]) -> None:
    _, height, width = input_shape
    if recipe.shift >= min(height, width):
        raise RecipeError(
            f"recipe: shift is {recipe.shift} pixels; expected less than a side of the network's "
            f"input, which is {width}x{height}"
        )


def _card(net: ConvNet, images: Images, *, preprocess: Preprocess, recipe: Recipe) -> Card:
    return Card(
        network=net.name,
        arguments=net.arguments,
        classes=images.classes,
        preprocess=preprocess,
        recipe=recipe.to_json(),
        data=images.record(),
    )


def _measure(
    classifier: Classifier, images: Images, pixels: Mapping[str, NDArray[np.uint8]]
) -> dict[str, Any]:
    """`Evaluation.summary` by part, of the parts that were held out."""
    summaries = {}
    for name in ("val", "test"):
        if name not in images.splits:
            continue
        resized = pixels[name]
        batches = (resized[start : start + _BATCH] for start in range(0, len(resized), _BATCH))
        probabilities = [
            softmax(classifier.logits(classifier.preprocess.normalize(batch))) for batch in batches
        ]
        part = images.part(name, classes=images.classes)
        evaluation = measure(probabilities, part, classes=images.classes, uri=images.uri)
        summaries[name] = evaluation.summary()
    return summaries
