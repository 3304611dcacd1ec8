"""What a file is that was given in a classifier's place: told by its first bytes, in words.

a library    ELF, Mach-O, PE or WebAssembly: an artifact, most likely
ONNX         its version first, as exporters write it
a page       HTML
an image     of the formats that are decoded
an archive   zip, as wheels and torch.save's files are, or a pickle
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.errors import ClassifierError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".safetensors"  # of a classifier

_READ = 512
_LIBRARIES = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"MZ", b"\0asm")
_PAGES = (b"<!doctype", b"<html")
_ARCHIVES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P5", b"P6")


def check_kind(path: Path) -> None:
    """Raise ClassifierError, saying what to do, where a file is known as something else.

    Raises OSError where it cannot be read.
    """
    with path.open("rb") as file:
        found = _other_kind(file.read(_READ), path)
    if found:
        raise ClassifierError(f"{path}: not a classifier file: it {found}")


def check_classifier_name(path: Path) -> None:
    """Raise OutputError where a file's name says that it is something else than a classifier."""
    if path.suffix.lower() != SUFFIX:
        raise OutputError(
            f"{path}: a classifier is a file of safetensors, and its name ends in {SUFFIX}: name "
            f"it {path.with_suffix(SUFFIX).name}"
        )


def _other_kind(head: bytes, path: Path) -> str:
    """What a file is that begins so, and what to do with it; "" where nobody knows."""
    if head[8:9] == b"{":
        return ""  # a safetensors file, whose first 8 bytes can be any
    instead = f"expected a classifier ({SUFFIX})"
    kinds = (
        (
            head.startswith(_LIBRARIES),
            f"is a compiled artifact or another library; {instead}: what it was compiled from",
        ),
        (_is_onnx(head), f"is an ONNX model; compile it first: convforge compile {path}"),
        (
            head.lstrip()[:9].lower().startswith(_PAGES),
            f"is a web page, which a browser opens; {instead} or a compiled artifact",
        ),
        (
            head.startswith(_IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
            f"is an image; {instead} or a compiled artifact, and the image after it",
        ),
        (
            head.startswith(_ARCHIVES),
            f"is an archive, as wheels and the files of torch.save are; {instead}",
        ),
    )
    return next((words for found, words in kinds if found), "")


def _is_onnx(head: bytes) -> bool:
    # Field 1, the version of the format, then field 2, who made it, or another of the first 15.
    return len(head) > 2 and head[0] == 0x08 and 3 <= head[1] <= 32 and head[2] & 7 == 2
