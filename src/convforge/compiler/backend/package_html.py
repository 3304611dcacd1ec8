"""The target `html`: a classifier as one web page that works from a file, without any network.

The page's sources are in `serving/page/`; here they become one text, with the module, its weights
and the examples in it as base64. Its Content-Security-Policy allows the script and the style that
are in it, by their hashes, and no request of any kind.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convforge.compiler.backend.runs import pack_runs
from convforge.errors import InputError
from convforge.files import write_file
from convforge.page_source import assemble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convforge.card import Card
    from convforge.compiler.ir.graph import Array

ENTRY = "embedded.js"  # the module that starts the page
PROMISE = (
    "Your pictures stay on this device: the page makes no request to any network, and forbids "
    "itself to."
)
_GENERATOR = b'<meta name="generator" content="convforge '
_BEGINNING = 2048  # bytes of a page within which that is

# What browsers decode, by what a file begins with.
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"RIFF": "image/webp",
}


@dataclass(frozen=True)
class Page:
    """All that goes into a page.

    `relaxed` is the module for engines that have relaxed SIMD, `module` that for all others.
    `deviation` is the largest deviation of an output of the self-test, as a share of the largest
    output, that rounding the weights to `precision` costs; None of int8.
    """

    card: Card
    module: bytes
    relaxed: bytes
    weights: Array
    precision: str
    deviation: float | None
    examples: tuple[Path, ...] = ()


def is_page(path: Path) -> bool:
    """Whether a file is a page that was written here, by its beginning. Raises OSError."""
    with path.open("rb") as file:
        return _GENERATOR in file.read(_BEGINNING)


def check_examples(examples: Sequence[Path]) -> None:
    """Raise InputError, before any work, where an example is no picture that browsers show."""
    for path in examples:
        _picture(path)


def save_page(page: Page, path: Path) -> None:
    """Write the page. Raises OutputError."""
    write_file(path, page_text(page, title=path.stem).encode())


def page_text(page: Page, *, title: str) -> str:
    """The whole page: the same text for the same classifier."""
    return assemble(
        page.card,
        title=title,
        entry=ENTRY,
        data=_data(page),
        promise=PROMISE,
        # WebAssembly alone, no eval of text.
        allowed={"script-src": "'wasm-unsafe-eval'"},
    )


def _data(page: Page) -> str:
    weights = pack_runs(page.weights)
    # Weights of one byte lose a sixth by it. Others lose less than it takes to unpack them.
    packed = page.precision == "int8"
    facts = {
        "precision": page.precision,
        "deviation": page.deviation,
        "runs": weights.runs,
        "packed": packed,
        "examples": [_example(path) for path in page.examples],
    }
    # No text in it may end the element.
    text = json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c")
    binaries = {
        "module": gzip.compress(page.module, mtime=0),
        "relaxed": gzip.compress(page.relaxed, mtime=0),
        "weights": gzip.compress(weights.data, mtime=0) if packed else weights.data,
    }
    elements = [f'<script type="application/json" id="facts">{text}</script>']
    elements += [
        f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode()}</script>'
        for name, content in binaries.items()
    ]
    return "\n".join(elements)


def _example(path: Path) -> dict[str, str]:
    kind, content = _picture(path)
    return {"name": path.stem, "type": kind, "text": base64.b64encode(content).decode()}


def _picture(path: Path) -> tuple[str, bytes]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); name a picture as an example"
        ) from None
    for start, kind in _PICTURES.items():
        if content.startswith(start):
            return kind, content
    raise InputError(f"{path}: is no PNG, JPEG, GIF, BMP or WebP, which the page could show")
