"""The studio in a real browser, before a real service."""

import re
import zipfile
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.page.conftest import Watch, violations
from tests.page.gestures import at_once, drop
from tests.page.studio import downloaded, jobs_of, opened, summary, tiles_of, wait_for
from tests.pictures import encode, ramp
from tests.service import SAMPLES, Service


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A photo that ends in the middle: its header is fine, so the service takes it."""
    path = tmp_path / "broken.jpg"
    path.write_bytes(SAMPLES[1].read_bytes()[:9000])
    return path


def test_dropped_pictures_become_cutouts(page: Page, service: Service, broken: Path) -> None:
    opened(page)
    drop(page, [SAMPLES[0], SAMPLES[1], broken])
    tiles = tiles_of(page)
    expect(tiles).to_have_count(3)
    # The first is on the stage at once, before the service has said anything.
    expect(page.get_by_role("img", name=f"{SAMPLES[0].name}, before")).to_be_visible()
    summary(page, "2 pictures done, 1 failed")
    expect(tiles.nth(0)).to_have_accessible_name(f"{SAMPLES[0].name}: Done")

    # One job for each, so the broken one took nothing with it; its reason stands beside its name.
    page.get_by_text("1 picture did not work").click()
    trouble = page.locator("#troubles li")
    expect(trouble).to_contain_text("broken.jpg")
    expect(trouble).to_contain_text("damaged or incomplete")
    job = next(view for view in map(service.job, jobs_of(page)) if view["status"] == "failed")
    with page.expect_response(re.compile("/retry$")):
        trouble.get_by_role("button", name="Try broken.jpg again").click()
    again = service.wait_for(str(job["id"]))
    summary(page, "2 pictures done, 1 failed")
    assert again["status"] == "failed"
    assert again["completed_at"] != job["completed_at"]


def test_slide_and_zoom(page: Page) -> None:
    opened(page)
    drop(page, SAMPLES[:1])
    summary(page, "1 picture done")
    slider = page.get_by_role("slider", name="Before and after")
    expect(slider).to_be_visible()
    expect(slider).to_have_attribute("aria-valuenow", "50")
    stage = page.locator("#stage").bounding_box()
    assert stage is not None
    # By hand, beginning anywhere on the picture.
    page.mouse.move(stage["x"] + stage["width"] * 0.4, stage["y"] + 60)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.25, stage["y"] + 60, steps=3)
    page.mouse.up()
    expect(slider).to_have_attribute("aria-valuenow", "25")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "27")
    expect(page.locator(".layer.before")).to_have_css("clip-path", re.compile(r"inset\(0px 73"))

    zoom = page.get_by_label("Zoom", exact=True).locator("output")
    fitted = zoom.inner_text()
    page.mouse.wheel(0, -600)
    expect(zoom).not_to_have_text(fitted)
    page.locator("#stage").press("0")
    expect(zoom).to_have_text(fitted)
    page.get_by_role("button", name="Zoom in").click()
    frame = page.locator(".after .frame")
    middle = frame.evaluate("(frame) => getComputedStyle(frame).transform")
    page.locator("#stage").press("ArrowDown")
    expect(frame).not_to_have_css("transform", middle)


def test_what_is_downloaded_is_what_the_service_makes(page: Page, service: Service, tmp_path: Path) -> None:
    opened(page)
    drop(page, SAMPLES[:2])
    summary(page, "2 pictures done")
    first, second = jobs_of(page)
    cutout = requests.get(f"{service.url}/queue/job/{first}/result/0", timeout=10).content
    stem = SAMPLES[0].stem
    assert downloaded(page, "#download") == (f"{stem}.png", cutout)

    page.get_by_role("radio", name="Mint").check()
    expect(page.locator(".after .frame")).to_have_css("background-color", "rgb(216, 240, 224)")

    def composed(job: str, **files: tuple[str, bytes]) -> bytes:
        colour = {} if files else {"background_color": "d8f0e0"}
        parameters = {"image_job": f"{job}/0", "model": "u2netp", **colour}
        answer = requests.post(f"{service.url}/remove", params=parameters, files=files or None, timeout=30)
        assert answer.ok, answer.text
        return answer.content

    assert downloaded(page, "#download") == (f"{stem}.jpg", composed(first))
    name, packed = downloaded(page, "#download-all")
    path = tmp_path / name
    path.write_bytes(packed)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == {
            f"{stem}.jpg": composed(first),
            f"{SAMPLES[1].stem}.jpg": composed(second),
        }

    wall = tmp_path / "wall.png"
    wall.write_bytes(encode(ramp(), "PNG"))
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a picture as background").click()
    chooser.value.set_files(wall)
    expect(page.get_by_role("radio", name="Picture of your own")).to_be_checked()
    assert downloaded(page, "#download")[1] == composed(first, background_image=("wall.png", wall.read_bytes()))

    page.get_by_role("radio", name="Transparent").check()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied as PNG.")).to_be_visible()
    assert page.evaluate("async () => (await navigator.clipboard.read())[0].types") == ["image/png"]


def test_options_and_the_same_picture_again(page: Page, service: Service) -> None:
    opened(page)
    drop(page, SAMPLES[2:])
    summary(page, "1 picture done")
    page.locator("summary", has_text="Options").click()
    expect(page.get_by_label("Model")).to_have_value("u2netp")
    expect(page.locator("#model-hint")).to_contain_text("Commercial use is allowed.")
    expect(page.get_by_role("button", name="Do this one again")).to_be_hidden()
    page.get_by_label("Crop to the subject").check()
    page.get_by_label("Clean colours").check()
    page.get_by_role("button", name="Do this one again").click()
    summary(page, "2 pictures done")
    jobs = [service.job(job) for job in jobs_of(page)]
    whole, cropped = [next(iter(job["results"])) for job in jobs]  # type: ignore[call-overload]
    assert cropped["width"] < whole["width"]
    page.reload()
    expect(page.get_by_text("Clean colours, crop")).to_be_visible()


def test_reload_in_the_middle(page: Page, paused: Service, watch: Watch) -> None:
    watch.expected.append(r"status of 40[49]")
    opened(page)
    drop(page, SAMPLES)
    expect(page.locator("#state")).to_contain_text("The queue is paused")
    wait_for(lambda: len(jobs_of(page)) == 3)
    # One that retention has taken meanwhile.
    page.evaluate(
        """() => localStorage["studio.jobs"] = JSON.stringify([
            { id: "77f3f606-c4f2-4c43-b290-54758ab3531d", name: "old.jpg", options: {} },
            ...JSON.parse(localStorage["studio.jobs"])])"""
    )
    page.reload()
    expect(page.get_by_text("1 earlier picture is no longer on the service.")).to_be_visible()
    # The file itself is gone with the first page: what is shown comes from the service, at its own size.
    before = page.get_by_role("img", name=f"{SAMPLES[2].name}, before")
    expect(before).to_have_js_property("naturalWidth", 600)
    expect(tiles_of(page)).to_have_count(3)
    summary(page, "0 of 3 done")
    requests.post(f"{paused.url}/queue/resume", timeout=10)
    summary(page, "3 pictures done")
    expect(page.get_by_role("slider", name="Before and after")).to_be_visible()
    widths = "[...document.querySelectorAll('.tile img')].map((image) => image.naturalWidth)"
    wait_for(lambda: all(page.evaluate(widths)))


def test_cancel_and_remove(page: Page, paused: Service) -> None:
    opened(page)
    drop(page, SAMPLES[:2])
    expect(page.locator("#state")).to_contain_text("The queue is paused")
    wait_for(lambda: len(jobs_of(page)) == 2)
    first = jobs_of(page)[0]
    page.get_by_role("button", name="Cancel").click()
    expect(tiles_of(page).first).to_have_accessible_name(f"{SAMPLES[0].name}: Cancelled")
    assert paused.job(first)["status"] == "cancelled"
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(tiles_of(page)).to_have_count(1)
    assert first not in jobs_of(page)
    page.get_by_role("button", name="Undo").click()
    # Where it was, not at the end.
    expect(tiles_of(page)).to_have_count(2)
    expect(tiles_of(page).first).to_have_accessible_name(f"{SAMPLES[0].name}: Cancelled")
    # A small copy goes with its picture: another of the same picture has its own.
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Crop to the subject").check()
    page.get_by_role("button", name="Do this one again").click()
    expect(tiles_of(page)).to_have_count(3)
    small = tiles_of(page).locator("img")
    expect(small.nth(1)).to_have_attribute("src", re.compile("^blob:"))
    assert small.nth(0).get_attribute("src") != small.nth(1).get_attribute("src")
    requests.post(f"{paused.url}/queue/resume", timeout=10)
    tiles_of(page).first.click()
    page.get_by_role("button", name="Try again").click()
    summary(page, "3 pictures done")


def test_a_hundred_pictures(page: Page, tmp_path: Path) -> None:
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/queue/events" in request.url else None)
    picture = encode(ramp(96, 64), "JPEG")
    folder = tmp_path / "holiday"
    for number in range(100):
        path = folder / f"{number // 10}" / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    (folder / "notes.txt").write_text("not a picture")
    opened(page)
    page.evaluate("performance.setResourceTimingBufferSize(2000)")
    drop(page, [folder])
    expect(page.get_by_text("100 pictures in the folder; 1 other file left out.")).to_be_visible()
    expect(tiles_of(page)).to_have_count(100)
    # It can be used meanwhile.
    tiles_of(page).nth(50).click()
    expect(tiles_of(page).and_(page.get_by_role("option", selected=True))).to_have_attribute(
        "title", re.compile("^050.jpg")
    )
    summary(page, "100 pictures done")
    requests_made, together = at_once(page, "/queue/submit")
    assert requests_made == 100
    assert together <= 3
    assert len(streams) == 1


def test_by_keyboard_alone(page: Page) -> None:
    opened(page)

    def focused() -> str:
        name: str = page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()")
        return name

    def tab_to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if focused().startswith(name):
                return
        raise AssertionError(f"Tab never came to {name}")

    tab_to("Choose pictures")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(SAMPLES)
    summary(page, "3 pictures done")
    page.keyboard.press("Shift+Tab")
    tab_to(SAMPLES[0].name)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#shown-name")).to_have_text(SAMPLES[1].name)
    page.keyboard.press("End")
    expect(page.locator("#shown-name")).to_have_text(SAMPLES[2].name)
    page.keyboard.press("Delete")
    expect(tiles_of(page)).to_have_count(2)
    assert focused().startswith(SAMPLES[1].name)
    page.keyboard.press("Home")
    tab_to("Transparent")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="White")).to_be_checked()
    tab_to("Download")
    with page.expect_download():
        page.keyboard.press("Enter")
    for _ in range(40):
        if focused() == "Before and after":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Home")
    expect(page.get_by_role("slider", name="Before and after")).to_have_attribute("aria-valuenow", "0")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_it(page: Page, watch: Watch, broken: Path, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    opened(page)
    page.locator("summary", has_text="Options").click()
    assert violations(page) == []
    page.get_by_label("Soft shadow").check()
    drop(page, [SAMPLES[0], SAMPLES[1], broken])
    summary(page, "2 pictures done, 1 failed")
    page.get_by_text("1 picture did not work").click()
    page.get_by_label("Soft shadow").uncheck()
    assert violations(page) == []
    tiles_of(page).nth(2).click()
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page) == []
    page.get_by_role("button", name="Pictures by address").click()
    assert violations(page) == []
