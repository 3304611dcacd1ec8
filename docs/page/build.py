"""Take the pictures of the page's views: `python docs/page/build.py`.

A classifier with published weights as one web page, in the system's Chromium without a network: at
a desk in light, on a phone in dark.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright
from skimage import data

import convforge
from convforge.compiler.compilation import compile as build

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = Path(__file__).resolve().parent
SCREENS = {"desk": (1200, 1000, "light"), "phone": (390, 844, "dark")}
LAYER = 2  # a pair of convolutions, with maps that still look like the picture


def main() -> None:
    """Write NAME-SCREEN.png of every view."""
    with tempfile.TemporaryDirectory() as folder:
        picture, page = Path(folder) / "cat.png", Path(folder) / "EfficientNet-Lite0.html"
        Image.fromarray(data.chelsea()).save(picture)
        classifier = convforge.load_pretrained("efficientnet_lite0")
        build(classifier, page, target="html", precision="float16", examples=[picture])
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=shutil.which("chromium"))
            for screen, (width, height, scheme) in SCREENS.items():
                context = browser.new_context(
                    offline=True,
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    reduced_motion="reduce",
                )
                take_views(context.new_page(), page, screen)
            browser.close()


def take_views(tab: Page, page: Path, screen: str) -> None:
    """Every view on one screen."""
    tab.goto(page.as_uri())
    tab.wait_for_selector("#spoken:not(:empty)", state="attached")
    save(tab, f"classify-{screen}")
    tab.click("#why")
    tab.wait_for_selector("#evidence:not([hidden])", timeout=120_000)
    tab.evaluate("scrollTo(0, 0)")
    save(tab, f"why-{screen}")
    tab.click("#tab-inside")
    tab.click(f"#strip button:nth-child({LAYER + 2})")
    tab.wait_for_selector("#maps[aria-busy=false] canvas")
    save(tab, f"inside-{screen}")
    tab.locator(".hand").scroll_into_view_if_needed()
    tab.click("#hand-next")
    save(tab, f"hand-{screen}", of=".hand")
    tab.evaluate("scrollTo(0, 0)")
    tab.click("#tab-cost")
    tab.click("#cost button")
    tab.wait_for_selector("#cost th:has-text('Time')", timeout=120_000)
    save(tab, f"cost-{screen}")


def save(tab: Page, name: str, *, of: str | None = None) -> None:
    """What the tab shows, or one element of it, in all of its colours."""
    shot = tab.screenshot() if of is None else tab.locator(of).screenshot()
    Image.open(io.BytesIO(shot)).convert("RGB").save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
