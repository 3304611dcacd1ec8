"""A recipe for every network: the best we know ("fast"), the paper's own ("paper"), or a file's.

"tune" is for weights that were learnt elsewhere, whatever the network.

`FAST` is for training on one machine: few epochs and a high rate. `PAPER` has the numbers of the
papers, which are for weeks on ImageNet (LeNet-5's: for MNIST; those of 20 to 110 layers: for
CIFAR-10); what a paper leaves open, or has in a form that a recipe lacks, stands beside it.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convforge.errors import PackageError, RecipeError
from convforge.files import write_file
from convforge.images.augment import Augment
from convforge.training.recipe import RANGES, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMED = ("fast", "paper", "tune")
# Optimisers' rates and momenta that do alike, as far as was measured (docs/training.md).
ALIKE: dict[str, tuple[float, float]] = {
    "sgd": (0.05, 0.9),
    "momentum": (0.05, 0.9),
    "rmsprop": (0.002, 0.9),
    "adamw": (0.002, 0.9),
    "muon": (0.02, 0.95),
}
SUFFIXES = (".yaml", ".yml", ".json")

_SMALL_MOVES = Augment(shift=4, flip=True)
_WINDOWS = Augment(crop="random", flip=True)
_SCALED_WINDOWS = Augment(crop="resized", scale=(0.08, 1.0), flip=True)
# Chosen on the digits split by seeds 100 to 119, not 0 to 4 (docs/training.md). A mirrored digit is
# none. The logits of `lenet5`, squared distances, are large at first: from a rate of 0.014 on,
# training diverges for some seeds.
_LENET5 = Recipe(epochs=30, learning_rate=0.007, augment=Augment(shift=2))
_LENET5_RELU = Recipe(epochs=30, learning_rate=0.08, augment=Augment(shift=2))
# Photographs and networks with batch normalisation: chosen with ResNet-18 on Imagenette
# (docs/training.md), where Muon is worth 8 points of SGD after 5 epochs and 5 after 20.
_PHOTOGRAPHS = Recipe(
    optimizer="muon",
    learning_rate=0.02,
    momentum=0.95,
    small_images=0.4,
    augment=Augment(crop="resized", scale=(0.35, 1.0), flip=True),
)
# Without batch normalisation a rate of 0.05 ends in dead units: the papers' 0.01.
_PLAIN_PHOTOGRAPHS = Recipe(learning_rate=0.01, augment=_SMALL_MOVES)
_CIFAR = Recipe(batch_size=128, learning_rate=0.1, small_images=0.4, augment=_SMALL_MOVES)

# The longest prefix of a network's name decides.
FAST: dict[str, Recipe] = {
    "": _PHOTOGRAPHS,
    "lenet5": _LENET5,
    "lenet5_relu": _LENET5_RELU,
    "alexnet": _PLAIN_PHOTOGRAPHS,
    "nin": _PLAIN_PHOTOGRAPHS,
    "vgg": _PLAIN_PHOTOGRAPHS,
    "googlenet": _PLAIN_PHOTOGRAPHS,
    "googlenet_bn": _PHOTOGRAPHS,
    **{f"resnet{depth}": _CIFAR for depth in (20, 32, 44, 56, 110)},
    **{f"plain{depth}": _CIFAR for depth in (20, 32, 44, 56)},
}

# What all of the papers until 2017 share.
_CLASSICAL: dict[str, Any] = {
    "optimizer": "momentum",
    "momentum": 0.9,
    "warmup": 0.0,
    "label_smoothing": 0.0,
    "schedule": "step",
}
# Section III.B: 20 passes, one image a step, no momentum. Its rates, 5e-4 falling to 1e-5, are
# divided by each weight's second derivative, which a recipe does not have: 1e-3 for all here.
_LENET5_PAPER = Recipe(
    epochs=20, batch_size=1, optimizer="momentum", momentum=0.0, learning_rate=1e-3, warmup=0.0,
    schedule="exponential", weight_decay=0.0, label_smoothing=0.0,
)  # fmt: skip
# Section 5: 90 cycles, the rate divided by 10 three times, when the error stopped falling.
_ALEXNET_PAPER = Recipe(
    **_CLASSICAL, epochs=90, batch_size=128, learning_rate=0.01, weight_decay=5e-4, augment=_WINDOWS
)
# Section 3.1: 74 epochs, the rate divided by 10 three times.
_VGG_PAPER = Recipe(
    **_CLASSICAL, epochs=74, batch_size=256, learning_rate=0.01, weight_decay=5e-4, augment=_WINDOWS
)
# Section 6: the rate falls by 4 % every 8 epochs. Epochs, batch and first rate are not published.
_GOOGLENET_PAPER = Recipe(
    **{**_CLASSICAL, "schedule": "exponential"},
    epochs=250, batch_size=256, learning_rate=0.01, weight_decay=2e-4, augment=_SCALED_WINDOWS,
)  # fmt: skip
# Section 3.4: 600,000 steps of 256 images, which are 120 epochs; divided by 10 at plateaus.
_RESNET_PAPER = Recipe(
    **_CLASSICAL, epochs=120, batch_size=256, learning_rate=0.1, weight_decay=1e-4, augment=_WINDOWS
)
# Section 4.2: 64,000 steps of 128 images, divided by 10 at 32,000 and 48,000.
_RESNET_CIFAR_PAPER = Recipe(
    **_CLASSICAL,
    epochs=182,
    batch_size=128,
    learning_rate=0.1,
    weight_decay=1e-4,
    augment=_SMALL_MOVES,
)
# v2, section 6.1: RMSProp, 0.98 an epoch, batches of 96 on each of 16 GPUs. v1 refers to Inception
# v3's training, which is the same but for the numbers. Epochs are not published.
_MOBILENET_PAPER = Recipe(
    epochs=230, batch_size=96, optimizer="rmsprop", momentum=0.9, learning_rate=0.045,
    schedule="exponential", warmup=0.0, weight_decay=4e-5, label_smoothing=0.1,
    augment=_SCALED_WINDOWS,
)  # fmt: skip
# Section 5.2: RMSProp, 0.256 for batches of 4096, 0.97 every 2.4 epochs; AutoAugment is left out.
_EFFICIENTNET_PAPER = Recipe(
    epochs=350, batch_size=4096, optimizer="rmsprop", momentum=0.9, learning_rate=0.256,
    schedule="exponential", warmup=0.014, weight_decay=1e-5, label_smoothing=0.1, average=0.9999,
    augment=_SCALED_WINDOWS,
)  # fmt: skip

PAPER: dict[str, Recipe] = {
    "lenet5": _LENET5_PAPER,
    "alexnet": _ALEXNET_PAPER,
    "nin": _ALEXNET_PAPER,  # section 4: "the training procedure of Krizhevsky et al."
    "vgg": _VGG_PAPER,
    "googlenet": _GOOGLENET_PAPER,
    "resnet": _RESNET_PAPER,
    "plain": _RESNET_PAPER,
    **{f"resnet{depth}": _RESNET_CIFAR_PAPER for depth in (20, 32, 44, 56, 110)},
    **{f"plain{depth}": _RESNET_CIFAR_PAPER for depth in (20, 32, 44, 56)},
    "mobilenet": _MOBILENET_PAPER,
    "efficientnet": _EFFICIENTNET_PAPER,
}


# Rates and frozen normalisation so that what was learnt is not lost in the first steps: at 0.01 for
# all layers, or with statistics of its own batches, a short run ends far below the frozen network;
# at 0.003 for three epochs, or without label smoothing, a little below it (docs/training.md).
TUNE = Recipe(
    epochs=2,
    batch_size=32,
    learning_rate=0.001,
    layer_decay=0.95,
    weight_decay=1e-4,
    batch_norm="frozen",
    augment=Augment(crop="resized", scale=(0.5, 1.0), flip=True),
)


def default_recipe(network: str) -> Recipe:
    """The recipe that a network of the catalogue is trained with where none is named: "fast"."""
    return FAST[_nearest(network, FAST)]


def find_recipe(network: str, recipe: str | Path, *, optimizer: str | None = None) -> Recipe:
    """The recipe of a network under a name of NAMED, or a file's fields over "fast".

    For another `optimizer` than a named recipe's own it has that one's momentum, and a rate in
    proportion, by ALIKE; a file's fields stay. Raises RecipeError where it is neither, where the
    file cannot be read or is no record of fields, and where a field does not exist or its value is
    out of range.
    """
    if str(recipe) == "fast":
        return _with_optimizer(default_recipe(network), optimizer)
    if str(recipe) == "tune":
        return _with_optimizer(TUNE, optimizer)
    if str(recipe) == "paper":
        return _with_optimizer(PAPER[_nearest(network, PAPER)], optimizer)
    path = Path(recipe)
    if path.suffix not in SUFFIXES:
        raise RecipeError(
            f"recipe {str(recipe)!r}: expected {', '.join(NAMED)}, or a file that ends in "
            f"{', '.join(SUFFIXES)}"
        )
    return with_fields(_over(default_recipe(network), path), {"optimizer": optimizer})


def with_fields(recipe: Recipe, fields: Mapping[str, Any]) -> Recipe:
    """A recipe with other values in some fields; None leaves a field as it is.

    Raises RecipeError for a value out of range.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return Recipe.from_json({**recipe.to_json(), **given})


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as YAML or JSON, by the file's suffix; `find_recipe` reads it back.

    Raises RecipeError for another suffix, OutputError where it cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise RecipeError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")
    record = recipe.to_json()
    if path.suffix == ".json":
        text = json.dumps(record, indent=2) + "\n"
    else:
        text = _yaml().safe_dump(record, sort_keys=False)
    write_file(path, text.encode())


def _with_optimizer(recipe: Recipe, optimizer: str | None) -> Recipe:
    if optimizer not in {None, recipe.optimizer} and optimizer in ALIKE:
        (rate, momentum), (before, _) = ALIKE[optimizer], ALIKE[recipe.optimizer]
        rate = float(f"{recipe.learning_rate * rate / before:.3g}")
        recipe = with_fields(recipe, {"learning_rate": rate, "momentum": momentum})
    return with_fields(recipe, {"optimizer": optimizer})


def _nearest(network: str, table: Mapping[str, Recipe]) -> str:
    return max((prefix for prefix in table if network.startswith(prefix)), key=len)


def _over(recipe: Recipe, path: Path) -> Recipe:
    try:
        return Recipe.from_json({**recipe.to_json(), **_read(path)})
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"cannot be read ({error.strerror}); expected recipe fields") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8 ({error}); save it as UTF-8") from None
    found = _parse_json(text) if path.suffix == ".json" else _parse_yaml(text)
    if not isinstance(found, dict):
        raise RecipeError('a record of fields was expected, such as {"epochs": 5}')
    return found


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RecipeError(f"not JSON ({error}); expected an object") from None


def _parse_yaml(text: str) -> object:
    yaml = _yaml()
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict):
        return found
    return {name: _number(name, value) for name, value in found.items()}


def _number(name: object, value: object) -> object:
    """YAML 1.1 takes 5e-4 for text, as it lacks a point: here it is the number it looks like."""
    if isinstance(value, str) and isinstance(RANGES.get(str(name), (0, 0))[1], float):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _yaml() -> Any:
    try:
        import yaml  # noqa: PLC0415  (recipes in JSON do without)
    except ModuleNotFoundError:
        raise PackageError(
            "a recipe in YAML needs the package pyyaml, which is not installed; install it with "
            '`pip install "convforge[train]"`, or write the recipe as JSON'
        ) from None
    return yaml
