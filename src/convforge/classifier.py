"""The classifier: a network, its weights and its card; what is trained, saved, explained, compiled.

A file is safetensors (https://github.com/huggingface/safetensors): 8 bytes with the length of a
JSON header, the header, then the weights. The header's metadata has one key, "convforge": the card,
and the SHA-256 of card and weights. Nothing in a file is executed. The same classifier gives the
same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from convforge.card import METADATA_KEY, Card
from convforge.errors import ClassifierError, InputError
from convforge.file_kinds import check_kind
from convforge.files import write_file
from convforge.images.picture import decode
from convforge.networks.catalog import create
from convforge.prediction import is_array, kind_of, softmax, top_predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from convforge.images.preprocess import Preprocess
    from convforge.networks.contract import ConvNet
    from convforge.prediction import Prediction

BATCH = 64  # images that `logits` puts through the network at a time: bounds the memory of its maps
MAX_HEADER_BYTES = 16 << 20  # a network of 10,000 tensors and 20,000 class names needs 2 MiB

_DIGEST = "sha256"


class Classifier:
    """A network with everything that is needed to use it.

    Raises ClassifierError where the card is not of this network: another number of classes than
    the network has logits, or preprocessing that gives another shape than the network takes.
    """

    def __init__(self, net: ConvNet, card: Card) -> None:
        if len(card.classes) != net.num_classes:
            raise ClassifierError(
                f"{net.name}: the card names {len(card.classes)} classes, the network has "
                f"{net.num_classes} logits; create the network with num_classes={len(card.classes)}"
            )
        if card.preprocess.input_shape != tuple(net.input_shape):
            raise ClassifierError(
                f"{net.name}: the card's preprocessing gives {card.preprocess.input_shape} "
                f"(channels, height, width), the network takes {tuple(net.input_shape)}; "
                "create one for the other"
            )
        self.net = net
        self.card = card

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.card.classes

    @property
    def preprocess(self) -> Preprocess:
        """From an image to the network's input."""
        return self.card.preprocess

    def predict(
        self, image: str | Path | Image.Image | NDArray[np.uint8], *, top: int = 5
    ) -> list[Prediction]:
        """The `top` most probable classes of one image, most probable first.

        `image` is a path, a Pillow image or a uint8 array [H, W], [H, W, 1], [H, W, 3] or
        [H, W, 4]. Raises DataError where it cannot be read, InputError where `top` is below 1.
        """
        return top_predictions(self.probabilities([decode(image)])[0], self.classes, top=top)

    def probabilities(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """float32 [N, K] of N RGB images uint8 [H, W, 3], each of its own size; rows sum to 1."""
        rows = [
            softmax(self.logits(np.stack([self.preprocess(image) for image in batch])))
            for batch in (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        ]
        return np.concatenate([np.empty((0, len(self.classes)), np.float32), *rows])

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, K] of preprocessed images float32 [N, C, H, W], in evaluation mode.

        The network's modes are as before afterwards. Raises InputError for another shape or type.
        """
        shape = self.preprocess.input_shape
        if not is_array(x, np.float32, ndim=4) or x.shape[1:] != shape:
            raise InputError(
                f"logits: expected float32 [N, {', '.join(map(str, shape))}],"
                f" got {kind_of(x)}; `preprocess` makes it from an image"
            )
        x = np.ascontiguousarray(x)
        device = next(itertools.chain(self.net.parameters(), self.net.buffers())).device
        with evaluation_mode(self.net), torch.no_grad():
            rows = [
                self.net(torch.tensor(batch, device=device)).cpu().numpy()
                for batch in (x[start : start + BATCH] for start in range(0, len(x), BATCH))
            ]
        return np.concatenate([np.empty((0, len(self.classes)), np.float32), *rows])

    def save(self, path: str | Path) -> None:
        """Write one file; a file of that name is replaced once the new one is complete.

        Raises OutputError where it cannot be written; the old file is then as it was.
        """
        state = {name: t.detach().cpu().contiguous() for name, t in self.net.state_dict().items()}
        fields = json.loads(self.card.dumps())
        fields[_DIGEST] = _digest(fields, state)
        text = json.dumps(fields, ensure_ascii=False, sort_keys=True)
        write_file(Path(path), safetensors_bytes(state, metadata={METADATA_KEY: text}))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote: the network is built from the card, then given the weights.

        Raises ClassifierError where the file is missing, cut, altered, of another kind or format,
        and where its weights do not fit its network, naming the first that differ.
        """
        path = Path(path)
        card, weights = _read(path)
        with torch.random.fork_rng(devices=[]):
            try:
                net = create(card.network, **card.arguments)
            except (InputError, TypeError, ValueError, RuntimeError) as error:
                raise ClassifierError(
                    f"{path}: its network {card.network!r} cannot be built ({error}); "
                    f"it was written by convforge {card.convforge}: load it with that version"
                ) from None
        _check_weights(path, expected=net.state_dict(), found=weights)
        net.load_state_dict(weights)
        try:
            return cls(net.eval(), card)
        except ClassifierError as error:
            raise ClassifierError(f"{path}: its card is damaged ({error})") from None


def read_card(path: Path) -> Card | None:
    """The card of a classifier's file, held against its weights; None of any other file.

    Raises ClassifierError where the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            if METADATA_KEY not in (file.metadata() or {}):
                return None
    except (OSError, SafetensorError):
        return None
    return _read(path)[0]


@contextlib.contextmanager
def evaluation_mode(net: ConvNet) -> Iterator[None]:
    """Put every module into evaluation mode, and each back into its own mode afterwards."""
    training = [module for module in net.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _digest(fields: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """SHA-256, in hex, over the card's fields and name, type, shape and bytes of every tensor."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """Card and weights of a file, each of its parts checked before it is used."""
    _check_header_length(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except SafetensorError as error:
        raise ClassifierError(
            f"{path}: damaged or cut short ({error}); save or copy the classifier again"
        ) from None
    if METADATA_KEY not in metadata:
        raise ClassifierError(
            f"{path}: a safetensors file without convforge's card in its header; "
            "expected one that `Classifier.save` or `convforge train` wrote"
        )
    text = metadata[METADATA_KEY]
    try:
        card = Card.loads(text, origin=str(path), error=ClassifierError)
    except RecursionError:
        raise ClassifierError(f"{path}: its card is damaged; write the file again") from None
    fields = json.loads(text)
    if fields.pop(_DIGEST, None) != _digest(fields, weights):
        raise ClassifierError(
            f"{path}: its card or weights are not what was saved (their SHA-256 differs); "
            "save or copy the classifier again"
        )
    return card, weights


def _check_header_length(path: Path) -> None:
    """Refuse what cannot be a safetensors file by its first 8 bytes, without reading more."""
    try:
        check_kind(path)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ClassifierError(
            f"{path}: cannot be read ({error.strerror}); expected a classifier file"
        ) from None
    if size < 10 or length > MAX_HEADER_BYTES:
        raise ClassifierError(
            f"{path}: not a classifier file (of {size} bytes, its first 8 give no header length "
            f"up to {MAX_HEADER_BYTES}); expected what `Classifier.save` or `convforge train` wrote"
        )


def _check_weights(
    path: Path, *, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    """Names, shapes and types must all be equal; raises ClassifierError naming the first three."""

    def kind(state: Mapping[str, Tensor], name: str) -> str:
        if name not in state:
            return "absent"
        return f"{str(state[name].dtype).removeprefix('torch.')} {list(state[name].shape)}"

    names = [*expected, *(name for name in found if name not in expected)]
    differing = [name for name in names if kind(expected, name) != kind(found, name)]
    if not differing:
        return
    lines = [f"{n}: expected {kind(expected, n)}, got {kind(found, n)}" for n in differing[:3]]
    more = f", and {len(differing) - 3} more" if len(differing) > 3 else ""
    raise ClassifierError(
        f"{path}: weights do not fit its network ({'; '.join(lines)}{more}); "
        "load it with the convforge that wrote it"
    )
