"""The runtime: a compiled artifact as a classifier, with ctypes and numpy and nothing else.

Every thread that predicts gets a context of its own, so one `Runtime` can serve many threads;
ctypes releases the interpreter's lock while the artifact computes. Pillow is imported where an
image has to be decoded.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.card import Card
from convforge.errors import ArtifactError, DataError, InputError
from convforge.library import layers_of, open_library, shape_of
from convforge.prediction import is_array, kind_of, top_predictions

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    from numpy.typing import NDArray
    from PIL import Image

    from convforge.images.preprocess import Preprocess
    from convforge.library import Layer
    from convforge.prediction import Prediction


class Runtime:
    """A compiled classifier: `predict` from an image, `logits` from preprocessed pixels.

    The artifact of a bare network has neither class names nor preprocessing: `run`, from a tensor
    to a tensor, is all that it does.

    `grad_cam_shape` is (rows, columns) of what `grad_cam` gives; empty where the layers do not end
    in a head that is known as one, as those of other frameworks, and in networks of bytes.

    `level` names the instruction-set level to run at ("avx512", of int8 "avx512vnni", of bf16
    "avx512bf16", "avx2", "baseline"), the best one the CPU has where it is left out; `threads` is
    how many compute one input, those that it was compiled for where it is left out. `workers` is
    how many of the images that `probabilities` and `logits` are given are computed at a time, each
    by one thread unless `threads` says otherwise: slower for each, and faster for all together.
    Raises ArtifactError where the file is not a whole artifact of this version, or where the level
    or the threads are not to be had; InputError where `workers` is below 1.

    Opening an artifact runs code from the file: open only what you trust.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        level: str | None = None,
        threads: int | None = None,
        workers: int = 1,
    ) -> None:
        self.path = Path(path).resolve()
        if workers < 1:
            raise InputError(f"{self.path}: workers is {workers}; expected 1 or more")
        self._library = open_library(self.path)
        self._level = level
        self._threads = 1 if workers > 1 and threads is None else threads
        self._pool = _Pool(workers) if workers > 1 else None
        self._local = threading.local()
        self.input_shape = shape_of(self._library.cf_input_shape())
        self.output_shape = shape_of(self._library.cf_output_shape())
        self.grad_cam_shape = shape_of(self._library.cf_grad_cam_shape())
        card = self._library.cf_card()
        self._card = (
            Card.loads(card.decode(), origin=str(self.path), error=ArtifactError) if card else None
        )
        self._context()

    @property
    def card(self) -> Card:
        """The classifier's card. Raises InputError where the artifact is of a bare network."""
        if self._card is None:
            raise InputError(
                f"{self.path}: compiled from a bare network, without preprocessing and class "
                "names; `run` computes tensors, and a compiled classifier takes images"
            )
        return self._card

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits; none in the artifact of a bare network."""
        return self._card.classes if self._card else ()

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing that the artifact applies to every image; raises as `card` does."""
        return self.card.preprocess

    @property
    def level(self) -> str:
        """Name of the instruction-set level it runs at."""
        return str(self._library.cf_level_name(self._context()).decode())

    @property
    def threads(self) -> int:
        """Number of threads that compute one input."""
        return int(self._library.cf_threads(self._context()))

    @property
    def context_bytes(self) -> int:
        """Memory that each predicting thread holds beside the weights."""
        return int(self._library.cf_context_bytes(self._context()))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in the order in which they are computed."""
        return layers_of(self._library)

    def predict(
        self, image: str | Path | Image.Image | NDArray[np.uint8], *, top: int = 5
    ) -> list[Prediction]:
        """The `top` most probable classes of one image, a path, Pillow image or uint8 [H, W, 3]."""
        from convforge.images.picture import decode  # noqa: PLC0415  (Pillow)

        return top_predictions(self.probabilities([decode(image)])[0], self.classes, top=top)

    def probabilities(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [N, K] of RGB images, uint8 [H, W, 3] of any sizes; they sum to one.

        Raises DataError for another shape or type, and for a size that the preprocessing refuses.
        """
        result = np.empty((len(images), len(self.card.classes)), np.float32)
        for image in images:
            self._size(image)

        def compute(image: NDArray[np.uint8], row: NDArray[np.float32]) -> None:
            height, width = image.shape[:2]
            pixels = np.ascontiguousarray(image)
            context = self._context()
            status = self._library.cf_predict(context, _data(pixels), width, height, _data(row))
            assert status == 0, "the artifact's limits are the preprocessing's"

        self._for_each(compute, images, result)
        return result

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, K] of preprocessed images, float32 [N, C, H, W].

        Raises InputError for another shape or type, and where it computes something else.
        """
        batch, *image = self.input_shape
        if batch != 1 or len(image) != 3 or len(self.output_shape) != 2:
            raise InputError(
                f"{self.path}: takes {list(self.input_shape)} and gives {list(self.output_shape)}, "
                "no logits of one image; use `run`"
            )
        if not is_array(x, np.float32, ndim=4) or list(x.shape[1:]) != image:
            raise InputError(
                f"logits: expected float32 [N, {', '.join(map(str, image))}], got "
                f"{kind_of(x)}; `preprocess` makes it from an image"
            )
        inputs = np.ascontiguousarray(x)
        result = np.empty((len(inputs), self.output_shape[1]), np.float32)

        def compute(image: NDArray[np.float32], row: NDArray[np.float32]) -> None:
            self._library.cf_run(self._context(), _data(image), _data(row))

        self._for_each(compute, inputs, result)
        return result

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network alone, without preprocessing: float32 `input_shape` → `output_shape`.

        Raises InputError for another shape or type.
        """
        x = self._tensor(x)
        result = np.empty(self.output_shape, np.float32)
        self._library.cf_run(self._context(), _data(x), _data(result))
        return result

    def profile(self, x: NDArray[np.float32]) -> tuple[float, ...]:
        """Milliseconds that each of `layers` took in one `run`. Raises InputError as that does."""
        x = self._tensor(x)
        result = np.empty(self.output_shape, np.float32)
        nanoseconds = np.empty(self._library.cf_layers(), np.int64)
        self._library.cf_profile(self._context(), _data(x), _data(result), _data(nanoseconds))
        return tuple(float(value) / 1e6 for value in nanoseconds)

    def input_of(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network is given of an RGB image: float32 `input_shape`.

        Raises as `probabilities` does.
        """
        result = np.empty(self.input_shape, np.float32)
        height, width = self._size(image)
        pixels = np.ascontiguousarray(image)
        context = self._context()
        status = self._library.cf_preprocess_image(
            context, _data(pixels), width, height, _data(result)
        )
        assert status == 0, "the artifact's limits are the preprocessing's"
        return result

    def feature_maps(self, x: NDArray[np.float32], layer: int | str) -> NDArray[np.float32]:
        """What one of `layers`, by its place or its name, gives for an input of the network.

        float32 of the layer's `gives`. The network is computed up to that layer. There is no map
        between operations that one layer does together (`does`). Raises InputError for another
        shape or type, and where there is no such layer.
        """
        x = self._tensor(x)
        place = self._place(layer)
        result = np.empty(self.layers[place].gives, np.float32)
        self._library.cf_feature_maps(self._context(), _data(x), place, _data(result))
        return result

    def grad_cam(self, x: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """Grad-CAM of one logit for an input of the network: float32 [rows, columns] of the maps.

        Σ_k a_k A_k over the maps A before the head, with the mean gradients a of the logit; places
        above 0 speak for the class. The head is computed for changed maps, so that no gradient is
        needed: exact where it is an average and a weighted sum, as of all networks that end so; for
        others each channel is moved by 1/1024 of the largest value. Raises InputError for another
        shape or type, where there is no such logit, and where `grad_cam_shape` is empty.
        """
        x = self._tensor(x)
        if not self.grad_cam_shape:
            raise InputError(
                f"{self.path}: has no Grad-CAM, for its layers do not end in a head that is known "
                "as one and computes with float32; occlusion does without"
            )
        # Before C, whose numbers have 32 bits: ctypes drops the others.
        outputs = math.prod(self.output_shape)
        if index not in range(outputs):
            raise InputError(f"{self.path}: has no logit {index}; they are 0 to {outputs - 1}")
        heat = np.empty(self.grad_cam_shape, np.float32)
        status = self._library.cf_grad_cam(self._context(), _data(x), int(index), _data(heat))
        assert status == 0, "there are a head and such a logit"
        return heat

    def selftest(self) -> None:
        """Compute the input that the artifact holds the model's answer to.

        Raises ArtifactError where an output is off by more than 1/10,000 of the largest: the file
        or the compiler that made it is not to be trusted on this machine.
        """
        if self._library.cf_selftest(self._context()):
            raise ArtifactError(
                f"{self.path}: fails its self-test at level {self.level}: it computes something "
                "else than the model that it was compiled from; compile it again, with another C "
                "compiler (CC=…) or convforge"
            )

    def _tensor(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        if not is_array(x, np.float32, ndim=len(self.input_shape)) or x.shape != self.input_shape:
            raise InputError(
                f"run: expected float32 {list(self.input_shape)}, got {kind_of(x)}; "
                "compile the model for the shape that it is to take"
            )
        return np.ascontiguousarray(x)

    def _size(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """Height and width of an image that the preprocessing takes; raises DataError else."""
        if not is_array(image, np.uint8, ndim=3) or image.shape[2] != 3 or not image.size:
            raise DataError(
                f"an image of {kind_of(image)}; expected RGB pixels, uint8 "
                "[H, W, 3]; `predict` takes other kinds of images"
            )
        height, width = image.shape[:2]
        self.preprocess.resized_size(height=height, width=width)  # raises where there is no room
        return height, width

    def _place(self, layer: int | str) -> int:
        names = [one.name for one in self.layers]
        if isinstance(layer, int) and 0 <= layer < len(names):
            return layer
        if layer in names:
            return names.index(str(layer))
        raise InputError(
            f"{self.path}: has no layer {layer!r}; it has {len(names)}: {', '.join(names)}"
        )

    def _for_each(
        self, compute: Callable[[Any, Any], None], images: Iterable[Any], rows: NDArray[np.float32]
    ) -> None:
        """Compute every image into its row, as many at a time as there are workers."""
        run = map if self._pool is None or len(rows) < 2 else self._pool.map
        for _ in run(compute, images, rows):
            pass

    def _context(self) -> int:
        # The calling thread's own.
        if not hasattr(self._local, "context"):
            self._local.context = _Context(self._library, self._create())
        return int(self._local.context.pointer)

    def _create(self) -> int:
        level = None if self._level is None else self._level.encode()
        # 0 means the artifact's own number in C, and ctypes drops all but 32 bits; here nobody can
        # have meant that.
        wish = self._threads
        threads = 0 if wish is None else wish if 0 < wish < 1 << 31 else -1
        context = self._library.cf_create_with(level, threads)
        if not context:
            wanted = [] if self._level is None else [f"at level {self._level!r}"]
            wanted += [] if self._threads is None else [f"with {self._threads} threads"]
            reason = (
                f"cannot run {' and '.join(wanted)}, which this CPU or this artifact lacks; leave "
                "it out to get the best"
                if wanted
                else "not enough memory for one prediction"
            )
            raise ArtifactError(f"{self.path}: {reason}")
        return int(context)


class _Pool:
    """Threads that go with it. A process that was forked has none of them, and starts its own."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._start()

    def _start(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (start-up is measured)

        self._process = os.getpid()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="convforge")
        self._end = weakref.finalize(self, pool.shutdown, wait=False)
        self._map = pool.map

    def map(self, *arguments: Any) -> Iterator[Any]:
        """As the builtin `map`, several at a time."""
        if self._process != os.getpid():
            self._end.detach()  # the other process's lock might be held for ever
            self._start()
        return self._map(*arguments)


class _Context:
    """Owns one C context; it is destroyed with the thread that it belongs to."""

    def __init__(self, library: ctypes.CDLL, pointer: int) -> None:
        self.pointer = pointer
        # Not at the program's end: a daemon thread may still compute in it.
        weakref.finalize(self, library.cf_destroy, pointer).atexit = False


def _data(array: NDArray[Any]) -> int:
    return array.ctypes.data
