"""Where the command line's words go, results to stdout, progress and errors to stderr; and stdin.

On a terminal there are colours and moving bars; in a pipe or a log there are neither, and lines
are as long as they need to be.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from convforge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import RenderableType

    Report = Callable[[int, int, str], None]  # (done, total, what is being done)

LOG_WIDTH = 240  # columns where the output is no terminal: wide enough that no table is cut


def show(*parts: RenderableType) -> None:
    """Print what a command found, text or tables, to stdout."""
    _stdout().print(*parts, sep="\n")


def width() -> int:
    """Columns that `show` has."""
    return _stdout().width


def show_json(value: Any) -> None:
    """Print plain JSON values, and nothing but them, to stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=ascii_only(), allow_nan=False))


def write(pieces: Iterable[str]) -> None:
    """Write text to stdout as it comes; what stdout cannot encode is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    for piece in pieces:
        sys.stdout.write(piece.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()


def read() -> bytes:
    """All of stdin. Raises InputError where that is a terminal, which has no image."""
    if sys.stdin.isatty():
        raise InputError("-: standard input is a terminal; pipe an image into it, or name a file")
    return sys.stdin.buffer.read()


def ascii_only() -> bool:
    """Whether stdout might not take every character."""
    return (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"


def is_first() -> bool:
    """Whether this is the first process of the team that `torchrun` started, or none's."""
    return os.environ.get("RANK", "0") == "0"


def show_error(message: str) -> None:
    """Print one paragraph to stderr."""
    text = Text.assemble(("error: ", "bold red"), printable(message, keep="\n"))
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


@contextlib.contextmanager
def progress_bar(message: str, *, streaming: bool = False) -> Iterator[Report | None]:
    """A bar on stderr, gone when it is done; it moves as the function that is given is called.

    Until then it shows `message` and that time passes. Gives None where stderr is no terminal, in
    all processes of a team but the first, or where `streaming` says that results are shown
    meanwhile and stdout is a terminal too.
    """
    if not (sys.stderr.isatty() and is_first()) or (streaming and sys.stdout.isatty()):
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(message, total=None)
        last = 0

        def report(done: int, total: int, message: str) -> None:
            nonlocal last
            if done < last:
                bar.reset(task)
            last = done
            bar.update(task, completed=done, total=total or None, description=printable(message))

        yield report


def printable(text: str, *, keep: str = "") -> str:
    """The text with what a terminal would act on, instead of show, written as an escape.

    File and class names come from outside; `keep` are characters that are fine all the same.
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def _stdout() -> Console:
    fixed = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=LOG_WIDTH if fixed else None, highlight=False)
