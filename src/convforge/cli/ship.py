"""The commands that put a classifier to use: `compile` and `predict`."""

import csv
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from convforge.cli import console, tables
from convforge.cli.options import ForceFlag, JsonFlag, ShapeOption, sizes_from
from convforge.compiler.backend.package_html import is_page
from convforge.compiler.backend.target import TARGETS, find_target
from convforge.errors import DataError, InputError, OutputError
from convforge.loading import load
from convforge.prediction import Prediction
from convforge.seal import is_sealed

COMPILE_EXAMPLES = (
    "Examples:\n\n"
    "convforge compile digits.safetensors\n\n"
    "convforge compile mobilenet_v2 --weights imagenet -o mobile.so --threads 2\n\n"
    "convforge compile cats.safetensors --target html --example cat.jpg\n\n"
    "convforge compile detector.onnx --shape 1,3,480,640 --target aarch64-linux --dump stages"
)
PREDICT_EXAMPLES = (
    "Examples:\n\n"
    "convforge predict digits.so scan.png\n\n"
    "convforge predict cats.safetensors holiday/*.jpg --top 1 --format csv > holiday.csv"
)
LISTED = 10  # images that an error names before it only counts


class Precision(StrEnum):
    """What a web page keeps its weights in."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


class Format(StrEnum):
    """How predictions are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def compile_model(
    model: Annotated[
        str,
        typer.Argument(
            help="A classifier that `convforge train` saved, an .onnx file, or a network's name.",
            metavar="FILE|NETWORK",
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The artifact; by default MODEL's name and a suffix."),
    ] = None,
    target: Annotated[
        str, typer.Option(help=f"Where it is to run: {', '.join(TARGETS)}.")
    ] = "native",
    threads: Annotated[
        int, typer.Option(help="How many compute one image, where nobody asks for another number.")
    ] = 1,
    weights: Annotated[
        str | None,
        typer.Option(help="Published weights of a NETWORK, imagenet; without, it is untrained."),
    ] = None,
    shape: ShapeOption = None,
    precision: Annotated[
        Precision,
        typer.Option(help="Of the weights of target html; float16 makes the page half as large."),
    ] = Precision.FLOAT32,
    example: Annotated[
        list[Path] | None,
        typer.Option(help="A picture that a page of target html has ready; can be repeated."),
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option(help="A folder for the graph after every pass, the plan and the C sources."),
    ] = None,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Compile a model to one self-contained file that runs without torch.

    Before the file is written, an artifact for this machine computes a test input and is compared
    with the model. An artifact of the same name is replaced; any other file only with --force.
    """
    source = Path(model)
    suffix = find_target(target).suffix
    destination = output or source.with_name(source.name.removesuffix(source.suffix) + suffix)
    _check_destination(destination, source=source, force=force)
    input_shape = sizes_from(shape)
    started = time.perf_counter()
    with console.progress_bar(f"compiling {source.name}") as progress:
        from convforge.compiler.compilation import compile as build  # noqa: PLC0415  (slow)

        artifact = build(
            model,
            destination,
            target=target,
            threads=threads,
            input_shape=input_shape,
            weights=weights,
            precision=precision.value,
            examples=example or (),
            dump=dump,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    if as_json:
        record = asdict(artifact) | {"path": str(artifact.path), "seconds": round(seconds, 3)}
        console.show_json({"file": record.pop("path"), **record})
    else:
        console.show(*tables.artifact(artifact, seconds=seconds))


def predict(
    file: Annotated[
        Path, typer.Argument(help="A classifier or a compiled artifact.", metavar="FILE")
    ],
    images: Annotated[list[Path], typer.Argument(help="Image files.", metavar="IMAGES...")],
    *,
    top: Annotated[int, typer.Option(help="Classes to show of each image.", min=1)] = 5,
    output_format: Annotated[
        Format, typer.Option("--format", help="How to print them.")
    ] = Format.TABLE,
    as_json: JsonFlag = False,
) -> None:
    """Name what is on images, with probabilities.

    Images that cannot be read are named at the end, and the exit code is then 2; the others are
    printed all the same.
    """
    found: dict[str, list[Prediction]] = {}
    failed: dict[str, str] = {}
    names = [str(image) for image in images]
    with console.progress_bar(f"loading {file.name}") as progress:
        model = load(file)
        for done, name in enumerate(names, start=1):
            try:
                found[name] = _finite(model.predict(name, top=top), name=name)
            except DataError as error:
                failed[name] = str(error)
            if progress is not None:
                progress(done, len(names), f"predicting with {file.name}")
    if as_json or output_format is Format.JSON:
        console.show_json(list(_records(names, found, failed)))
    elif output_format is Format.CSV:
        _write_csv(found)
    else:
        for name, predictions in found.items():
            console.show(*tables.predictions(name, predictions))
    if failed:
        raise DataError(_failures(failed, total=len(names)))


def _check_destination(path: Path, *, source: Path, force: bool) -> None:
    if not path.is_file():
        return
    if source.exists() and path.samefile(source):
        raise OutputError(
            f"{path}: is the model itself; name another file for the artifact with --output"
        )
    if not force and not is_sealed(path) and not is_page(path):
        raise OutputError(
            f"{path}: exists already and is no artifact of convforge; name another file with "
            "--output, or replace it with --force"
        )


def _finite(predictions: list[Prediction], *, name: str) -> list[Prediction]:
    if not all(math.isfinite(prediction.probability) for prediction in predictions):
        raise InputError(
            f"{name}: the classifier gives it probabilities that are no numbers; its weights are "
            "damaged or its training diverged: train it again"
        )
    return predictions


def _records(
    names: Sequence[str],
    found: Mapping[str, Sequence[Prediction]],
    failed: Mapping[str, str],
) -> Iterator[dict[str, object]]:
    """One record an image, in the order asked for: its predictions, or the error."""
    for name in names:
        if name in failed:
            yield {"image": name, "error": failed[name]}
        else:
            yield {"image": name, "predictions": [asdict(one) for one in found[name]]}


def _write_csv(found: Mapping[str, Sequence[Prediction]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("image", "rank", "label", "index", "probability"))
    for name, predictions in found.items():
        for rank, one in enumerate(predictions, start=1):
            writer.writerow((name, rank, one.label, one.index, f"{one.probability:.9g}"))


def _failures(failed: Mapping[str, str], *, total: int) -> str:
    """The one message itself, or how many there are and the first of them."""
    messages = list(failed.values())
    if total == 1:
        return messages[0]
    listed = "".join(f"\n  {message}" for message in messages[:LISTED])
    more = f"\n  and {len(messages) - LISTED} more" if len(messages) > LISTED else ""
    return f"{len(messages)} of {total} images cannot be used:{listed}{more}"
