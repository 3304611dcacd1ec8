"""Pictures of explanations, by matplotlib: the heat over what the network saw, filters, maps.

Colours are of "inferno" and "viridis", which rise evenly in lightness.
Words from outside, names of classes and files, are drawn as they are, never as formulas; what no
installed font can draw is written as its number.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import OutputError, PackageError
from convforge.files import check_destination, write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from convforge.analysis.explanation import Explanation
    from convforge.analysis.maps import FeatureMaps, Filters

FORMS = (".png", ".svg", ".pdf")
HEAT, MAPS = "inferno", "viridis"
DPI = 150
VEIL = 0.78  # opacity of the warmest place; the coldest has none
BRIGHTEST = 99.5  # percentile of a pixel-by-pixel map that is drawn as the warmest
LONGEST_NAME = 48  # characters of a class in a heading
INK, SOFT = "#1b1b1f", "#5c5f66"
SETTINGS = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "svg.fonttype": "path",
    "svg.hashsalt": "convforge",
}
# Fonts for what the first lacks, Korean among others, where they are installed.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "UnDotum",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Noto Sans",
)
LABELS = {
    "grad-cam": "weight of the evidence, share of the largest",
    "integrated-gradients": "attribution of a pixel, in units of the logit",
    "occlusion": "probability lost when covered",
}


def check_picture(path: Path) -> None:
    """Raise OutputError, before any work, where a picture of this name cannot be written.

    Raises PackageError where matplotlib is missing.
    """
    if path.suffix.lower() not in FORMS:
        raise OutputError(f"{path}: expected a name that ends in {', '.join(FORMS)}")
    check_destination(path)
    _settings()


def save_explanation(found: Explanation, path: Path, *, lines: Sequence[str] = ()) -> None:
    """Write what the network saw, and beside it the same with the heat over it; `lines` below."""
    check_picture(path)
    heat, label = _shown(found)
    top = float(heat.max()) or 1.0
    with _settings():
        figure = _figure(width=9.2, height=5.0)
        plain, warm = figure.subplots(1, 2)
        _show_photo(plain, found.seen)
        plain.set_title("what the network saw", color=SOFT, fontsize=9.5)
        _show_photo(warm, _faded(found.seen))
        # Cells are spread over the picture as they divide it; only what was measured is coloured.
        drawn = warm.imshow(
            heat,
            cmap=HEAT,
            vmin=0,
            vmax=top,
            alpha=VEIL * np.sqrt(np.clip(heat / top, 0, 1)),
            extent=_extent(found.seen),
            interpolation="nearest" if found.method == "occlusion" else "bilinear",
        )
        warm.set_title(f"{found.method} for this class", color=SOFT, fontsize=9.5)
        bar = figure.colorbar(drawn, ax=warm, fraction=0.046, pad=0.03)
        bar.solids.set_alpha(1)
        bar.set_label(label)
        _head(figure, _answer(found), lines)
        _save(figure, path)


def save_filters(found: Filters, path: Path, *, title: str = "") -> None:
    """Write the kernels in rows: as colours where there are three channels, else in grey."""
    check_picture(path)
    weights = found.weights
    if weights.shape[1] != 3:
        weights = weights.mean(axis=1, keepdims=True)
    largest = float(np.abs(weights).max()) or 1.0
    tiles = np.moveaxis(0.5 + weights / (2 * largest), 1, -1)
    columns = math.ceil(math.sqrt(len(tiles) * 1.6))
    rows = math.ceil(len(tiles) / columns)
    with _settings():
        figure = _figure(width=8.0, height=1.0 + 8.0 * rows / columns)
        for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
            axes.axis("off")
            if place < len(tiles):
                axes.imshow(tiles[place], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        count, channels, height, width = found.weights.shape
        words = (
            f"{count} filters of {channels}x{height}x{width}, from -{largest:.2g} (dark) over 0 "
            f"(mid-grey) to {largest:.2g} (light)"
        )
        _head(figure, f"{found.layer}, the first convolution", [words, title])
        _save(figure, path)


def save_features(found: FeatureMaps, path: Path, *, title: str = "") -> None:
    """Write one row a stage, the strongest maps first, each from its least to its largest value."""
    check_picture(path)
    columns = max(len(stage.maps) for stage in found.stages)
    with _settings():
        figure = _figure(width=1.4 + 1.15 * (columns + 1), height=0.9 + 1.3 * len(found.stages))
        grid = figure.subplots(len(found.stages), columns + 1, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        _show_photo(grid[0, 0], found.seen)
        for row, stage in zip(grid, found.stages, strict=True):
            size = "x".join(map(str, (stage.channels, *stage.maps.shape[1:])))
            # A title, for which the layout makes room above and not at its sides.
            words = f"{_drawable(stage.name)}, {size}"
            row[1].set_title(words, loc="left", fontsize=8, color=SOFT, parse_math=False)
            for axes, picture in zip(row[1:], stage.maps, strict=False):
                axes.imshow(picture, cmap=MAPS, interpolation="nearest")
        words = f"the {columns} strongest maps of every stage"
        _head(figure, "feature maps", [words, title])
        _save(figure, path)


def _shown(found: Explanation) -> tuple[NDArray[np.float32], str]:
    """The heat in the unit that the bar has, and what the bar is called."""
    heat, label = found.heat, LABELS[found.method]
    if found.method == "grad-cam":
        return heat / (float(heat.max()) or 1.0), label
    if found.method == "integrated-gradients":
        brightest = float(np.percentile(heat, BRIGHTEST))
        return np.minimum(heat, brightest), label
    return heat, label


def _answer(found: Explanation) -> str:
    target, best = found.target, found.best
    words = f"{_class_name(target.label, target.index)}  {target.probability:.1%}"
    if best.index != target.index:
        words += f"   (its answer: {_class_name(best.label, best.index)}  {best.probability:.1%})"
    return words


def _class_name(label: str, index: int) -> str:
    drawable = _drawable(label)
    if "�" in drawable:
        return f"class {index}"
    return drawable if len(drawable) <= LONGEST_NAME else f"{drawable[: LONGEST_NAME - 1]}…"


def _show_photo(axes: Any, pixels: NDArray[np.uint8]) -> None:
    grey = pixels.shape[2] == 1
    axes.imshow(
        pixels[..., 0] if grey else pixels,
        cmap="gray" if grey else None,
        vmin=0,
        vmax=255,
        extent=_extent(pixels),
        interpolation="nearest" if min(pixels.shape[:2]) < 100 else "antialiased",
    )
    axes.set_xticks([])
    axes.set_yticks([])


def _extent(pixels: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Left, right, bottom, top, so that maps of any size lie over the whole picture."""
    height, width = pixels.shape[:2]
    return 0, width, height, 0


def _faded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture in grey, so that all colour is heat."""
    grey: NDArray[np.uint8] = np.rint(pixels.mean(axis=2, keepdims=True)).astype(np.uint8)
    return grey


def _head(figure: Any, heading: str, lines: Sequence[str]) -> None:
    words = "\n".join(_drawable(line) for line in lines if line)
    left: dict[str, Any] = {"x": 0.02, "ha": "left", "parse_math": False}
    width = 0.92 * 72 * figure.get_figwidth()  # hinted letters are up to 3 % wider
    heading = _wrapped(heading, width=width, size=14, weight="bold")
    figure.suptitle(heading, **left, size=14, weight="bold")
    if words:
        figure.supxlabel(_wrapped(words, width=width, size=9), **left, size=9, color=SOFT)


def _wrapped(text: str, *, width: float, size: float, weight: str = "normal") -> str:
    """The text in lines of at most `width` points, of whole words.

    Matplotlib's own `wrap` takes two dollar signs for a formula whatever `parse_math` says.
    """
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415  (optional)
    from matplotlib.textpath import text_to_path  # noqa: PLC0415  (optional)

    font = FontProperties(size=size, weight=weight)

    def fits(line: str) -> bool:
        extent: tuple[float, float, float] = text_to_path.get_text_width_height_descent(
            line, font, ismath=False
        )
        return extent[0] <= width

    lines: list[str] = []
    for paragraph in text.split("\n"):
        line, *words = paragraph.split(" ")
        for word in words:
            if fits(f"{line} {word}"):
                line += f" {word}"
            else:
                lines.append(line)
                line = word
        lines.append(line)
    return "\n".join(lines)


def _drawable(text: str) -> str:
    """The text with � for what no font here can draw."""
    characters = _characters()
    return "".join(c if ord(c) in characters else "�" for c in text)


def _characters() -> set[int]:
    """Code points that the installed ones of FONTS can draw."""
    from matplotlib import font_manager  # noqa: PLC0415  (optional)

    found: set[int] = set()
    for name in _installed():
        path = font_manager.findfont(name)
        found |= set(font_manager.get_font(path).get_charmap())
    return found


def _installed() -> list[str]:
    from matplotlib import font_manager  # noqa: PLC0415  (optional)

    names = set(font_manager.get_font_names())
    return [name for name in FONTS if name in names]


def _settings() -> AbstractContextManager[None]:
    """Within, matplotlib draws by SETTINGS. Raises PackageError where it is missing."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  (optional, and slow to import)
    except ImportError:
        raise PackageError(
            "explain: drawing needs matplotlib, which is not installed; install it with "
            '`pip install "convforge[explain]"`'
        ) from None
    return mpl.rc_context({**SETTINGS, "font.family": _installed()})


def _figure(*, width: float, height: float) -> Any:
    """An empty figure, inches, that no window shows."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (optional)

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def _save(figure: Any, path: Path) -> None:
    picture = io.BytesIO()
    form = path.suffix.lower().removeprefix(".")
    stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    figure.savefig(picture, format=form, metadata=stamp)
    write_file(path, picture.getvalue())
