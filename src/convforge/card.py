"""The card: everything about a classifier but its weights, as one frozen record.

A classifier file and a compiled artifact carry the same card, as JSON. Reading one needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Self

from convforge.errors import ConvforgeError, DataError
from convforge.images.preprocess import Preprocess
from convforge.version import __version__

FORMAT = 1
METADATA_KEY = "convforge"  # what a card stands under in the metadata of a file that has others


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a classifier is, where it came from and how good it was.

    `network` and `arguments` build the network again (an empty name where the model was not one of
    the catalogue's); `classes` in the order of the logits; `preprocess` from an image to the input;
    `metrics`, `recipe` and `data` are plain JSON records of the training run, empty where unknown.
    `data` holds the URI, the content fingerprint and the split.
    """

    network: str
    arguments: dict[str, Any]
    classes: tuple[str, ...]
    preprocess: Preprocess
    metrics: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    convforge: str = __version__

    @property
    def trained(self) -> str:
        """What was trained for how long: "20 epochs", "the last layer", or what cut it short."""
        if "train" not in self.metrics:
            return "the last layer"
        count = self.recipe["epochs"]
        epochs = f"{count} epoch{'s' * (count != 1)}"
        shortened = self.metrics["train"].get("shortened")
        if "images" in self.metrics["train"]:
            epochs += f" of {self.metrics['train']['images']:,} images, a trial of a search"
        if shortened is None:
            return epochs
        return (
            f"{epochs} shortened by the time limit to {shortened['steps']:,} of "
            f"{shortened['planned']:,} steps"
        )

    def dumps(self) -> str:
        """The card as JSON text: the same card gives the same text."""
        fields = {
            "format": FORMAT,
            "convforge": self.convforge,
            "network": self.network,
            "arguments": self.arguments,
            "classes": list(self.classes),
            "preprocess": self.preprocess.to_json(),
            "metrics": self.metrics,
            "recipe": self.recipe,
            "data": self.data,
        }
        return json.dumps(fields, ensure_ascii=False, allow_nan=False, sort_keys=True)

    @classmethod
    def loads(cls, text: str, *, origin: str, error: type[ConvforgeError]) -> Self:
        """Read `dumps`' text; raises `error`, naming `origin`, where it is damaged or newer."""
        try:
            fields = json.loads(text)
            version = fields["format"]
        except (ValueError, KeyError, TypeError):
            raise error(f"{origin}: its card is damaged; write the file again") from None
        if version != FORMAT:
            raise error(
                f"{origin}: its card has format {version}, this convforge reads format {FORMAT}; "
                f"install the convforge that wrote it or write the file again"
            )
        try:
            return cls(
                network=fields["network"],
                arguments=dict(fields["arguments"]),
                classes=tuple(str(name) for name in fields["classes"]),
                preprocess=Preprocess.from_json(fields["preprocess"]),
                metrics=dict(fields["metrics"]),
                recipe=dict(fields["recipe"]),
                data=dict(fields["data"]),
                convforge=fields["convforge"],
            )
        except (KeyError, TypeError, ValueError, DataError) as cause:
            raise error(f"{origin}: its card is damaged ({cause}); write the file again") from None
