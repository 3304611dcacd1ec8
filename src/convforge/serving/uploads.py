"""From a request's body to pictures: one raw image, or the files of a form."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from convforge.errors import RequestError
from convforge.serving.service import Picture

HOW = (
    "send one picture as the body, with its type: --data-binary @cat.jpg -H 'Content-Type: "
    "image/jpeg'; or several as files of a form: -F file=@cat.jpg -F file=@dog.jpg"
)
RAW = "application/octet-stream"


async def read_pictures(request: Request, *, max_files: int, timeout_s: float) -> list[Picture]:
    """The pictures that a request brings, at least one.

    Raises RequestError: 400 where there are none or the form is damaged, 408 where they take longer
    than `timeout_s` to arrive, 415 where the body is of another type.
    """
    kind = request.headers.get("content-type", RAW).partition(";")[0].strip().lower()
    async with _in_time(timeout_s):
        if kind == "multipart/form-data":
            return await _read_form(request, max_files=max_files)
        if kind == RAW or kind.startswith("image/"):
            content = await request.body()
            if not content:
                raise RequestError(f"the body is empty; {HOW}", status=400)
            return [Picture("image", content)]
    raise RequestError(f"the body is of type {kind!r}; {HOW}", status=415)


async def read_body(request: Request, *, timeout_s: float) -> bytes:
    """The body as it is. Raises RequestError 408 where it takes longer than `timeout_s`."""
    async with _in_time(timeout_s):
        return await request.body()


async def _read_form(request: Request, *, max_files: int) -> list[Picture]:
    pictures = []
    _check_end(await request.body(), kind=request.headers["content-type"])
    try:
        async with request.form(max_files=max_files, max_fields=max_files) as form:
            for field, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    raise RequestError(
                        f"the form's field {_printable(field)!r} is no file; {HOW}", status=400
                    )
                name = _printable(value.filename or "") or field
                pictures.append(Picture(name, await value.read()))
    except HTTPException as error:
        raise RequestError(f"the form cannot be read: {error.detail}", status=400) from None
    except UnicodeError as error:  # of a charset that the form declares
        raise RequestError(f"the form cannot be read: {error}", status=400) from None
    if not pictures:
        raise RequestError(f"the form has no files; {HOW}", status=400)
    return pictures


def _check_end(body: bytes, *, kind: str) -> None:
    """Refuse a form that was cut short: its parser would leave out the last file in silence.

    The last boundary begins a line; whatever stands behind it is no part (RFC 2046, 5.1.1).
    """
    boundary = parse_options_header(kind)[1].get(b"boundary")
    if boundary is None:
        return
    last = b"--" + boundary + b"--"
    if not body.startswith(last) and b"\r\n" + last not in body:
        raise RequestError("the form is damaged or cut short: its end is missing", status=400)


@asynccontextmanager
async def _in_time(timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise RequestError(
            f"the body took longer than {timeout_s:g} s to arrive; send less, or over a faster "
            "connection",
            status=408,
        ) from None


def _printable(text: str) -> str:
    """Without lone surrogates, which a form's charset can bring in."""
    return text.encode("utf-8", "replace").decode()
