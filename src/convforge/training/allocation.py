"""Keep memory that is freed: a training step frees and takes the same large maps over and over.

glibc gives every large block back to the system when it is freed, and the system clears it page by
page when it is taken again. Within `kept_memory` blocks stay with the process:

    M_MMAP_MAX 0               large blocks come from the heap and not from the system
    M_TRIM_THRESHOLD 2 GiB     the top of the heap is not given back
    M_TOP_PAD 256 MiB          and grows in large pieces

Afterwards the defaults hold again, and what is free is given back. With another C library than
glibc nothing is changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEEP = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**28}
# glibc's own; a threshold that was set, unlike one that was not, no longer grows by itself
_DEFAULT = {_M_MMAP_MAX: 65_536, _M_TRIM_THRESHOLD: 2**25, _M_TOP_PAD: 2**17}


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Within, memory that the process frees stays with it."""
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    _set(libc, _KEEP)
    try:
        yield
    finally:
        _set(libc, _DEFAULT)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)
