"""Parts of a URI: `scheme:place?option=value&…`, and the files that a pattern stands for.

A pattern has braces, as shells do: `{00..99}` counts, with leading zeros kept, `{a,b}` lists.
"""

from __future__ import annotations

import os
import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.errors import DataError
from convforge.images.collection import PARTS
from convforge.images.dataset import FLAT, listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_FILES = 1_000_000  # of one pattern

_OPTIONS = re.compile(r"\?([a-z]+=[^?]*)$")
_COUNT = re.compile(r"(\d+)\.\.(\d+)")


def split_options(text: str, *, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """`place?root=/data&x=y` → ("place", {"root": "/data", "x": "y"}).

    Raises DataError for an option that is not known, or is there twice.
    """
    found = _OPTIONS.search(text)
    if found is None:
        return text, {}
    options: dict[str, str] = {}
    for pair in found[1].split("&"):
        name, equals, value = pair.partition("=")
        if name not in known or not (equals and value) or name in options:
            raise DataError(
                f"{text}: option {pair!r} is not understood; expected "
                f"{' or '.join(f'{one}=…' for one in known) or 'none'}, each once"
            )
        options[name] = value
    return text[: found.start()], options


def expand(pattern: str) -> list[Path]:
    """The files of a pattern, in its order. Raises DataError naming those that are not there."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    choices = [_choices(p, pattern) if i % 2 else [p] for i, p in enumerate(pieces)]
    total = 1
    for options in choices:
        total *= len(options)
    if total > MAX_FILES:
        raise DataError(f"{pattern}: stands for {total:,} files; expected at most {MAX_FILES:,}")
    paths = [Path("".join(parts)) for parts in product(*choices)]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{pattern}: {len(missing)} of {len(paths)} files are not there: {listing(missing)}; "
            "check the path and the range"
        )
    return paths


def by_part(paths: Sequence[Path], *, origin: str) -> dict[str, list[Path]]:
    """Files by part, told by a word of their name, or by their folder's whole name.

    `train-00.tar` and `train/00.tar` are of train. Where no file says so, all are of FLAT. Raises
    DataError where some do and others do not, or one names two parts.
    """
    parts: dict[str, list[Path]] = {}
    for path in paths:
        words = {PARTS[word] for word in re.split(r"[^a-z]+", path.name.lower()) if word in PARTS}
        words = words or {PARTS[name] for name in (path.parent.name.lower(),) if name in PARTS}
        if len(words) > 1:
            raise DataError(f"{path}: names two parts, {listing(sorted(words))}; rename it")
        parts.setdefault(words.pop() if words else FLAT, []).append(path)
    if FLAT in parts and len(parts) > 1:
        raise DataError(
            f"{origin}: of no part: {listing(map(str, parts[FLAT]))}, beside others of "
            f"{listing(name for name in parts if name != FLAT)}; have train, val or test in the "
            "name of each, or of none"
        )
    return {name: parts[name] for name in ("train", "val", "test", FLAT) if name in parts}


def short_names(paths: Sequence[Path]) -> Mapping[Path, str]:
    """Each file's path below the folder that all have in common, with "/" between folders."""
    common = os.path.commonpath([path.absolute().parent for path in paths])
    return {path: path.absolute().relative_to(common).as_posix() for path in paths}


def read_classes(file: str) -> tuple[str, ...]:
    """Class names, one a line, the first that of label 0. Raises DataError, naming the line."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as a list of class names ({error})") from None
    names = [line.strip() for line in text.rstrip("\n").split("\n")]
    for number, name in enumerate(names, start=1):
        if not name or name in names[: number - 1]:
            found = "is empty" if not name else f"has {name!r} again"
            raise DataError(f"{file}:{number}: {found}; expected one class name a line, each once")
    return tuple(names)


def _choices(inside: str, pattern: str) -> list[str]:
    counted = _COUNT.fullmatch(inside)
    if counted is None:
        if "," not in inside:
            raise DataError(
                f"{pattern}: {{{inside}}} is not understood; expected {{00..99}} or {{a,b}}"
            )
        return inside.split(",")
    first, last = counted[1], counted[2]
    if int(last) < int(first):
        raise DataError(f"{pattern}: {{{inside}}} counts down; expected the smaller number first")
    if int(last) - int(first) >= MAX_FILES:
        raise DataError(f"{pattern}: {{{inside}}} stands for over {MAX_FILES:,} files")
    return [str(i).zfill(len(first)) for i in range(int(first), int(last) + 1)]
