"""Pictures of the pages, for people to look at, and the two in README: python -m tests.page.screenshots.

A real browser before a real service that works on real photos; each scene on a desktop and a phone, light and dark.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import requests
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.page.conftest import ARGUMENTS, CHROMIUM
from tests.page.gestures import drop
from tests.service import ROOT, SAMPLES, Service, running

SCREENS: Mapping[str, ViewportSize] = {
    "desktop": {"width": 1440, "height": 900},
    "phone": {"width": 390, "height": 844},
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FOLDER = Path("out/screenshots")
# Those that README shows, in 256 colours.
SHOWN = {"studio-done-desktop-light": "docs/images/studio.png", "board-detail-desktop-dark": "docs/images/board.png"}
MODEL = "u2net"
# Long enough for the photos that are still at work while a scene is taken.
PHOTOS = 40
PATIENCE_MS = 120_000


@contextmanager
def tab(browser: Browser, service: Service, address: str) -> Iterator[Page]:
    with browser.new_context(base_url=service.url, viewport=SCREENS["desktop"], reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(address)
        yield page


def take(page: Page, scene: str) -> None:
    for screen, size in SCREENS.items():
        page.set_viewport_size(size)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            # The theme changes within a moment; so does what follows the size of the window.
            page.wait_for_timeout(300)
            page.screenshot(path=FOLDER / f"{scene}-{screen}-{scheme}.png")
    page.set_viewport_size(SCREENS["desktop"])


def photos(folder: Path, count: int) -> list[Path]:
    """The samples, each time cropped a little more, so that every one is work."""
    made = []
    for number in range(count):
        source = SAMPLES[number % len(SAMPLES)]
        with Image.open(source) as picture:
            width, height = picture.size
            path = folder / f"{source.stem}-{number + 1:03}.jpg"
            picture.crop((number, number, width, height)).save(path, quality=90)
        made.append(path)
    return made


def broken(folder: Path) -> Path:
    """A photo that ends in the middle: its header is fine, so the service takes it."""
    path = folder / "interrupted upload.jpg"
    path.write_bytes(SAMPLES[1].read_bytes()[:9000])
    return path


def studio(browser: Browser, service: Service, scratch: Path) -> None:
    with tab(browser, service, "/") as page:
        expect(page.locator("#model option").first).to_be_attached()
        take(page, "studio-empty")
        drop(page, SAMPLES)
        progress = page.locator("#progress")
        expect(progress).to_contain_text(f"{len(SAMPLES)} pictures done", timeout=PATIENCE_MS)
        take(page, "studio-done")
        drop(page, photos(scratch, 12))
        expect(progress).to_contain_text(f"{len(SAMPLES) + 2} ", timeout=PATIENCE_MS)
        take(page, "studio-working")
    with tab(browser, service, "/") as page:
        drop(page, [SAMPLES[0], broken(scratch)])
        page.get_by_text("1 picture did not work").click(timeout=PATIENCE_MS)
        expect(page.locator("#progress")).to_contain_text("1 picture done", timeout=PATIENCE_MS)
        take(page, "studio-failed")


def board(browser: Browser, service: Service, scratch: Path) -> None:
    unfinished = broken(scratch)
    pictures = [(path.name, path.read_bytes()) for path in photos(scratch, PHOTOS)]
    mixed = service.submit([*pictures[:3], (unfinished.name, unfinished.read_bytes())], model=MODEL)
    service.submit([(unfinished.name, unfinished.read_bytes())], model=MODEL)
    service.wait_for(mixed, PATIENCE_MS / 1000)
    for picture in pictures:
        service.submit([picture], model=MODEL)
    waiting = service.submit(pictures[:2], model=MODEL, priority="low")
    requests.post(f"{service.url}/queue/job/{waiting}/cancel", timeout=10).raise_for_status()
    for scene, address in (
        ("board-busy", "/board"),
        ("board-failed", "/board?status=failed"),
        ("board-detail", f"/board?job={mixed}"),
    ):
        with tab(browser, service, address) as page:
            expect(page.locator("#rows tr").first).to_be_visible()
            # Previews, throughput and workers come after the list.
            page.wait_for_timeout(1500)
            take(page, scene)


def main() -> None:
    if CHROMIUM is None:
        sys.exit("Chromium is not installed. On Debian: apt-get install chromium")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(Path(scratch, "data"), default_model=MODEL) as service,
        sync_playwright() as playwright,
    ):
        service.wait_until("/ready")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        studio(browser, service, Path(scratch))
        board(browser, service, Path(scratch))
        browser.close()
    for name, path in SHOWN.items():
        with Image.open(FOLDER / f"{name}.png") as picture:
            picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(ROOT / path, optimize=True)
    print(f"The screenshots are in {FOLDER}, those of README in docs/images.")


if __name__ == "__main__":
    main()
