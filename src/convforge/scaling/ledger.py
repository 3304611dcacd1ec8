"""What a search has found so far, on disk, so that the same command goes on where it stopped.

NAME.scale/search.json                what is searched for: must be the same to go on
NAME.scale/records/plan.json, …       one record a step, written in one piece
NAME.scale/trials/compound.safetensors, …   what its latest trial trained, until there is a result
NAME.scale/winner/                    the run of the winner's training, as `train` keeps it
NAME.scale/report.html, result.json   in the end
"""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

from convforge.errors import OutputError
from convforge.files import write_file
from convforge.training.state import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Ledger:
    """Records in `folder`, which is made; `identity` is plain JSON of what is searched for.

    `started` is when this run began, by `time.monotonic`; `spent` counts its seconds, and those of
    earlier runs of this search until their last record.
    Raises OutputError where the folder cannot be made or is of another search.
    """

    def __init__(
        self, folder: Path, *, identity: Mapping[str, Any], started: float | None = None
    ) -> None:
        self.folder = folder
        self._records, self._trials = folder / "records", folder / "trials"
        self._started = time.monotonic() if started is None else started
        try:
            self._records.mkdir(parents=True, exist_ok=True)
            self._trials.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be made ({error.strerror}); name another output"
            ) from None
        self._check(json.loads(json.dumps(identity)))
        self._before = max(
            (float(_load(path)["spent"]) for path in self._records.glob("*.json")), default=0.0
        )

    @property
    def spent(self) -> float:
        """Seconds."""
        return self._before + time.monotonic() - self._started

    def get(self, key: str) -> Any:
        """The record of a step; None where it was not done."""
        path = self._path(key)
        return _load(path)["record"] if path.exists() else None

    def put(self, key: str, record: Any) -> None:
        """Keep the record of a step, plain JSON."""
        text = json.dumps({"record": record, "spent": round(self.spent, 3)}, allow_nan=False)
        write_file(self._path(key), text.encode())

    def all(self, kind: str) -> list[Any]:
        """The records of all steps whose key begins with this word."""
        return [_load(path)["record"] for path in sorted(self._records.glob(f"{kind}-*.json"))]

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """The record of a step, which is computed where there is none."""
        if not self._path(key).exists():
            self.put(key, compute())
        return self.get(key)

    def trial(self, name: str) -> Path:
        """The file of a candidate's latest trial."""
        return self._trials / f"{_slug(name)}.safetensors"

    def remove_trials(self) -> None:
        """Once there is a result."""
        shutil.rmtree(self._trials, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self._records / f"{_slug(key)}.json"

    def _check(self, identity: Any) -> None:
        path = self.folder / "search.json"
        if not path.exists():
            write_file(path, json.dumps(identity, indent=2).encode())
            return
        differing = differences(identity, _load(path))
        if differing:
            raise OutputError(
                f"{self.folder}: holds another search: {'; '.join(differing[:3])}; give what is "
                "there to go on with it, name another output, or start again by force",
                names=["output", "force"],
            )


def remove(folder: Path) -> None:
    """Forget a search: what a ledger and the winner's training left in its folder."""
    for name in ("records", "trials", "winner"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("search.json", "result.json", "report.html"):
        (folder / name).unlink(missing_ok=True)


def _slug(name: str) -> str:
    return name.replace(" ", "-")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: a record of a search that cannot be read ({error}); remove it to have it "
            "made again"
        ) from None
