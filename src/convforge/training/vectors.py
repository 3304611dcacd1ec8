"""What a network sees in images: the vectors [F] that its last layer turns into logits.

A network whose weights were learnt elsewhere is run over every image once, without its last layer,
and the vectors are kept under the user's cache folder. They depend on the pixels, the weights and
the preprocessing, and so does their name there.
"""

from __future__ import annotations

import copy
import functools
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
from convforge.images.threads import one_ahead

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
# images of a request to OpenVINO, which computes one a core: 4.9 ms an image, and 6.1 ms where all
# cores compute the same 32 (two cores of an AMD EPYC, November 2026)
_REQUEST = 2
LIMIT_BYTES = 5_000_000_000  # of all vectors in the cache


def last_layer(net: ConvNet) -> tuple[str, nn.Linear] | None:
    """The linear layer that gives a network's logits, and its path below `head`.

    None where the last layer is something else: a convolution over maps, LeNet-5's RBF units.
    """
    path, layer = list(net.head.named_modules())[-1]
    return (path, layer) if isinstance(layer, nn.Linear) else None


class Trunk:
    """A network without its last layer, which must be a linear one; the network stays as it is.

    `count` images are to be run through it, of all parts together: they decide what runs it.
    """

    def __init__(self, net: ConvNet, *, count: int) -> None:
        self.module = without_last(net)
        self._input_shape, self._count = net.input_shape, count

    @functools.cached_property
    def run(self) -> Engine:
        """Made when it is first needed, which is not where all vectors are kept already."""
        return engine(self.module, self._input_shape, count=self._count)


def vectors_of(
    trunk: Trunk,
    decoded: Decoded,
    *,
    preprocess: Preprocess,
    geometry: Geometry,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """float32 [N, F] of the images of a part, from the cache where they are there already.

    `geometry` is what the part was decoded with; of what lies uncropped the centre is taken.
    """
    images_key = cache_key(decoded.part, geometry)
    if images_key is None:
        return np.stack(list(_compute(trunk, decoded, preprocess, progress)))
    cache = Cache(folder=_folder(), limit_bytes=LIMIT_BYTES)
    kept = cache.find_or_build(
        _key(images_key, trunk.module, preprocess),
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
        warnings.simplefilter("ignore")  # torch has deprecated traces
        traced = torch.jit.trace(trunk, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, example_input=example, input=[-1, *input_shape])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    queue = openvino.AsyncInferQueue(openvino.compile_model(model, "CPU", settings))
    done: dict[int, NDArray[np.float32]] = {}
    queue.set_callback(
        lambda request, row: done.__setitem__(row, request.get_output_tensor(0).data.copy())
    )

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        for row in range(0, len(x), _REQUEST):
            queue.start_async({0: x[row : row + _REQUEST]}, row)
        queue.wait_all()
        return np.concatenate([done[row] for row in range(0, len(x), _REQUEST)])

    return run


def _compute(
    trunk: Trunk, decoded: Decoded, preprocess: Preprocess, progress: Progress | None
) -> Iterator[NDArray[np.float32]]:
    count = len(decoded.part)
    starts = range(0, count, BATCH)

    def batch(start: int) -> NDArray[np.float32]:
        stored = take(decoded.pixels, np.arange(start, min(start + BATCH, count)))
        return preprocess.normalize(np.stack([shown(image, preprocess) for image in stored]))

    for start, x in zip(starts, one_ahead(map(batch, starts)), strict=True):
        yield from trunk.run(x)
        if progress is not None:
            progress(start + len(x), count, f"running the network over {decoded.part.name}")


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
