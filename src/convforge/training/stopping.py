"""Stopping on request: Ctrl-C and SIGTERM end a run after the step under way, once it is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Which signal asked to stop, 0 while none has."""

    signal: int = 0


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Within, a first Ctrl-C or SIGTERM is only noted; a second one acts as it did before.

    Python lets the main thread alone change what signals do: in others nothing is noted.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: FrameType | None) -> None:
        stop.signal = number
        put_back()

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        put_back()
