"""The runtime: a compiled artifact as a classifier, with ctypes and numpy and nothing else.

Every thread that predicts gets a context of its own, so one `Runtime` can serve many threads;
ctypes releases the interpreter's lock while the artifact computes.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convforge.card import Card
from convforge.errors import ArtifactError, DataError, InputError
from convforge.images.decode import decode
from convforge.prediction import top_predictions
from convforge.seal import check_seal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import NDArray
    from PIL import Image

    from convforge.images.preprocess import Preprocess
    from convforge.prediction import Prediction

_FLOATS = np.ctypeslib.ndpointer(dtype=np.float32, flags="C_CONTIGUOUS")
_BYTES = np.ctypeslib.ndpointer(dtype=np.uint8, flags="C_CONTIGUOUS")


class Runtime:
    """A compiled classifier: `predict` from an image, `logits` from preprocessed pixels.

    `level` names the instruction-set level to run at ("avx512", "avx2", "baseline"); the best one
    the CPU has where it is left out. Raises ArtifactError where the file is not a whole artifact of
    this version, or where the level is not to be had.

    Opening an artifact runs code from the file: open only what you trust.
    """

    def __init__(self, path: str | PathLike[str], *, level: str | None = None) -> None:
        self.path = Path(path).resolve()
        check_seal(self.path)
        try:
            self._library = ctypes.CDLL(str(self.path))
            _declare(self._library)
        except OSError as error:
            raise ArtifactError(
                f"{self.path}: built for another machine ({error}); compile it on this one"
            ) from None
        except AttributeError as error:
            raise ArtifactError(
                f"{self.path}: lacks a part of an artifact's interface ({error}); compile it again"
            ) from None
        self._level = level
        self._local = threading.local()
        self.card = Card.loads(
            self._library.cf_card().decode(), origin=str(self.path), error=ArtifactError
        )
        self._context()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.card.classes

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing that the artifact applies to every image."""
        return self.card.preprocess

    @property
    def level(self) -> str:
        """Name of the instruction-set level it runs at."""
        return str(self._library.cf_level_name(self._context()).decode())

    @property
    def context_bytes(self) -> int:
        """Memory that each predicting thread holds beside the weights."""
        return int(self._library.cf_context_bytes(self._context()))

    def predict(
        self, image: str | Path | Image.Image | NDArray[np.uint8], *, top: int = 5
    ) -> list[Prediction]:
        """The `top` most probable classes of one image, a path, Pillow image or uint8 [H, W, 3]."""
        return top_predictions(self.probabilities([decode(image)])[0], self.classes, top=top)

    def probabilities(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [N, K] of RGB images, uint8 [H, W, 3] of any sizes; they sum to one.

        Raises DataError for another shape or type, and for a size that the preprocessing refuses.
        """
        result = np.empty((len(images), len(self.classes)), np.float32)
        context = self._context()
        for row, image in zip(result, images, strict=True):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise DataError(
                    f"an image of {image.dtype} {list(image.shape)}; expected RGB pixels, uint8 "
                    "[H, W, 3]; `predict` takes other kinds of images"
                )
            height, width = image.shape[:2]
            # Raises DataError where the preprocessing has no room for it.
            self.preprocess.resized_size(height=height, width=width)
            pixels = np.ascontiguousarray(image)
            status = self._library.cf_predict(context, pixels, width, height, row)
            assert status == 0, "the artifact's limits are the preprocessing's"
        return result

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, K] of preprocessed images, float32 [N, C, H, W].

        Raises InputError for another shape or type.
        """
        shape = self.preprocess.input_shape
        if x.dtype != np.float32 or x.ndim != 4 or x.shape[1:] != shape:
            raise InputError(
                f"logits: expected float32 [N, {', '.join(map(str, shape))}], got {x.dtype} "
                f"{list(x.shape)}; `preprocess` makes it from an image"
            )
        inputs = np.ascontiguousarray(x)
        result = np.empty((len(inputs), len(self.classes)), np.float32)
        context = self._context()
        for row, image in zip(result, inputs, strict=True):
            self._library.cf_run(context, image, row)
        return result

    def _context(self) -> int:
        # The calling thread's own.
        if not hasattr(self._local, "context"):
            self._local.context = _Context(self._library, self._create())
        return int(self._local.context.pointer)

    def _create(self) -> int:
        if self._level is None:
            context = self._library.cf_create()
            reason = "not enough memory for one prediction"
        else:
            context = self._library.cf_create_with(self._level.encode(), 0)
            reason = (
                f"cannot run at level {self._level!r}, which this CPU or this artifact lacks; "
                "leave the level out to get the best one"
            )
        if not context:
            raise ArtifactError(f"{self.path}: {reason}")
        return int(context)


class _Context:
    """Owns one C context; it is destroyed with the thread that it belongs to."""

    def __init__(self, library: ctypes.CDLL, pointer: int) -> None:
        self.pointer = pointer
        weakref.finalize(self, library.cf_destroy, pointer)


def _declare(library: ctypes.CDLL) -> None:
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    functions: dict[str, tuple[object, list[object]]] = {
        "cf_create": (pointer, []),
        "cf_create_with": (pointer, [text, ctypes.c_int]),
        "cf_destroy": (None, [pointer]),
        "cf_level_name": (text, [pointer]),
        "cf_card": (text, []),
        "cf_context_bytes": (ctypes.c_int64, [pointer]),
        "cf_run": (ctypes.c_int, [pointer, _FLOATS, _FLOATS]),
        "cf_predict": (
            ctypes.c_int,
            [pointer, _BYTES, ctypes.c_int32, ctypes.c_int32, _FLOATS],
        ),
    }
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
