"""Fetch a published file once, into the cache: resumed after a cut, checked before it is used.

    cache_folder() / name            complete, and its SHA-256 as expected when it was fetched
    cache_folder() / name.part       what a download that was cut has brought so far

A name is the URL's last part, with the first digits of the SHA-256 where it lacks them: two files
of one name are two in the cache.

Proxies are taken from the environment (http_proxy, https_proxy, no_proxy), as urllib does.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from convforge.errors import OutputError, WeightsError
from convforge.files import cache_folder
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

Progress = Callable[[int, int, str], None]  # done, total, message; bytes

TIMEOUT_S = 30  # without a byte
CHUNK_BYTES = 1 << 18


def fetch(url: str, *, sha256: str, progress: Progress | None = None) -> Path:
    """The file at `url`, from the cache where it is there already.

    `sha256` is the checksum in hex, or its first digits. `progress` is called with bytes done and
    in all. Of two processes that want the same file, one waits for the other. Raises WeightsError
    where the file cannot be had (what has arrived is kept, and the next call goes on from there) or
    has another checksum (nothing is kept); OutputError where the cache cannot be written.
    """
    name = _name(url, sha256)
    path = cache_folder() / name
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_name(f"{name}.part").open("ab") as part:
                fcntl.flock(part, fcntl.LOCK_EX)
                if not path.exists():  # else another process was faster
                    _fill(part, url=url, sha256=sha256, progress=progress)
                    Path(part.name).replace(path)
                    return path
        check_sha256(path, sha256, advice="delete it, and it is fetched again")
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or set "
            "XDG_CACHE_HOME to a folder that you may write to"
        ) from None
    return path


def check_sha256(path: Path, sha256: str, *, advice: str) -> None:
    """Raise WeightsError where the file's SHA-256 does not begin with `sha256`, in hex."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256):
        raise WeightsError(
            f"{path}: expected a file whose SHA-256 begins with {sha256}, got "
            f"{found[: len(sha256)]}; {advice}"
        )


def _name(url: str, sha256: str) -> str:
    path = PurePosixPath(urlsplit(url).path)
    digits = sha256[:8]
    return path.name if digits in path.stem else f"{path.stem}-{digits}{path.suffix}"


def _fill(part: IO[bytes], *, url: str, sha256: str, progress: Progress | None) -> None:
    """Append what is missing, then check the whole; a wrong file is emptied."""
    done = part.seek(0, os.SEEK_END)
    for position, total, chunk in _receive(url, start=done):
        if position < done:
            part.truncate(position)
        part.write(chunk)
        done = position + len(chunk)
        if progress is not None:
            progress(done, max(total, done), f"fetching {PurePosixPath(urlsplit(url).path).name}")
    part.flush()
    os.fsync(part.fileno())
    try:
        check_sha256(Path(part.name), sha256, advice=f"nothing of it was kept; {url} has changed?")
    except WeightsError:
        part.truncate(0)
        raise


def _receive(url: str, *, start: int) -> Iterator[tuple[int, int, bytes]]:
    """(position, bytes in all or 0 where unknown, chunk) from byte `start` on.

    From byte 0 where the server cannot begin elsewhere. Raises WeightsError where it stops early.
    """
    headers = {"User-Agent": f"convforge/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    position = start
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (URLs of our own table)
        opener = urllib.request.build_opener()  # a new one: it reads the environment's proxies
        with opener.open(request, timeout=TIMEOUT_S) as response:
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                position = 0
            length = int(response.headers.get("Content-Length") or 0)
            total = position + length if length else 0
            while chunk := response.read(CHUNK_BYTES):
                yield position, total, chunk
                position += len(chunk)
        if position < total:
            raise ConnectionError(f"the server closed the connection, {total} bytes expected")
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return  # there is nothing after `start`: the checksum decides
        raise WeightsError(
            f"{url}: the server answers {error.code} {error.reason}; fetch the file elsewhere and "
            "give its path"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        raise WeightsError(
            f"{url}: stopped after {position} bytes ({cause}); call again to go on from there, or "
            "fetch the file elsewhere and give its path"
        ) from None
