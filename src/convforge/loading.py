"""`load`: open a classifier or a compiled artifact, whichever the file is; both predict alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convforge.errors import InputError
from convforge.runtime import Runtime
from convforge.seal import is_sealed

if TYPE_CHECKING:
    from os import PathLike

    from convforge.classifier import Classifier


def load(path: str | PathLike[str]) -> Classifier | Runtime:
    """Open a file that `save` or `compile` wrote, told apart by its bytes, not its name.

    An artifact loads without torch. Raises ClassifierError or ArtifactError where the file is
    damaged or of another version, InputError where there is no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"{file}: no such file; expected a classifier (.safetensors) or a compiled artifact"
        )
    with file.open("rb") as stream:
        executable = stream.read(4) == b"\x7fELF"
    if executable or is_sealed(file):
        return Runtime(file)
    from convforge.classifier import Classifier  # noqa: PLC0415  (imports torch)

    return Classifier.load(file)
