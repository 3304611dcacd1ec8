"""The target `c`: the sources with what builds them, as a folder or, by its name, a zip archive."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.compiler.backend.archive import write_zip
from convforge.compiler.backend.toolchain import EXACT_FLAGS, NETWORK_FLAGS, is_network
from convforge.errors import OutputError
from convforge.files import check_destination

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convforge.card import Card
    from convforge.compiler.backend.target import Target

_MANIFEST = "files.sha256"  # of every other file, as sha256sum prints and checks it


def check_sources(path: Path) -> None:
    """Raise OutputError where they could not be written, or the folder holds anything else.

    A folder is replaced as a whole where it holds nothing but what was written here, unchanged.
    """
    if path.suffix == ".zip" or not path.is_dir():
        check_destination(path)
        return
    others = [*islice(_others(path), 3)]
    if others:
        raise OutputError(
            f"{path}: is a folder with other files, or changed ones ({', '.join(others)}); move "
            "them, or name a folder that is empty or does not exist"
        )


def _others(folder: Path) -> Iterator[str]:
    """Names of all files that the folder's manifest does not have, or has otherwise."""
    manifest = folder / _MANIFEST
    known = {}
    if manifest.is_file():
        lines = manifest.read_text(encoding="utf-8", errors="replace").splitlines()
        known = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file == manifest or (file.is_dir() and not file.is_symlink()):
            continue
        if file.is_symlink() or name not in known or known[name] != _digest(file.read_bytes()):
            yield name


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def save_sources(
    sources: Mapping[str, bytes | memoryview], path: Path, *, card: Card | None, target: Target
) -> None:
    """Write all files of the target `c`. Raises OutputError; nothing is there by half."""
    check_sources(path)
    entries = {**sources, **_around(sources, name=_name(path), card=card, target=target)}
    lines = [f"{_digest(content)}  {name}\n" for name, content in sorted(entries.items())]
    entries[_MANIFEST] = "".join(lines).encode()
    if path.suffix == ".zip":
        write_zip(path, {f"{path.stem}/{name}": entries[name] for name in sorted(entries)})
        return
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as name:
            new, old = Path(name) / "new", Path(name) / "old"
            new.mkdir()
            for entry, content in entries.items():
                (new / entry).parent.mkdir(exist_ok=True)
                (new / entry).write_bytes(content)
            if path.exists():
                path.rename(old)
            shutil.move(new, path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); make room or choose another folder"
        ) from None


def _around(
    sources: Mapping[str, bytes | memoryview], *, name: str, card: Card | None, target: Target
) -> dict[str, bytes]:
    """What comes with the sources: how to build them, what they are, a program that calls them."""
    x86 = [level for level in target.levels if level.x86]
    words = {
        "NAME": name,
        "WHAT": _what(card),
        "NETWORK": " ".join(source for source in sources if is_network(source)),
        "NETWORK_FLAGS": " ".join(NETWORK_FLAGS),
        "EXACT": " ".join(EXACT_FLAGS),
        "X86_LEVELS": " ".join(level.name for level in (*x86, target.levels[-1])),
        "X86_FLAGS": "\n".join(
            f"  set(flags_{level.name} {' '.join(level.flags)})" for level in x86
        ),
        "WEIGHT_BYTES": f"{len(sources['weights.bin']):,}",
    }
    texts = {}
    for entry in ("CMakeLists.txt", "README.md", "main.c", "tools/weights_to_c.c"):
        text = files(__package__).joinpath("sources", entry).read_text(encoding="utf-8")
        texts[entry] = re.sub("@([A-Z_0-9]+)@", lambda found: words[found[1]], text).encode()
    if card is not None:
        texts["card.json"] = card.dumps().encode()
    return texts


def _name(path: Path) -> str:
    """A name that CMake takes, from the path's."""
    return re.sub(r"[^A-Za-z0-9_]", "_", path.stem) or "network"


def _what(card: Card | None) -> str:
    if card is None:
        return "A convolutional network, compiled to C by convforge."
    network = card.network or "A convolutional network"
    channels, height, width = card.preprocess.input_shape
    return (
        f"{network}, a classifier of {len(card.classes)} classes that sees {channels} x {height} x "
        f"{width}, compiled to C by convforge. `card.json` names the classes in order and says "
        "where the classifier came from."
    )
