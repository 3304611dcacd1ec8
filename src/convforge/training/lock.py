"""One process at a time in a folder: two that write their states there would lose both runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from convforge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Within, no other process is in this folder likewise; one that ends or is killed is out of it.

    Raises OutputError where another one is. A file system without locks keeps nobody out.
    """
    number = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder}: another process is at work there; wait for its end, or name another"
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(number)
