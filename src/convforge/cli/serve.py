"""The command `serve`: a compiled classifier over HTTP, one line of JSON a request on stderr."""

import json
import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated

import typer

from convforge.errors import InputError

SERVE_EXAMPLES = (
    "Examples:\n\n"
    "convforge serve digits.so\n\n"
    "convforge serve cats.so --host 0.0.0.0 --workers 4 --api-key-file key.txt\n\n"
    "curl -F file=@cat.jpg http://127.0.0.1:8000/predict"
)
KEY_VARIABLE = "CONVFORGE_API_KEY"
_LOG = logging.getLogger("convforge.serving")
# What every record of the log has; all else in one is fields of its line.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}


def serve(
    file: Annotated[Path, typer.Argument(help="A compiled artifact.", metavar="FILE")],
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen at; 0 is any.", min=0, max=65535)
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(help="Requests computed at a time; by default as the processors allow."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="How many compute one picture; by default as compiled.")
    ] = None,
    queue: Annotated[
        int, typer.Option(help="Requests that wait for a worker; more are refused with 503.")
    ] = 64,
    max_bytes: Annotated[int, typer.Option(help="Largest body of a request.")] = 20_000_000,
    max_files: Annotated[int, typer.Option(help="Most pictures in a request.")] = 32,
    max_pixels: Annotated[int, typer.Option(help="Largest picture.")] = 50_000_000,
    timeout: Annotated[
        float,
        typer.Option(
            help="Seconds that a request may wait, and that its head and its body may take."
        ),
    ] = 10.0,
    model_name: Annotated[
        str | None, typer.Option("--name", help="The model's name; by default the file's.")
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with the key that clients must send; or {KEY_VARIABLE}."),
    ] = None,
) -> None:
    """Answer pictures over HTTP with a compiled classifier, until SIGTERM.

    A page for people is at /, pictures go to /predict, /docs shows the rest. What was accepted is
    answered before the end.
    """
    from convforge.serving.api import create_app  # noqa: PLC0415  (optional packages)
    from convforge.serving.server import address_of, listen  # noqa: PLC0415
    from convforge.serving.server import serve as answer  # noqa: PLC0415
    from convforge.serving.service import open_service  # noqa: PLC0415
    from convforge.serving.settings import Settings  # noqa: PLC0415

    settings = Settings(
        workers=workers,
        queue=queue,
        max_bytes=max_bytes,
        max_files=max_files,
        max_pixels=max_pixels,
        timeout_s=timeout,
        api_key=_api_key(api_key_file),
    )
    log_as_json()
    with open_service(file, name=model_name, settings=settings, threads=threads) as service:
        listener = listen(host, port)
        address = address_of(listener)
        _LOG.info("serving", extra={"model": service.name, "address": address})
        if settings.api_key is None and host not in {"127.0.0.1", "::1", "localhost"}:
            _LOG.warning("other machines may ask without a key; --api-key-file asks for one")
        answer(create_app(service), listener, settings=settings)
    _LOG.info("ended", extra={"model": service.name})


def log_as_json() -> None:
    """Log records go to stderr, each one line of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # starts and ends are told here
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # who sent the form is told


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _USUAL},
        }
        if record.exc_info:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(fields, default=str)


def _api_key(file: Path | None) -> str | None:
    """The key in the file, or in the environment, or none."""
    if file is None:
        return os.environ.get(KEY_VARIABLE)
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise InputError(f"{file}: the API key cannot be read ({error})") from None
    if not key:
        raise InputError(f"{file}: is empty; expected the API key")
    return key
