"""The target `wheel`: a package that pip installs, with the library and one small module in it.

It depends on numpy alone. `digits.whl` becomes digits-1.0-py3-none-PLATFORM.whl, as pip wants it;
`digits-2.1.whl` has version 2.1. Binary distribution format: PEP 427; platform tags of Linux: PEP
600, by the newest version of the C library that the library asks for.
"""

from __future__ import annotations

import base64
import hashlib
import keyword
import re
import sys
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.compiler.backend.archive import pieces_of, write_zip
from convforge.errors import OutputError
from convforge.files import check_destination
from convforge.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from convforge.card import Card
    from convforge.compiler.backend.target import Target

_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?")
_GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)(?:\.\d+)?\0")
_OVERLAP = 32  # bytes that a version and its name have at most


def check_wheel(path: Path) -> None:
    """Raise OutputError where a wheel of this name could not be written or installed."""
    check_destination(path)
    _name_and_version(path)


def save_wheel(library: Path, path: Path, *, card: Card | None, target: Target) -> Path:
    """Write the wheel into the folder of `path`; its full name. Raises OutputError."""
    name, version = _name_and_version(path)
    tag = f"py3-none-{_platform(library, target)}"
    information = f"{name}-{version}.dist-info"
    module = files(__package__).joinpath("wheel_module.py").read_bytes()
    entries: dict[str, bytes | Path] = {
        f"{name}/__init__.py": module,
        f"{name}/{library.name}": library,
        f"{information}/METADATA": _metadata(name, version, card=card).encode(),
        f"{information}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: convforge {__version__}\n"
            f"Root-Is-Purelib: false\nTag: {tag}\n"
        ).encode(),
    }
    record = "".join(f"{entry},{_digest(content)}\n" for entry, content in entries.items())
    entries[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    full = path.with_name(f"{name}-{version}-{tag}.whl")
    write_zip(full, entries)
    return full


def _name_and_version(path: Path) -> tuple[str, str]:
    """From "digits.whl" or "digits-2.1.whl"."""
    name, *rest = path.name.removesuffix(".whl").split("-")
    module = re.sub(r"[^A-Za-z0-9]+", "_", name).lower()
    version = rest[0] if rest else "1.0"
    taken = keyword.iskeyword(module) or module in {*sys.stdlib_module_names, "numpy", "pil"}
    if taken or not module.isidentifier():
        raise OutputError(
            f"{path}: a wheel holds a module of its own name, and {module!r} cannot be one; name "
            "another file, such as digits.whl"
        )
    if len(rest) > 1 or _VERSION.fullmatch(version) is None:
        raise OutputError(
            f"{path}: expected NAME.whl or NAME-VERSION.whl, such as digits-2.1.whl; the rest of "
            "a wheel's name is added"
        )
    return module, version


def _platform(library: Path, target: Target) -> str:
    machine = "x86_64" if target.levels[0].x86 else "aarch64"
    if target.binary == "mach-o":
        return f"macosx_11_0_{machine.replace('aarch64', 'arm64')}"
    if target.binary == "coff":
        return "win_amd64"
    major, minor = _glibc(library)
    return f"manylinux_{major}_{minor}_{machine}" if major else f"linux_{machine}"


def _glibc(library: Path) -> tuple[int, int]:
    """Newest version of the GNU C library that a library asks for; (0, 0) where it asks for none.

    Manylinux begins with 2.5.
    """
    newest, last = (0, 0), b""
    for piece in pieces_of(library):
        for found in _GLIBC.finditer(last + bytes(piece)):
            newest = max(newest, (int(found[1]), int(found[2])))
        last = bytes(piece[-_OVERLAP:])
    return max(newest, (2, 5)) if newest > (0, 0) else newest


def _metadata(name: str, version: str, *, card: Card | None) -> str:
    what = card.network if card is not None and card.network else "convolutional network"
    classes = f", {len(card.classes)} classes" if card is not None else ""
    summary = f"{what}{classes}, compiled by convforge"
    return (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n"
        "Requires-Python: >=3.10\nRequires-Dist: numpy\nRequires-Dist: pillow; extra == 'files'\n"
        "Provides-Extra: files\n"
    )


def _digest(content: bytes | Path) -> str:
    digest, length = hashlib.sha256(), 0
    for piece in pieces_of(content):
        digest.update(piece)
        length += len(piece)
    text = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    return f"sha256={text},{length}"
