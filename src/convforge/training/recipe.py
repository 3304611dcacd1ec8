"""The recipe: every choice of a training run but the network and the data, as one frozen record.

A classifier carries its recipe as JSON, so that the run can be made again. `recipes` has one for
every network; `schedule` draws the learning rate, `optimizer` makes the updates.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from convforge.errors import RecipeError
from convforge.images.augment import Augment
from convforge.training.schedule import SCHEDULES, factor

if TYPE_CHECKING:
    from collections.abc import Mapping

# field: (smallest, largest), both allowed; their type is the field's
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 65_536),
    "learning_rate": (1e-8, 100.0),
    "warmup": (0.0, 1.0),
    "momentum": (0.0, 0.999),
    "weight_decay": (0.0, 1.0),
    "label_smoothing": (0.0, 0.9),
    "average": (0.0, 0.99999),
    "small_images": (0.0, 0.9),
    "layer_decay": (0.01, 1.0),
    "seed": (0, 2**63 - 1),
}
# field: the words that it may be
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("sgd", "momentum", "rmsprop", "adamw", "muon"),
    "schedule": SCHEDULES,
    "batch_norm": ("learn", "frozen"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, in numbers and words.

    `epochs` passes over the training split, in batches of `batch_size` images. `optimizer` is
    "sgd" (with Nesterov's momentum), "momentum" (the classical one), "rmsprop", "adamw" or "muon";
    `momentum` is the first decay rate of each. `learning_rate` is the peak, reached after the share
    `warmup` of all steps; `schedule` is its shape. `weight_decay` is for weights, not for biases,
    norms and coefficients that a unit has one of.

    `label_smoothing` is the share of the target that is spread over all classes. `average` is the
    decay a step of a moving average of the weights, which is then what is measured and kept; 0:
    none. `small_images` is the share of the steps, the first ones, that see images of three
    quarters of the side. `batch_norm` "frozen" keeps statistics, scales and shifts as they are.

    `layer_decay` is the rate of a layer over that of the next one nearer to the output: 1 for one
    rate, less where weights were learnt elsewhere. `augment` is what is done to the images. `seed`
    fixes the first weights, the order of the images, their augmentation and dropout.

    Raises RecipeError naming the field, its value and what it may be.
    """

    epochs: int = 20
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    schedule: str = "linear"
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    average: float = 0.0
    small_images: float = 0.0
    batch_norm: str = "learn"
    layer_decay: float = 1.0
    augment: Augment = field(default_factory=Augment)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in RANGES:
            _check_number(name, getattr(self, name))
        for name in CHOICES:
            _check_word(name, getattr(self, name))
        if not isinstance(self.augment, Augment):
            raise RecipeError(
                f"recipe: augment is {self.augment!r}; expected a record such as "
                '{"crop": "none", "flip": true, "shift": 4}'
            )

    def rate(self, done: float) -> float:
        """Learning rate where the share `done` of the course is over.

        A step has that of its middle, so that none has a rate of 0.
        """
        return self.learning_rate * factor(self.schedule, done, warmup=self.warmup)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back."""
        return {**dataclasses.asdict(self), "augment": self.augment.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """From what `to_json` gave; a field that is left out has its default.

        Raises RecipeError for a field that does not exist and for a value out of range.
        """
        known = [one.name for one in dataclasses.fields(cls)]
        unknown = sorted(set(fields) - set(known), key=str)
        if unknown:
            raise RecipeError(
                f"recipe: there is no field {unknown[0]!r}; the fields are {', '.join(known)}"
            )
        augment = fields.get("augment", {})
        if isinstance(augment, dict):
            augment = Augment.from_json(augment)
        return cls(**{**fields, "augment": augment})


def _check_number(name: str, value: object) -> None:
    smallest, largest = RANGES[name]
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (isinstance(value, int) or isinstance(largest, float))
        and smallest <= value <= largest
    ):
        return
    expected = "a whole number" if isinstance(largest, int) else "a number"
    raise RecipeError(
        f"recipe: {name} is {value!r}; expected {expected} from {smallest} to {largest}",
        names=[name],
    )


def _check_word(name: str, value: object) -> None:
    if value not in CHOICES[name]:
        raise RecipeError(
            f"recipe: {name} is {value!r}; expected one of {', '.join(CHOICES[name])}",
            names=[name],
        )
