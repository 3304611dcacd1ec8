"""Options that several commands share, and what is read from them."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from convforge.errors import NetworkError

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
