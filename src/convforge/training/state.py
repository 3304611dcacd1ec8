"""The state of a run in one file: all that the next step depends on, and nothing that is executed.

    state-00000120.safetensors     after step 120

Tensors: weights and statistics, the optimisers', the average, the best epoch's. The header's
metadata has one key, "convforge": JSON of the `Course` and of the run's identity. No generator is
in it, for every random number follows from the seed and the step (see `draws`). A file is written
under a temporary name and renamed, and the two newest are kept: whenever the process dies, a whole
one is there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from convforge.errors import RecipeError
from convforge.files import write_file
from convforge.training.course import Course

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

KEPT = 2

_KEY = "convforge"
_FORMAT = 1


def save_state(
    folder: Path, tensors: Mapping[str, Tensor], *, course: Course, identity: Mapping[str, Any]
) -> Path:
    """Write the state after `course.step` steps, then remove all but the newest KEPT.

    Raises OutputError where it cannot be written; earlier states are then as they were.
    """
    record = {"format": _FORMAT, "course": course.to_json(), "identity": identity}
    text = json.dumps(record, allow_nan=False)
    path = folder / f"state-{course.step:08d}.safetensors"
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_file(path, safetensors_bytes(contiguous, metadata={_KEY: text}))
    for old in states(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def states(folder: Path) -> list[Path]:
    """The files of states in a folder, the newest last."""
    return sorted(folder.glob("state-*.safetensors"))


def load_state(path: Path) -> tuple[dict[str, Tensor], Course, dict[str, Any]]:
    """Tensors, course and identity.

    Raises RecipeError where the file is damaged, of another kind or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        version = record["format"]
        course, identity = Course.from_json(record["course"]), record["identity"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(
            f"{path}: damaged, or no state of a training run ({error}); remove it to continue from "
            "the one before"
        ) from None
    if version != _FORMAT:
        raise RecipeError(
            f"{path}: a state of format {version}, this convforge reads {_FORMAT}; continue with "
            "the convforge that wrote it"
        )
    return tensors, course, identity


def read_identity(folder: Path) -> dict[str, Any] | None:
    """The identity of the run whose newest state lies in a folder; None where there is none."""
    found = states(folder)
    return load_state(found[-1])[2] if found else None


def differences(here: Any, there: Any, *, path: str = "") -> list[str]:
    """Where two JSON records differ, as "recipe.epochs is 3 there and 4 here"."""
    if isinstance(here, dict) and isinstance(there, dict):
        return [
            line
            for key in sorted({*here, *there})
            for line in differences(here.get(key), there.get(key), path=f"{path}.{key}".strip("."))
        ]
    return [] if here == there else [f"{path} is {there!r} there and {here!r} here"]
