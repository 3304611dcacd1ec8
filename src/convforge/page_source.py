"""The web page's sources, in `serving/page/`, as one text: for the target html and for the server.

Modules become one script, which the page's Content-Security-Policy allows by its hash, as it does
the style. What else a page may do, its maker adds.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.card import Card

_IMPORT = re.compile(r'^import [^"]*"\./([a-z]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def assemble(
    card: Card,
    *,
    title: str,
    entry: str,
    data: str,
    promise: str,
    allowed: Mapping[str, str],
) -> str:
    """The whole page of a classifier: the same text for the same arguments.

    `entry` is the module of `serving/page/` that starts the page; `data` is HTML, elements that the
    modules read; `promise` says in words what becomes of a picture; `allowed` adds to the
    policy, a directive to its sources.
    """
    style, script = _source("page.css"), bundle(entry)
    words = {
        "POLICY": _policy(style=style, script=script, allowed=allowed),
        "VERSION": __version__,
        "TITLE": html.escape(title),
        "WHAT": html.escape(_what(card)),
        "PROMISE": html.escape(promise),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": data,
    }
    return re.sub("@([A-Z]+)@", lambda found: words[found[1]], _source("index.html"))


def bundle(entry: str) -> str:
    """A module of the page, behind all that it imports, as one: no two give one name twice."""
    texts = [_EXPORT.sub("", _IMPORT.sub("", _source(name))) for name in modules(entry)]
    return "\n" + "\n".join(texts)


def modules(entry: str) -> tuple[str, ...]:
    """The files that a module of the page needs, each behind what it imports; it is the last."""
    found: dict[str, None] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"modules import each other: {(*above, name)}"
        for imported in _IMPORT.findall(_source(name)):
            visit(imported, (*above, name))
        found.setdefault(name)

    visit(entry, ())
    return tuple(found)


def loader() -> tuple[str, str]:
    """The loader of compiled modules, JavaScript and its types in TypeScript."""
    return _source("classifier.js"), _source("classifier.d.ts")


def _source(name: str) -> str:
    return files("convforge.serving").joinpath("page", name).read_text(encoding="utf-8")


def _policy(*, style: str, script: str, allowed: Mapping[str, str]) -> str:
    rules = {
        "default-src": "'none'",
        "script-src": f"'{_hash(script)}'",
        "style-src": f"'{_hash(style)}'",
        "img-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    for name, sources in allowed.items():
        rules[name] = f"{rules[name]} {sources}" if name in rules else sources
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _what(card: Card) -> str:
    count = f"{len(card.classes):,} {'class' if len(card.classes) == 1 else 'classes'}"
    return f"{card.network}, {count}" if card.network else f"An image classifier, {count}"
