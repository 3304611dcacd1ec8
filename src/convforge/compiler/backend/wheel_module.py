"""A compiled classifier: names what is on an image.

    predict("cat.jpg", top=3)     [("cat", 0.97), ("dog", 0.02), ("fox", 0.01)]
    probabilities(pixels)         float32 [K] for uint8 RGB [H, W, 3]
    logits(x)                     float32 for float32 of INPUT_SHAPE, after preprocessing

CARD says where the classifier came from, CLASSES names the classes in the order of the results. Any
thread may call; each holds memory of its own. Needs numpy, and Pillow to open a path.

(In convforge itself nothing imports this file: a wheel's module is a copy of it.)
"""

from __future__ import annotations

import ctypes
import json
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CARD", "CLASSES", "INPUT_SHAPE", "logits", "predict", "probabilities"]

# Those that the classifier reads. Others may start programs (EPS) or read further files.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def _open() -> ctypes.CDLL:
    (path,) = Path(__file__).parent.glob("artifact.*")
    library = ctypes.CDLL(str(path))
    pointer, text, lengths = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int32)
    functions: dict[str, tuple[Any, ...]] = {
        "cf_create": (pointer,),
        "cf_destroy": (None, pointer),
        "cf_card": (text,),
        "cf_input_shape": (lengths,),
        "cf_output_shape": (lengths,),
        "cf_run": (ctypes.c_int, pointer, pointer, pointer),
        "cf_predict": (ctypes.c_int, pointer, pointer, ctypes.c_int32, ctypes.c_int32, pointer),
    }
    for name, (result, *arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _shape(lengths: Any) -> tuple[int, ...]:
    axes: list[int] = []
    while lengths[len(axes)]:
        axes.append(lengths[len(axes)])
    return tuple(axes)


_LIBRARY = _open()
_LOCAL = threading.local()
INPUT_SHAPE = _shape(_LIBRARY.cf_input_shape())
_OUTPUT_SHAPE = _shape(_LIBRARY.cf_output_shape())
CARD: dict[str, Any] | None = json.loads(_LIBRARY.cf_card()) if _LIBRARY.cf_card() else None
CLASSES: tuple[str, ...] = tuple(CARD["classes"]) if CARD else ()


class _Context:
    """The calling thread's memory; it goes with the thread."""

    def __init__(self) -> None:
        self.pointer: int | None = _LIBRARY.cf_create()
        if not self.pointer:
            raise MemoryError("not enough memory for one prediction")
        # Not at the program's end: a daemon thread may still compute in it.
        weakref.finalize(self, _LIBRARY.cf_destroy, self.pointer).atexit = False


def _context() -> int:
    if not hasattr(_LOCAL, "context"):
        _LOCAL.context = _Context()
    return int(_LOCAL.context.pointer)


def predict(image: str | Path | NDArray[np.uint8], *, top: int = 5) -> list[tuple[str, float]]:
    """The `top` most probable classes of an image, [(class, probability), ...].

    `image` is a path or uint8 RGB [H, W, 3]. Raises ValueError for anything else.
    """
    if top < 1:
        raise ValueError(f"top is {top}; ask for at least 1 class")
    found = probabilities(image)
    order = np.argsort(-found, kind="stable")[:top]
    return [(CLASSES[index], float(found[index])) for index in order]


def probabilities(image: str | Path | NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probability of every class, float32 [K], in the order of CLASSES."""
    if CARD is None:
        raise ValueError("this network takes tensors, not images; call `logits`")
    pixels = _decode(image) if isinstance(image, str | Path) else np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(
            f"expected a path or RGB pixels, uint8 [H, W, 3]; got {pixels.dtype} "
            f"{list(pixels.shape)}"
        )
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    result = np.empty(len(CLASSES), np.float32)
    if _LIBRARY.cf_predict(_context(), pixels.ctypes.data, width, height, result.ctypes.data):
        raise ValueError(f"an image of {width}x{height} pixels is too large; make it smaller first")
    return result


def logits(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the network gives for an input after preprocessing, float32 of INPUT_SHAPE."""
    x = np.asarray(x)
    if x.dtype != np.float32 or x.shape != INPUT_SHAPE:
        raise ValueError(f"expected float32 {list(INPUT_SHAPE)}, got {x.dtype} {list(x.shape)}")
    x = np.ascontiguousarray(x)
    result = np.empty(_OUTPUT_SHAPE, np.float32)
    _LIBRARY.cf_run(_context(), x.ctypes.data, result.ctypes.data)
    return result


def _decode(path: str | Path) -> NDArray[np.uint8]:
    # Upright, transparency over white, as when the network was trained.
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415  (for paths alone)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{path}: opening a file needs Pillow; install it (`pip install pillow`), or pass "
            "the pixels, uint8 RGB [H, W, 3]"
        ) from None
    with Image.open(path, formats=_FORMATS) as file:
        if file.mode.startswith(("I", "F")):
            raise ValueError(f"{path}: has more than 8 bits a channel; convert it to 8 bits first")
        picture = ImageOps.exif_transpose(file)
        if picture.has_transparency_data:
            paper = Image.new("RGBA", picture.size, "white")
            paper.alpha_composite(picture.convert("RGBA"))
            picture = paper
        return np.array(picture.convert("RGB"))
