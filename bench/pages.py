"""How soon the pages are seen, and how long turning a page of the board takes, in a real browser with every core busy.

    python -m bench.pages [--jobs 10000] [--rounds 20]

First paint: of a browser that was never there. Turning: from the click until the next rows are painted. Ends with 1
when a median is above what was promised.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from bench.filled_queue import fill
from bench.latency import photo, unique
from tests.page.conftest import ARGUMENTS, CHROMIUM
from tests.service import Service, running

FIRST_PAINT_MS = 300.0
TURN_MS = 100.0
# Work for both cores that lasts longer than the measurement does.
BUSY_FILES = 100
BUSY_SIZE = (1600, 1200)
PAINTED = """() => new Promise((resolve) => new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName("first-contentful-paint");
    if (paint) resolve(paint.startTime);
}).observe({ type: "paint", buffered: true }))"""
TURNS = """async (rounds) => {
    const took = [], rows = document.querySelector("#rows"), older = document.querySelector("#older");
    for (let turn = 0; turn < rounds; turn++) {
        const begin = performance.now();
        const changed = new Promise((resolve) => {
            const observer = new MutationObserver(() => { observer.disconnect(); resolve(); });
            observer.observe(rows, { childList: true });
        });
        older.click();
        await changed;
        await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
        took.push(performance.now() - begin);
    }
    return took;
}"""


def first_paints(browser: Browser, service: Service, address: str, rounds: int) -> list[float]:
    """Milliseconds from the navigation until anything is seen."""
    took = []
    for _ in range(rounds):
        with browser.new_context(base_url=service.url) as context:
            page = context.new_page()
            page.goto(address)
            took.append(float(page.evaluate(PAINTED)))
    return took


def turns(browser: Browser, service: Service, query: str, rounds: int) -> list[float]:
    """Milliseconds from a click on Older until the next rows are painted."""
    with browser.new_context(base_url=service.url) as context:
        page = context.new_page()
        page.goto(f"/board{query}")
        page.wait_for_selector("#older:not([disabled])")
        page.wait_for_timeout(1000)
        took: list[float] = page.evaluate(TURNS, rounds)
        return took


def told(name: str, took: Sequence[float], most: float) -> bool:
    """Print the figures; whether they are as promised."""
    print(f"{name:32} median {median(took):6.0f}   longest {max(took):6.0f}   promised {most:.0f}")
    return median(took) <= most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    rounds = options.rounds
    if CHROMIUM is None:
        sys.exit("Chromium is not installed. On Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), options.jobs, pending=0).database.close()
        with running(Path(folder)) as service, sync_playwright() as playwright:
            service.wait_until("/ready")
            busy = photo(BUSY_SIZE)
            work = service.submit([(f"busy-{number}.jpg", unique(busy)) for number in range(BUSY_FILES)])
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            print(f"{options.jobs:,} jobs; milliseconds; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            kept = [
                told(f"first paint of {address}", first_paints(browser, service, address, rounds), FIRST_PAINT_MS)
                for address in ("/", "/board")
            ]
            kept += [
                told(f"turning {query or 'all jobs'}", turns(browser, service, query, rounds), TURN_MS)
                for query in ("", "?status=completed", "?text=photo")
            ]
            browser.close()
            if service.job(work)["status"] != "processing":
                print("The cores were not busy to the end: take more files.")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
