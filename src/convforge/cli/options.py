"""Options that several commands share, and what is read from them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from convforge.errors import InputError, NetworkError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
ForceFlag = Annotated[bool, typer.Option("--force", "-f", help="Replace a file that is there.")]
ArgumentOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An argument of the network itself, such as width=0.5; can be repeated.",
    ),
]

ShapeOption = Annotated[
    str | None,
    typer.Option(
        "--shape", metavar="SIZES", help="Sizes that an .onnx file leaves open, as 1,3,224,224."
    ),
]


# Arguments of functions, as messages name them, whose options have other names: those options.
RENAMED = {
    "examples": "--example",
    "input_shape": "--shape",
    "label_smoothing": "--smoothing",
    "learning_rate": "--lr",
    "optimizer": "--opt",
    "schedule": "--sched",
    "timeout_s": "--timeout",
    "tune='head'": "--head-only",
}


def in_options(error: InputError, options: Mapping[str, str]) -> str:
    """What an error says, with options in the place of the arguments that it names.

    `options` are those of the command, by the arguments that they are for: {"max_ms": "--max-ms"}.
    What it has no option for stays as it is.
    """
    text = str(error)
    for name in error.names:
        option = options.get(name, RENAMED.get(name, ""))
        if option in options.values():
            # A word by itself: no part of a path, of a longer name, or of an option.
            text = re.sub(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", option, text)
    return text


def sizes_from(text: str | None) -> tuple[int, ...] | None:
    """(1, 3, 224, 224) of "1,3,224,224", None of None. Raises InputError for anything else."""
    if text is None:
        return None
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise InputError(f"--shape {text}: expected whole numbers above 0, as in 1,3,224,224")
    return sizes


def share_from(text: str, *, option: str) -> float:
    """0.003 of "0.3%" or "0.003". Raises InputError for anything that is no share from 0 to 1."""
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        share = float(number) / 100 if percent else float(number)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise InputError(f"{option} {text}: expected a share, such as 0.3% or 0.003")
    return share


def arguments_from(texts: Sequence[str] | None) -> dict[str, Any]:
    """{"width": 0.5} of ["width=0.5"]; a value is read as JSON, else it is text.

    Raises NetworkError where there is no name before the first "=".
    """
    arguments: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise NetworkError(f"--set {text}: expected NAME=VALUE, as in --set width=0.5")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments
