"""Write what the network pages compute: `python docs/networks/generator/build.py`.

A page is written by hand but for what stands between two marks,

    <!-- table: layers vgg16 -->
    …
    <!-- end -->

which is what the function `layers` of `tables` or `papers` gives for "vgg16"; "vgg1?" stands for
every network of such a name, as does "vgg*". A picture `![…](vgg16.svg)` is that network's drawing.
A test builds all of it again, and fails where a page and its network say different things.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import papers
import tables
from cells import summary

from convforge.analysis.drawing import summary_svg
from convforge.networks.catalog import CATALOG

FOLDER = Path(__file__).resolve().parents[1]
MARK = re.compile(r"(<!-- table: (\w+)((?: [\w?*]+)*) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]+\]\((\w+)\.svg\)")


def pages() -> list[Path]:
    """The pages, by name."""
    return sorted(FOLDER.glob("*.md"))


def filled(text: str) -> str:
    """A page's text, with every table as the networks are now."""
    return MARK.sub(
        lambda mark: f"{mark[1]}\n{_table(mark[2], mark[3].split())}\n\n{mark[4]}", text
    )


def drawings(text: str) -> dict[str, str]:
    """File name → content of the drawings that a page shows."""
    return {f"{name}.svg": summary_svg(summary(name)) for name in PICTURE.findall(text)}


def main() -> None:
    """Write every page's tables and every drawing."""
    for page in pages():
        text = filled(page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
        for name, content in drawings(text).items():
            (FOLDER / name).write_text(content, encoding="utf-8")


def _table(directive: str, words: list[str]) -> str:
    module = tables if hasattr(tables, directive) else papers
    names = [name for word in words for name in fnmatch.filter(CATALOG, word) or [word]]
    text: str = getattr(module, directive)(*names)
    return text


if __name__ == "__main__":
    main()
