"""What people do with a mouse and files, done through the browser's own protocol: events that pages take for real."""

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page


def drop(page: Page, paths: Sequence[Path], address: str | None = None) -> None:
    """Drag files or folders from the desktop over the page, or a link from another page, and let go."""
    items = [{"mimeType": "text/uri-list", "data": address}] if address else []
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": items, "files": [str(path) for path in paths], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 200, "data": data})
    session.detach()


def paste(page: Page, **texts: str) -> None:
    """Paste text of types such as text_plain."""
    page.evaluate(
        """(texts) => {
            const clipboardData = new DataTransfer();
            for (const [type, text] of Object.entries(texts)) clipboardData.setData(type.replace("_", "/"), text);
            const options = { clipboardData, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new ClipboardEvent("paste", options));
        }""",
        texts,
    )


def at_once(page: Page, path: str) -> tuple[int, int]:
    """How many requests to a path there were, and how many at most at the same time, by the browser's own clock."""
    times = page.evaluate(
        """(path) => performance.getEntriesByType("resource").filter(({ name }) => name.includes(path))
            .flatMap(({ startTime, responseEnd }) => [[startTime, 1], [responseEnd, -1]])""",
        path,
    )
    now = most = 0
    for _, step in sorted(times):
        now += step
        most = max(most, now)
    return len(times) // 2, most
