"""Clients that ask a server for predictions, for `serving.py`: HTTP/1.1 in as little as it takes.

What asks shares the machine with what answers, so that it has to cost next to nothing.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """What became of requests: milliseconds of the answered, how many were refused or lost."""

    answered_ms: list[float] = field(default_factory=list)
    refused: int = 0
    other: list[str] = field(default_factory=list)

    def add(self, status: int, seconds: float) -> None:
        """One answer."""
        if status == 200:
            self.answered_ms.append(1000 * seconds)
        elif status == 503:
            self.refused += 1
        else:
            self.other.append(f"status {status}")


def request_of(picture: bytes) -> bytes:
    """The bytes of a request with one file in a form."""
    head = 'Content-Disposition: form-data; name="file"; filename="picture.jpg"'
    kind = "Content-Type: image/jpeg"
    body = f"--b\r\n{head}\r\n{kind}\r\n\r\n".encode() + picture + b"\r\n--b--\r\n"
    lines = (
        "POST /predict HTTP/1.1",
        "Host: x",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection:
    """One connection that stays open; a request, then its answer.

    One that the server closed while it was idle is opened again, as RFC 9112 (9.3.1) has clients
    do; `reopened` counts that.
    """

    reopened = 0

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: Any = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """(status, body). Raises OSError where the connection breaks."""
        used = self._streams is not None
        try:
            return await self._ask(request)
        except ConnectionAbortedError:
            if not used:
                raise
            self.reopened += 1
            return await self._ask(request)

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        """As `ask`. Raises ConnectionAbortedError where nothing at all was answered."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            (length,) = (
                int(line.partition(":")[2])
                for line in head.splitlines()
                if line.startswith("content-length:")
            )
            body = await reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            self.close()
            kind = ConnectionError if error.partial else ConnectionAbortedError
            raise kind("the server closed the connection") from error
        except ConnectionResetError as error:
            self.close()
            raise ConnectionAbortedError("the server closed the connection") from error
        if "connection: close" in head:
            self.close()
        return int(head.split(maxsplit=2)[1]), body

    def close(self) -> None:
        """The next request opens it again."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def ask_once(port: int, request: bytes) -> tuple[int, bytes]:
    connection = Connection(port)
    try:
        return await connection.ask(request)
    finally:
        connection.close()


async def load(port: int, request: bytes, *, clients: int, seconds: float) -> tuple[Tally, float]:
    """Clients that ask one request after the other; what became of them, and the time it took."""
    tally = Tally()
    started = time.perf_counter()

    async def client() -> None:
        connection = Connection(port)
        while (begin := time.perf_counter()) < started + seconds:
            status, _ = await connection.ask(request)
            tally.add(status, time.perf_counter() - begin)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return tally, time.perf_counter() - started


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        f"p{share}_ms": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 3)
        for share in (50, 99)
    }
