"""Decoding: a file, a Pillow image or an array → uint8 [H, W, 3], sRGB as stored, one definition.

    file → header check → first frame → EXIF orientation → 8 bits → alpha over white → RGB

Grey is repeated into the three channels; palettes are looked up; CMYK and YCbCr are converted by
Pillow's formulas without colour profiles. 16-bit grey is scaled, round(v / 257); of 16-bit RGB,
Pillow keeps the high byte. Transparency, also a palette's or a colour key's, is laid over white.
Pixel values without a fixed range (32-bit integers, floats) are refused.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from convforge.errors import DataError
from convforge.images.preprocess import MAX_SIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    ImageLike = str | Path | Image.Image | NDArray[np.uint8]

MAX_PIXELS = 178_956_970  # pixels of an image, 537 MB as RGB: where Pillow itself stops
DRAFT_MARGIN = 2  # short sides that a JPEG keeps when it is decoded small, before the resize

# Of an image whose name is an address of the web.
ADDRESS = "is an address, and only files are read; fetch it first and name the file"

# What a file may hold, by its content; its suffix is not looked at. The other decoders of Pillow
# stay closed: some of them start programs (EPS) or read further files.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

# EXIF orientation → how to turn the stored picture upright; 1 is upright already.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # the EXIF tag

_GREY_16 = {"I;16", "I;16B", "I;16L", "I;16N"}
_GREY = {"1", "L", "LA", "La", "I", *_GREY_16}


def is_address(name: str) -> bool:
    """Whether a file's name is one of the web, also where a `Path` has taken a "/" out of it."""
    return re.match(r"(https?|ftp|file|data|s3|gs):/", name) is not None


def decode(image: ImageLike) -> NDArray[np.uint8]:
    """Any image → uint8 RGB [H, W, 3], C-contiguous.

    `image` is a path, a Pillow image, or a uint8 array [H, W], [H, W, 1], [H, W, 3] (which is given
    back as it is where it is contiguous) or [H, W, 4] with alpha. An animation gives its first
    frame. Raises DataError, naming the file, where it is missing, damaged, not an image, or has
    over MAX_PIXELS pixels or a side over MAX_SIDE; the size is read from the header, before any
    pixel is decoded.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if not isinstance(image, str | Path | Image.Image):
        raise DataError(
            f"image: expected a path, a Pillow image or a uint8 array, got {type(image).__name__}"
        )
    name = "image" if isinstance(image, Image.Image) else str(image)
    if not isinstance(image, Image.Image):
        return decode_file(Path(image), name=name)
    with _named(name, image):
        return _from_pillow(image, name=name)


def decode_file(
    file: Path | BinaryIO,
    *,
    name: str,
    short_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """As `decode`, an image file by its path or open for reading; messages call it `name`.

    `max_pixels` is a limit below MAX_PIXELS, for who has less memory than trust.
    With `short_side`, a JPEG may be decoded at a half, a quarter or an eighth of its size, as long
    as its short side keeps DRAFT_MARGIN times that many pixels: quicker, but not the same to the
    bit when it is then resized.
    """
    with _named(name, file), Image.open(file, formats=FORMATS) as picture:
        _check_size(height=picture.height, width=picture.width, name=name, max_pixels=max_pixels)
        if short_side is not None:
            picture.draft(None, (short_side * DRAFT_MARGIN, short_side * DRAFT_MARGIN))
        return _from_pillow(picture, name=name)


def is_grey(file: BinaryIO) -> bool | None:
    """Whether an image file's header says grey (of any depth, with or without alpha).

    None where the header cannot be read: `decode` will say why.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            return picture.mode in _GREY
    except Exception:  # noqa: BLE001 - a damaged file makes Pillow raise nearly anything
        return None


@contextlib.contextmanager
def _named(name: str, source: object) -> Iterator[None]:
    """What Pillow raises in here becomes a DataError that names the image."""
    try:
        yield
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{name}: {error}; make the image smaller") from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes Pillow raise nearly anything
        raise DataError(f"{name}: {_reason(source, error)}") from None


def _from_array(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8:
        raise DataError(
            f"image array: expected uint8 values 0…255, got {pixels.dtype}; "
            "scale to 0…255 and convert with .astype('uint8')"
        )
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in {1, 3, 4})
    if not is_image or pixels.size == 0:
        raise DataError(
            f"image array: expected one image of shape [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], "
            f"got {list(pixels.shape)}; channels come last, and one image goes in at a time"
        )
    height, width = pixels.shape[:2]
    _check_size(height=height, width=width, name="image array")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return _over_white(Image.fromarray(pixels))
    return np.ascontiguousarray(np.broadcast_to(np.atleast_3d(pixels), (height, width, 3)))


def _from_pillow(picture: Image.Image, *, name: str) -> NDArray[np.uint8]:
    _check_size(height=picture.height, width=picture.width, name=name)
    picture.load()
    picture = _upright(picture)
    if picture.mode in _GREY_16 | {"I", "F"}:
        return _from_array(_eight_bits(picture, name=name))
    if picture.has_transparency_data:
        return _over_white(picture)
    return np.array(picture.convert("RGB"))


def _check_size(*, height: int, width: int, name: str, max_pixels: int = MAX_PIXELS) -> None:
    if min(height, width) < 1:
        raise DataError(f"{name}: {width}x{height} pixels; expected at least 1x1")
    if max(height, width) > MAX_SIDE or height * width > max_pixels:
        raise DataError(
            f"{name}: {width}x{height} pixels, over the limit of {max_pixels:,} pixels or "
            f"{MAX_SIDE} a side; make the image smaller"
        )


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - unreadable EXIF says nothing about the orientation
        return picture
    return picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture


def _eight_bits(picture: Image.Image, *, name: str) -> NDArray[np.uint8]:
    """16-bit grey → uint8 [H, W]; PNG and PPM files of it may be opened as mode "I"."""
    is_file = picture.mode == "I" and picture.format in {"PNG", "PPM"}
    if picture.mode not in _GREY_16 and not is_file:
        raise DataError(f"{name}: 32-bit pixels have no fixed range; convert it to 8 bits first")
    values = np.asarray(picture).astype(np.uint32)
    if "transparency" in picture.info:
        values[values == picture.info["transparency"]] = 65535
    return ((values + 128) // 257).astype(np.uint8)


def _over_white(picture: Image.Image) -> NDArray[np.uint8]:
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture.convert("RGBA"))
    return np.array(paper.convert("RGB"))


def _reason(source: object, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        empty = isinstance(source, Path) and source.stat().st_size == 0
        empty = empty or (isinstance(source, io.BytesIO) and not source.getbuffer().nbytes)
        found = "is empty" if empty else "is not an image, or a damaged one"
        return f"{found}; expected one of {', '.join(FORMATS)}"
    if isinstance(error, FileNotFoundError):
        return ADDRESS if is_address(str(source)) else "no such file; expected an image"
    if isinstance(error, IsADirectoryError):
        return "is a folder; expected an image file"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read ({error.strerror})"
    return f"damaged or cut short ({error}); copy the file again"
