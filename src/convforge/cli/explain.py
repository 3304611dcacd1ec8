"""The command `explain`, and what it says of its pictures."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from convforge.cli import console, tables
from convforge.cli.options import ForceFlag, JsonFlag
from convforge.errors import InputError, OutputError
from convforge.loading import load
from convforge.processors import processors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from convforge.analysis.explanation import Explanation
    from convforge.analysis.maps import FeatureMaps, Filters
    from convforge.analysis.sanity import Sanity
    from convforge.classifier import Classifier
    from convforge.cli.console import Report
    from convforge.runtime import Runtime

    Model = Classifier | Runtime

EXPLAIN_EXAMPLES = (
    "Examples:\n\n"
    "convforge explain cats.safetensors cat.jpg -o why.png\n\n"
    "convforge explain cats.safetensors cat.jpg --method occlusion --class lynx --check\n\n"
    "convforge explain cats.so cat.jpg\n\n"
    "convforge explain cats.safetensors --method filters -o filters.png"
)


class Method(StrEnum):
    """How to explain."""

    GRAD_CAM = "grad-cam"
    INTEGRATED_GRADIENTS = "integrated-gradients"
    OCCLUSION = "occlusion"
    FILTERS = "filters"
    FEATURES = "features"


SHEETS = (Method.FILTERS, Method.FEATURES)


def explain(
    file: Annotated[
        Path, typer.Argument(help="A classifier or a compiled artifact.", metavar="FILE")
    ],
    image: Annotated[
        Path | None, typer.Argument(help="An image file; filters need none.", metavar="[IMAGE]")
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture, .png, .svg or .pdf; by default IMAGE's name and -why.png.",
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            metavar="NAME",
            help=f"{', '.join(Method)}; by default grad-cam, occlusion where an artifact has none.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="The class to explain; by default the model's answer."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare with networks of random weights (sanity check)."),
    ] = False,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Draw why a model answers what it answers: the places on a picture that speak for a class.

    filters and features draw what the network has learned and computes instead.
    """
    _check_together(method, image=image, target=target, check=check)
    path = output or _default_output(file, image, method=method)
    _check_output(path, force=force)
    with console.progress_bar(f"loading {file.name}") as progress:
        model = load(file, workers=processors())
        if method is not None and method in SHEETS:
            sheet = _sheet(model, image, method)
            sheet.save(path, title=(image or file).name)
            record: dict[str, Any] = sheet.to_json()
            words: tuple[Text, ...] = ()
        else:
            found, sanity = _explained(
                model, image, method=method, target=target, check=check, progress=progress
            )
            remark = _verdict(sanity) if sanity else ""
            found.save(path, title=image.name if image else "", remark=remark)
            record = found.to_json() | {"check": sanity.to_json() if sanity else None}
            words = tuple(_words(found, sanity))
    if as_json:
        console.show_json({"file": str(path), **record})
    else:
        console.show(*words, tables.saved(path))


def _explained(
    model: "Model",
    image: Path | None,
    *,
    method: Method | None,
    target: str | None,
    check: bool,
    progress: "Report | None",
) -> "tuple[Explanation, Sanity | None]":
    from convforge.analysis import explanation  # noqa: PLC0415  (an image's decoder)

    assert image is not None
    if check:
        explanation.needs_classifier(model, "--check draws its weights again")
    chosen = explanation.choose_method(model, None if method is None else method.value)
    found = explanation.explain(model, image, method=chosen, target=target, progress=progress)
    if not check:
        return found, None
    from convforge.analysis.sanity import check_sanity  # noqa: PLC0415  (imports torch)

    return found, check_sanity(cast("Classifier", model), found, progress=progress)


def _sheet(model: "Model", image: Path | None, method: Method) -> "Filters | FeatureMaps":
    from convforge.analysis.explanation import needs_classifier  # noqa: PLC0415

    needs_classifier(model, f"{method.value} are not kept when compiled")
    from convforge.analysis import maps  # noqa: PLC0415  (imports torch)

    classifier = cast("Classifier", model)
    if method is Method.FILTERS:
        return maps.first_filters(classifier)
    assert image is not None
    return maps.feature_maps(classifier, image)


def _check_together(
    method: Method | None, *, image: Path | None, target: str | None, check: bool
) -> None:
    """Refuse, before any work, what does not go together."""
    if image is None and method is not Method.FILTERS:
        raise InputError(
            f"explain: {method or 'an answer'} needs an image; name it behind the file"
        )
    if image is not None and method is Method.FILTERS:
        raise InputError(f"{image}: filters are of the network and need no image; leave it out")
    if method in SHEETS and (target is not None or check):
        raise InputError(
            f"explain: {method} are of all classes alike; --class and --check go with "
            f"{', '.join(one for one in Method if one not in SHEETS)}"
        )


def _default_output(file: Path, image: Path | None, *, method: Method | None) -> Path:
    if method in SHEETS:
        return Path(f"{(image or file).stem}-{method}.png")
    assert image is not None
    return Path(f"{image.stem}-why.png")


def _check_output(path: Path, *, force: bool) -> None:
    from convforge.analysis.overlay import check_picture  # noqa: PLC0415

    check_picture(path)
    if path.exists() and not force:
        raise OutputError(
            f"{path}: exists already; name another file with --output, or replace it with --force"
        )


def _words(found: "Explanation", sanity: "Sanity | None") -> "Iterator[Text]":
    target, best = found.target, found.best
    yield tables.plain(f"{target.label}  {target.probability:.3%}, by {found.method}", "bold")
    if best.index != target.index:
        yield tables.plain(f"its answer is {best.label}  {best.probability:.3%}")
    if not found.notes:
        x, y = found.warmest
        yield tables.plain(
            f"warmest {x:.0%} from the left and {y:.0%} from the top of what the network saw"
        )
    complete = found.completeness
    if complete is not None:
        yield tables.plain(
            f"attributions sum to {complete.total:.3f}, the score rises by "
            f"{complete.difference:.3f} from black, {complete.steps} steps"
        )
    for note in found.notes:
        yield tables.plain(f"note: {note}")
    if sanity is not None:
        yield tables.plain(_verdict(sanity), "" if sanity.passed else "bold red")


def _verdict(sanity: "Sanity") -> str:
    if sanity.correlation is None:
        return f"check: {sanity.verdict}"
    return (
        f"check: rank correlation {sanity.correlation:.2f} with {len(sanity.values)} networks of "
        f"random weights: {sanity.verdict}"
    )
