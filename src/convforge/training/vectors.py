"""What a network sees in images: the vectors [F] that its last layer turns into logits.

A network whose weights were learnt elsewhere is run over every image once, without its last layer,
and the vectors are kept under the user's cache folder. They depend on the pixels, the weights and
the preprocessing, and so does their name there.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from convforge.files import cache_folder
from convforge.images.cache import Cache
from convforge.images.decoding import cache_key
from convforge.images.stored import shown, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from convforge.images.decoding import Decoded
    from convforge.images.preprocess import Preprocess
    from convforge.images.stored import Geometry
    from convforge.images.threads import Progress
    from convforge.networks.contract import ConvNet

    Engine = Callable[[NDArray[np.float32]], NDArray[np.float32]]

BATCH = 32  # images at a time: bounds the memory of their maps
# images from which on OpenVINO saves more than converting the network takes: for EfficientNet-Lite0
# 12 against 22 ms an image, and 3.6 s (processor time, AMD EPYC, November 2026)
MANY = 500
LIMIT_BYTES = 5_000_000_000  # of all vectors in the cache


def last_layer(net: ConvNet) -> tuple[str, nn.Linear] | None:
    """The linear layer that gives a network's logits, and its path below `head`.

    None where the last layer is something else: a convolution over maps, LeNet-5's RBF units.
    """
    path, layer = list(net.head.named_modules())[-1]
    return (path, layer) if isinstance(layer, nn.Linear) else None


def vectors_of(
    net: ConvNet,
    decoded: Decoded,
    *,
    preprocess: Preprocess,
    geometry: Geometry,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """float32 [N, F] of the images of a part, from the cache where they are there already.

    `geometry` is what the part was decoded with; of what lies uncropped the centre is taken. The
    network must end in a linear layer. It stays as it is.
    """
    images_key = cache_key(decoded.part, geometry)
    trunk = without_last(net)
    if images_key is None:
        return np.stack(list(_compute(trunk, decoded, preprocess, progress)))
    cache = Cache(folder=_folder(), limit_bytes=LIMIT_BYTES)
    kept = cache.find_or_build(
        _key(images_key, trunk, preprocess),
        lambda: (_as_bytes(v) for v in _compute(trunk, decoded, preprocess, progress)),
        waiting=lambda: None,
    )
    if kept is None:
        return np.stack(list(_compute(trunk, decoded, preprocess, progress)))
    rows = np.asarray(kept.pixels).reshape(len(decoded.part), -1)
    return np.ascontiguousarray(rows).view(np.float32)


def without_last(net: ConvNet) -> nn.Module:
    """A copy of a network, in evaluation mode, that gives what its last layer would take."""
    found = last_layer(net)
    assert found is not None, "the caller looked"
    parent, _, child = found[0].rpartition(".")
    trunk = copy.deepcopy(net).eval()
    setattr(trunk.head.get_submodule(parent), child, nn.Identity())
    return trunk


def engine(trunk: nn.Module, input_shape: tuple[int, int, int], *, count: int) -> Engine:
    """What runs a network over `count` images fastest: OpenVINO for MANY on a processor, or torch.

    Takes float32 [n, C, H, W] and gives float32 [n, F]; both compute in float32.
    """
    device = next(trunk.parameters()).device
    installed = importlib.util.find_spec("openvino") is not None
    if device.type == "cpu" and installed and count >= MANY:
        return _openvino(trunk, input_shape)
    trunk.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(x).to(device).contiguous(memory_format=torch.channels_last)
        found: Tensor = trunk(batch)
        return found.float().cpu().numpy()

    return run


def _openvino(trunk: nn.Module, input_shape: tuple[int, int, int]) -> Engine:
    import openvino  # noqa: PLC0415  (an optional package)

    example = torch.zeros(1, *input_shape)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it traces, which torch has deprecated
        model = openvino.convert_model(trunk, example_input=example, input=[-1, *input_shape])
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: np.array(compiled([x])[0])


def _compute(
    trunk: nn.Module, decoded: Decoded, preprocess: Preprocess, progress: Progress | None
) -> Iterator[NDArray[np.float32]]:
    count = len(decoded.part)
    run = engine(trunk, preprocess.input_shape, count=count)
    for start in range(0, count, BATCH):
        rows = np.arange(start, min(start + BATCH, count))
        stored = take(decoded.pixels, rows)
        yield from run(preprocess.normalize(np.stack([shown(i, preprocess) for i in stored])))
        if progress is not None:
            progress(start + len(rows), count, f"running the network over {decoded.part.name}")


def _key(images_key: str, trunk: nn.Module, preprocess: Preprocess) -> str:
    digest = hashlib.sha256(f"{images_key}{json.dumps(preprocess.to_json())}{trunk}".encode())
    for name, tensor in sorted(trunk.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _as_bytes(vector: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A vector as the cache keeps images: uint8 [1, bytes, 1]."""
    return np.ascontiguousarray(vector).view(np.uint8).reshape(1, -1, 1)


def _folder() -> Path:
    return cache_folder() / "vectors"
