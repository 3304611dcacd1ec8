"""Before the routes: the key, the size of bodies, what is answered when all fails, log and metrics.

It is plain ASGI, so that it sees every byte before anything parses it.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders

from convforge.errors import RequestError
from convforge.serving.responses import Json, refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from convforge.serving.service import Service

OPEN = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}  # to those without a key
HELD = 16  # bodies of the largest size that all requests together may hold

_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_LOG = logging.getLogger("convforge.serving")


class Gate:
    """An ASGI application around another, `app`."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._held = 0  # bytes of bodies, of all requests that are not answered yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, from its head to its line in the log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send)
        try:
            await self._answer(visit)
        except Exception as error:  # noqa: BLE001 - a defect is one request's, not the server's
            visit.error = repr(error)
            _LOG.exception("a defect in convforge: please report it", extra={"id": visit.id})
            if visit.status is None:
                await Json({"error": "a defect in the server"}, status_code=500)(
                    scope, receive, visit.send
                )
        finally:
            self._held -= visit.received
            self._tell(visit)

    async def _answer(self, visit: _Visit) -> None:
        try:
            self._check_key(visit)
            self._check_length(visit)
        except RequestError as error:
            await refusal(error)(visit.scope, visit.receive, visit.send)
            return

        async def receive() -> Message:
            message = await visit.receive()
            if message["type"] == "http.request":
                self._take(visit, len(message.get("body", b"")))
            return message

        scope = visit.scope
        if scope["method"] == "HEAD":  # a GET whose body the server keeps to itself
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, visit.send)

    def _check_key(self, visit: _Visit) -> None:
        key = self._service.settings.api_key
        if key is None or visit.scope["path"] in OPEN:
            return
        given = _key_of(visit.headers)
        if not hmac.compare_digest(given.encode(), key.encode()):
            raise RequestError(
                "the API key is missing or wrong; send it as the header `Authorization: Bearer "
                "KEY`, as `X-API-Key: KEY`, or as the password of a browser's question",
                status=401,
            )

    def _check_length(self, visit: _Visit) -> None:
        """Refuse what says that it is too large before it is sent."""
        text = visit.headers.get("content-length", "0")
        if text.isdecimal() and int(text[:20]) > self._service.settings.max_bytes:
            raise self._too_large()

    def _take(self, visit: _Visit, count: int) -> None:
        limit = self._service.settings.max_bytes
        visit.received += count
        self._held += count
        if visit.received > limit:
            raise self._too_large()
        if self._held > HELD * limit:
            raise RequestError(
                "the server is busy: it holds as many bytes of requests as it may; ask again later",
                status=503,
                retry_after=1,
            )

    def _too_large(self) -> RequestError:
        limit = self._service.settings.max_bytes
        return RequestError(
            f"the body is over the limit of {limit:,} bytes; send fewer or smaller pictures",
            status=413,
        )

    def _tell(self, visit: _Visit) -> None:
        seconds = time.perf_counter() - visit.started
        status = visit.status or 499  # the client went away before there was an answer
        route = getattr(visit.scope.get("route"), "path", "other")
        method = visit.scope["method"]
        self._service.metrics.count(route=route, method=method, status=status, seconds=seconds)
        client = visit.scope.get("client")
        record: dict[str, Any] = {
            "id": visit.id,
            "client": client[0] if client else None,
            "method": method,
            "path": visit.scope["path"],
            "status": status,
            "bytes": visit.received,
            "ms": round(1000 * seconds, 3),
        }
        _LOG.info("request", extra=record | ({"error": visit.error} if visit.error else {}))


class _Visit:
    """One request on its way: what came in, what went out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self._send = scope, receive, send
        self.headers = Headers(scope=scope)
        self.started = time.perf_counter()
        self.received = 0
        self.status: int | None = None
        self.error: str | None = None
        given = self.headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.id
            headers["X-Content-Type-Options"] = "nosniff"
        await self._send(message)


def _key_of(headers: Headers) -> str:
    """The key that a request brings, "" of one without."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(value, validate=True).decode()
        except ValueError:
            return ""
        return pair.partition(":")[2]
    return headers.get("x-api-key", "")
