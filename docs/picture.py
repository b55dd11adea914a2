"""Figures of a report as a picture for the README:  python docs/picture.py results/lambda/report.html docs/lambda.png 3

Takes what the page shows from its first figure to the one of the number given. Needs Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT, MARGIN = 1180, 900, 12


def picture(page_file: Path, target: Path, count: int) -> None:
    """One PNG of the page from its first figure to figure number `count`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
        page.goto(page_file.resolve().as_uri())
        page.wait_for_selector("svg.main-svg")
        boxes = [box for f in page.query_selector_all("figure")[:count] if (box := f.bounding_box())]
        left, top = min(b["x"] for b in boxes), min(b["y"] for b in boxes)
        right, bottom = max(b["x"] + b["width"] for b in boxes), max(b["y"] + b["height"] for b in boxes)
        clip = {
            "x": left - MARGIN,
            "y": top - MARGIN,
            "width": right - left + 2 * MARGIN,
            "height": bottom - top + 2 * MARGIN,
        }
        shot = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))).convert("RGB")
        browser.close()
    shot.quantize(128).save(target, optimize=True)


if __name__ == "__main__":
    picture(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
