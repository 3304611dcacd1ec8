"""Connections, before a request is one and while its answer is taken: how many, and how long.

    accepted ── too many open ────────────→ 503, closed
     └── a request's head ── too slow ────→ closed
          └── the request: `gate`, `uploads`, `workers`
               └── its answer ── not taken → closed

uvicorn bounds none of these. It has asyncio's loop and h11 here, whatever else is installed.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

MOST = 1024  # open at a time, where the system's limit allows as many
TELL_EVERY_S = 10.0  # one line in the log for all that were refused meanwhile
RETRY_S = 1.0  # asyncio's own, after an accept that failed

_BUSY = b'{"error":"the server is busy: it has as many connections as it may; ask again later"}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_BUSY), _BUSY)
)
_LOG = logging.getLogger("convforge.serving")


class Listener(socket.socket):
    """A listening socket that hands out no more connections than the process can hold.

    A quarter of its file descriptors are left for what requests open.
    """

    def __init__(self, listening: socket.socket) -> None:
        family, kind, protocol = listening.family, listening.type, listening.proto
        super().__init__(family, kind, protocol, fileno=listening.detach())
        self._room = _room()
        self._refused, self._told, self._failed = 0, float("-inf"), float("-inf")

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; BlockingIOError where there is none, or none is taken now."""
        try:
            connection, address = super().accept()
        except BlockingIOError:
            raise
        except OSError:
            # asyncio logs it with its traceback and waits, but before that asks again 2,048 times.
            if time.monotonic() - self._failed < RETRY_S:
                raise BlockingIOError from None
            self._failed = time.monotonic()
            raise
        # A new descriptor has the lowest number that is free: so many are open.
        if connection.fileno() < self._room:
            return connection, address
        self._refuse(connection)
        raise BlockingIOError

    def _refuse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(0)
            connection.send(_REFUSAL)
        self._refused += 1
        if time.monotonic() - self._told >= TELL_EVERY_S:
            _LOG.warning(
                "connections are refused: as many are open as may be",
                extra={"refused": self._refused},
            )
            self._refused, self._told = 0, time.monotonic()


def _room() -> int:
    """The number from which on a descriptor is one too many."""
    try:
        import resource  # noqa: PLC0415  (Windows has none, and no low numbers)
    except ImportError:
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if limit == resource.RLIM_INFINITY else min(MOST, limit * 3 // 4)


class Connection(H11Protocol):
    """One connection; subclasses have its limits.

    It is closed where a request's head is not there `timeout_s` after it began, or after the
    connection; where the client takes nothing of an answer for `timeout_s`; and where it takes none
    while `most_unsent` bytes of all answers wait to be taken.
    """

    timeout_s: float
    most_unsent: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Its first head has to come now."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # whatever is not taken at once is told
        self._head, self._answer = _Timer(self.loop), _Timer(self.loop)
        self._head.start(self.timeout_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        self._head.stop()
        self._answer.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A head may be there with it, or have begun."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.stop()
        elif not self._head.runs:  # the next head, or the rest of a body that nobody reads
            self._head.start(self.timeout_s, self.transport.abort)

    def pause_writing(self) -> None:
        """The client has not taken all that was written."""
        super().pause_writing()
        unsent = sum(one.transport.get_write_buffer_size() for one in self.connections)
        if unsent > self.most_unsent:
            self.transport.abort()
        else:
            self._watch_answer()

    def resume_writing(self) -> None:
        """Now it has."""
        self._answer.stop()
        super().resume_writing()

    def _watch_answer(self, before: int | None = None) -> None:
        """Look again in `timeout_s`, unless nothing was taken since there were `before` bytes."""
        left = self.transport.get_write_buffer_size() + _queued(self.transport)
        if left == before:
            self.transport.abort()
        else:
            self._answer.start(self.timeout_s, lambda: self._watch_answer(left))


class _Timer:
    """Calls once, unless it is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and not stopped."""
        return self._handle is not None

    def start(self, seconds: float, then: Callable[[], None]) -> None:
        self._handle = self._loop.call_later(seconds, then)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def _queued(transport: asyncio.Transport) -> int:
    """Bytes that the system holds for a connection, as the client has not taken them."""
    try:
        import fcntl  # noqa: PLC0415  (Windows has neither)
        import termios  # noqa: PLC0415
    except ImportError:
        return 0
    number = transport.get_extra_info("socket").fileno()
    (count,) = struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))
    return int(count)
