"""`load`: open a classifier or a compiled artifact, whichever the file is; both predict alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convforge.errors import InputError, PackageError
from convforge.file_kinds import check_kind
from convforge.runtime import Runtime
from convforge.seal import is_sealed

if TYPE_CHECKING:
    from os import PathLike

    from convforge.classifier import Classifier


def load(path: str | PathLike[str], *, workers: int = 1) -> Classifier | Runtime:
    """Open a file that `save` or `compile` wrote, told apart by its bytes, not its name.

    `workers` is how many images an artifact computes at a time where it is given several; torch has
    threads of its own. An artifact loads without torch.

    Raises ClassifierError or ArtifactError where the file is damaged or of another version,
    InputError where there is no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"{file}: no such file; expected a classifier (.safetensors) or a compiled artifact"
        )
    if _is_artifact(file):
        return Runtime(file, workers=workers)
    check_kind(file)
    try:
        from convforge.classifier import Classifier  # noqa: PLC0415  (imports torch)
    except ModuleNotFoundError as error:
        raise PackageError(
            f"{file}: a classifier needs torch ({error}); install it with "
            '`pip install "convforge[train]"`, or load a compiled artifact'
        ) from None
    return Classifier.load(file)


def _is_artifact(file: Path) -> bool:
    # By how a shared library begins or how an artifact ends: one that was cut still has the former.
    try:
        with file.open("rb") as stream:
            executable = stream.read(4) == b"\x7fELF"
        return executable or is_sealed(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from None
