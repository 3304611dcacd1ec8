"""A socket that is served until SIGTERM or Ctrl-C; what was accepted is answered before the end."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from convforge.errors import InputError
from convforge.serving.connections import Connection, Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from convforge.serving.settings import Settings


def listen(host: str, port: int) -> Listener:
    """A socket that listens; port 0 is any that is free. Raises InputError where it cannot."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = Listener(socket.create_server((host, port), family=family, backlog=2048))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"{host}:{port}: cannot listen there ({reason}); choose another with --host and --port"
        ) from None
    # Connections inherit it. Without, an answer's second packet waits 40 ms for the first one's
    # acknowledgement: asyncio sees to that for sockets that it makes itself, and for no others.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL that a listening socket is asked at."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: ASGIApp, listener: Listener, *, settings: Settings) -> None:
    """Answer until SIGTERM, which returns, or SIGINT, which raises KeyboardInterrupt.

    Then nothing new is accepted, and what was is answered first. The listener is closed.
    """

    class Limited(Connection):
        timeout_s = settings.timeout_s

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Limited,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        timeout_keep_alive=20,
    )
    with _ignored(signal.SIGTERM):
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """The server raises a signal again once it has ended by it: that must not end the process."""
    before = signal.signal(number, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(number, before)
