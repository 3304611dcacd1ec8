"""C as indented text, and numbers as C literals that read back to the same bits."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Writer:
    """Collects lines of C; `block` opens a brace and indents what is written inside it."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def line(self, text: str = "") -> None:
        """Add one line at the current depth."""
        self._lines.append("    " * self._depth + text if text else "")

    @contextmanager
    def block(self, header: str, *, end: str = "}") -> Iterator[None]:
        """Write `header {`, then what the caller writes, one level deeper, then `end`."""
        self.line(f"{header} {{")
        self._depth += 1
        yield
        self._depth -= 1
        self.line(end)

    def loop(self, variable: str, count: int) -> AbstractContextManager[None]:
        """Open `for (int variable = 0; variable < count; variable++)`."""
        return self.block(f"for (int {variable} = 0; {variable} < {count}; {variable}++)")

    def text(self) -> str:
        """Everything written so far."""
        return "\n".join(self._lines) + "\n"


def c_float(value: float) -> str:
    """A float32 as a C literal, in hexadecimal: the same bits in every compiler.

    What is no number, or beyond float32's range, becomes a macro of <math.h>.
    """
    with np.errstate(over="ignore"):
        single = float(np.float32(value))
    if math.isnan(single):
        return "NAN"
    if math.isinf(single):
        return "INFINITY" if single > 0 else "-INFINITY"
    return f"{single.hex()}f"


def c_string(text: str) -> str:
    """Text as a C string literal in UTF-8, one source line per 80 bytes."""
    pieces, line = [], ""
    for byte in text.encode():
        char = chr(byte)
        # Octal escapes end after three digits, so they cannot swallow what follows them.
        line += char if 32 <= byte < 127 and char not in '\\"?' else f"\\{byte:03o}"
        if len(line) >= 80:
            pieces.append(line)
            line = ""
    return "\n    ".join(f'"{piece}"' for piece in [*pieces, line])
