"""`compile`: from a classifier to an artifact on disk; chooses the front end."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import Target, native
from convforge.compiler.pipeline import compile_graph
from convforge.errors import InputError, PackageError, UnsupportedError
from convforge.files import check_destination

if TYPE_CHECKING:
    from convforge.classifier import Classifier


@dataclass(frozen=True)
class Artifact:
    """What `compile` wrote: the file, and what it needs.

    `arena_bytes` is what each predicting thread holds, `arena_lower_bound` the least that any plan
    could reach for these layers.
    """

    path: Path
    target: str
    file_bytes: int
    weight_bytes: int
    arena_bytes: int
    arena_lower_bound: int


def compile(  # noqa: A001  (the public verb)
    model: Classifier | str | PathLike[str],
    path: str | PathLike[str],
    *,
    target: str = "native",
) -> Artifact:
    """Compile a classifier, or the file it was saved to, into one self-contained artifact.

    Raises OutputError before any work where `path` cannot be written, UnsupportedError naming a
    layer that the compiler does not know, ToolchainError without a C compiler.
    """
    destination = Path(path)
    check_destination(destination)
    chosen = _target(target)
    classifier = _classifier(model)
    from convforge.compiler.frontends.torch import from_torch  # noqa: PLC0415  (imports torch)

    graph = from_torch(classifier.net, classifier.card.preprocess.input_shape)
    compiled = compile_graph(graph, card=classifier.card, target=chosen)
    save_artifact(compiled.library, destination)
    return Artifact(
        path=destination,
        target=chosen.name,
        file_bytes=destination.stat().st_size,
        weight_bytes=compiled.weight_bytes,
        arena_bytes=compiled.arena_bytes,
        arena_lower_bound=compiled.arena_lower_bound,
    )


def _target(name: str) -> Target:
    if name != "native":
        raise UnsupportedError(f"target {name!r} is not known; known is: native")
    return native()


def _classifier(model: Classifier | str | PathLike[str]) -> Classifier:
    try:
        from convforge.classifier import Classifier  # noqa: PLC0415  (imports torch)
    except ModuleNotFoundError as error:
        raise PackageError(
            f"compiling needs torch to read the network ({error}); install it with "
            '`pip install "convforge[train]"`'
        ) from None
    if isinstance(model, Classifier):
        return model
    if not isinstance(model, str | PathLike):
        raise InputError(
            f"compile: got a {type(model).__name__}; expected a Classifier or the path of its file"
        )
    if not Path(model).is_file():
        raise InputError(f"{model}: no such file; expected a classifier that `save` wrote")
    return Classifier.load(Path(model))
