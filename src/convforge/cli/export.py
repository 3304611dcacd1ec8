"""The command `export`: a classifier for other engines."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convforge.analysis.rows import bytes_text
from convforge.cli import console
from convforge.cli.options import ForceFlag, JsonFlag
from convforge.cli.tables import plain
from convforge.errors import OutputError
from convforge.files import check_destination
from convforge.onnx_export import export as write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from convforge.onnx_export import Exported

EXPORT_EXAMPLES = (
    "Examples:\n\n"
    "convforge export cats.safetensors --format onnx -o cats.onnx\n\n"
    "convforge export digits.safetensors --json"
)


def export(
    file: Annotated[
        Path,
        typer.Argument(help="A classifier that `convforge train` saved.", metavar="FILE"),
    ],
    *,
    file_format: Annotated[str, typer.Option("--format", help="For now onnx alone.")] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; by default FILE's name and a suffix."),
    ] = None,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a classifier for other engines: ONNX, with class names and preprocessing inside.

    Before the file gets its name, onnxruntime computes images of noise with it and is compared
    with the classifier.
    """
    path = output or file.with_suffix(f".{file_format}")
    check_destination(path)
    if path.exists() and file.exists() and path.samefile(file):
        raise OutputError(
            f"{path}: is the classifier itself; name another file for the model with --output"
        )
    if path.exists() and not force:
        raise OutputError(
            f"{path}: exists already; name another file with --output, or replace it with --force"
        )
    with console.progress_bar(f"exporting {file.name}") as progress:
        found = write(file, path, format=file_format, progress=progress)
    if as_json:
        record = asdict(found) | {"input_shape": list(found.input_shape)}
        console.show_json({"file": str(record.pop("path")), **record})
    else:
        console.show(*_words(found))


def _words(found: "Exported") -> "Iterator[Text]":
    size = bytes_text(found.file_bytes)
    shape = ", ".join(map(str, found.input_shape))
    yield plain(f"{found.path}, {size}, ONNX of opset {found.opset}")
    yield plain(
        f"images [N, {shape}], preprocessed, to logits [N, {found.classes}]; class names and "
        "preprocessing are inside"
    )
    yield plain(
        f"off by at most {found.deviation:.1e} from the classifier in {found.engine}; accepted are "
        f"{found.limit:.1e}"
    )
