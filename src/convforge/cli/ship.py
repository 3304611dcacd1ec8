"""The commands that put a classifier to use: `compile` and `predict`."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from convforge.answers import Answer, csv_lines, json_lines, predict_images, save_parquet
from convforge.cli import console, tables
from convforge.cli.options import ForceFlag, JsonFlag, ShapeOption, share_from, sizes_from
from convforge.compiler.backend.package_html import is_page
from convforge.compiler.backend.target import TARGETS, find_target
from convforge.errors import DataError, InputError, OutputError, list_failures
from convforge.files import check_destination, write_file
from convforge.images.paths import GIVEN, open_paths
from convforge.loading import load
from convforge.processors import processors
from convforge.seal import is_sealed

COMPILE_EXAMPLES = (
    "Examples:\n\n"
    "convforge compile digits.safetensors\n\n"
    "convforge compile mobilenet_v2 --weights imagenet -o mobile.so --precision bf16\n\n"
    "convforge compile cats.safetensors --target html --example cat.jpg\n\n"
    "convforge compile detector.onnx --shape 1,3,480,640 --target aarch64-linux --dump stages"
)
PREDICT_EXAMPLES = (
    "Examples:\n\n"
    "convforge predict digits.so scan.png\n\n"
    "convforge predict cats.safetensors holiday/ --top 1 -o holiday.csv\n\n"
    "convforge predict cats.so archive/ --engine ray -o answers\n\n"
    "curl -s https://example.com/cat.jpg | convforge predict cats.so - --json"
)
STDOUT = Path("-")


class Precision(StrEnum):
    """What weights are kept in, and, with bf16 and int8, what is computed with."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BF16 = "bf16"
    INT8 = "int8"


class Engine(StrEnum):
    """Where predictions are computed."""

    LOCAL = "local"
    RAY = "ray"


class Format(StrEnum):
    """How predictions are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


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
        typer.Option(
            help="bf16 is faster where the processor has it, and half as large; int8 is faster "
            "still and a quarter as large, and needs --calibrate; float16 makes a page of target "
            "html half as large."
        ),
    ] = Precision.FLOAT32,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="Images to find ranges with, for int8, and to measure on, for bf16 too; as "
            "`evaluate` takes them.",
            metavar="DATA",
        ),
    ] = None,
    max_drop: Annotated[
        str,
        typer.Option(
            help="How much accuracy may go; of int8 layers stay in float32 until that holds.",
            metavar="PERCENT",
        ),
    ] = "0.3%",
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
            calibrate=calibrate,
            max_drop=share_from(max_drop, option="--max-drop"),
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
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Image files, folders of images, and quoted patterns; - is an image from "
            "standard input.",
            metavar="PATHS...",
        ),
    ],
    *,
    top: Annotated[int, typer.Option(help="Classes to show of each image.", min=1)] = 5,
    output_format: Annotated[
        Format | None,
        typer.Option(
            "--format", help="How to print or keep them; by default as --output's name ends."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A file to keep them in, - for none; with --engine ray a folder."
        ),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Where: here, or on the machines of a Ray cluster.")
    ] = Engine.LOCAL,
    as_json: JsonFlag = False,
    force: ForceFlag = False,
) -> None:
    """Name what is on images, with probabilities.

    Answers are printed, or written, as they come. Images that cannot be read are named at the end,
    and the exit code is then 2; the others are printed all the same.

    With --engine ray they are Parquet parts in a folder; the same command goes on with those that
    are missing. RAY_ADDRESS says where Ray runs.
    """
    output = None if output == STDOUT else output
    if engine is Engine.RAY:
        form = Format.JSON if as_json else output_format
        _predict_on_ray(file, paths, output, form=form, top=top, force=force)
        return
    form = _format(Format.JSON if as_json else output_format, output=output, force=force)
    part = open_paths(paths, given=console.read() if GIVEN in paths else None)
    failed: list[str] = []
    with console.progress_bar(f"loading {file.name}", streaming=output is None) as progress:
        model = load(file, workers=processors())
        started = time.perf_counter()
        answers = _watched(
            predict_images(model, part, top=top),
            failed=failed,
            report=lambda done: (
                progress and progress(done, len(part), f"predicting with {file.name}")
            ),
        )
        _write(answers, form=form, output=output)
    if output is not None:
        speed = len(part) / (time.perf_counter() - started)
        console.show(f"{tables.count_of(len(part), 'image')} to {output}, {speed:,.1f} a second")
    if failed:
        raise DataError(list_failures(failed, total=len(part)))


def _predict_on_ray(
    file: Path,
    paths: list[str],
    output: Path | None,
    *,
    form: Format | None,
    top: int,
    force: bool,
) -> None:
    from convforge.ray_prediction import predict_on_ray  # noqa: PLC0415  (slow)

    if output is None or form not in {None, Format.PARQUET}:
        raise OutputError(
            "predict --engine ray: writes Parquet parts into a folder; name one with --output, and "
            "leave out --format and --json"
        )
    if GIVEN in paths:
        raise DataError("predict --engine ray: other machines read files; name some, instead of -")
    names = open_paths(paths).names
    started = time.perf_counter()
    with console.progress_bar("starting Ray") as progress:
        done = predict_on_ray(
            file,
            names,
            output,
            top=top,
            earlier="remove" if force else "continue",
            progress=progress,
        )
    answered = done.count - done.found
    speed = answered / (time.perf_counter() - started)
    before = f", {done.found:,} of them before" if done.found else ""
    machines = f" on {tables.count_of(done.machines, 'machine')}" if done.machines else ""
    images = tables.count_of(done.count, "image")
    console.show(f"{images} to {output}{before}, {speed:,.1f} a second{machines}")
    if done.failed:
        raise DataError(list_failures(done.failed, total=done.count))


def _format(given: Format | None, *, output: Path | None, force: bool) -> Format:
    """What to write; refused before the work where it does not go together."""
    if output is None and given is Format.PARQUET:
        raise OutputError("predict: Parquet is for files; name one with --output")
    if output is None:
        return given or Format.TABLE
    check_destination(output)
    form = given or next((one for one in Format if output.suffix.lower() == f".{one}"), None)
    if form in {None, Format.TABLE}:
        raise OutputError(
            f"{output}: its name does not say how to write it; end it with .csv, .json or "
            ".parquet, or name one of these with --format"
        )
    if output.exists() and not force:
        raise OutputError(
            f"{output}: exists already; name another file with --output, or replace it with --force"
        )
    assert form is not None
    return form


def _watched(
    answers: Iterable[Answer], *, failed: list[str], report: Callable[[int], object]
) -> Iterator[Answer]:
    """The same answers; messages of those that failed are added to `failed`."""
    for done, answer in enumerate(answers, start=1):
        failed += [] if answer.error is None else [answer.error]
        report(done)
        yield answer


def _write(answers: Iterator[Answer], *, form: Format, output: Path | None) -> None:
    if form is Format.PARQUET and output is not None:
        save_parquet(output, answers)
    elif form is Format.TABLE:
        for answer in answers:
            if answer.error is None:
                console.show(*tables.predictions(answer.image, answer.predictions))
    else:
        ascii_only = output is None and console.ascii_only()
        as_text = csv_lines if form is Format.CSV else partial(json_lines, ascii_only=ascii_only)
        if output is None:
            console.write(as_text(answers))
        else:
            text = as_text(answers)
            write_file(output, (piece.encode("utf-8", "backslashreplace") for piece in text))


def _check_destination(path: Path, *, source: Path, force: bool) -> None:
    if not path.is_file():
        return
    if source.exists() and path.samefile(source):
        if is_sealed(source):
            raise InputError(
                f"{source}: is a compiled artifact already; compile what it was compiled from"
            )
        raise OutputError(
            f"{path}: is the model itself; name another file for the artifact with --output"
        )
    if not force and not is_sealed(path) and not is_page(path):
        raise OutputError(
            f"{path}: exists already and is no artifact of convforge; name another file with "
            "--output, or replace it with --force"
        )
