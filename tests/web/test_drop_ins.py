"""The drop-ins with a real worker: real photos come back as rembg's server and remove.bg would give them."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from tests.service import SAMPLES, Service

PHOTO = SAMPLES[1].read_bytes()


def rembg(service: Service, **fields: str) -> Image.Image:
    """As the README of rembg has it."""
    answer = requests.post(f"{service.url}/api/remove", files={"file": PHOTO}, data=fields, timeout=60)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png"), answer.text
    return Image.open(io.BytesIO(answer.content))


def removebg(service: Service, files: Mapping[str, bytes] | None = None, **fields: str) -> requests.Response:
    answer = requests.post(
        f"{service.url}/v1.0/removebg", files={"image_file": PHOTO, **(files or {})}, data=fields, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return answer


def pixels(picture: Image.Image) -> Any:
    return np.asarray(picture).astype(int)


def shown(answer: requests.Response) -> Image.Image:
    """The picture, of the size that the headers tell."""
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (int(answer.headers["X-Width"]), int(answer.headers["X-Height"]))
    return picture


def test_rembg_default_is_what_remove_answers(service: Service) -> None:
    same = requests.post(f"{service.url}/remove?format=png", files={"image": PHOTO}, timeout=60)
    assert np.array_equal(pixels(rembg(service)), pixels(Image.open(io.BytesIO(same.content))))


def test_rembg_mask_is_the_alpha_of_the_cutout(service: Service) -> None:
    mask = rembg(service, om="true")
    assert mask.mode == "L"
    assert np.array_equal(pixels(mask), pixels(rembg(service))[:, :, 3])


def test_rembg_colour_stands_behind(service: Service) -> None:
    corner = pixels(rembg(service, bgc="255,0,0,255"))[0, 0]
    assert list(corner[:3]) == [255, 0, 0]


def test_removebg_gives_a_preview_unless_told_otherwise(service: Service) -> None:
    whole = Image.open(io.BytesIO(PHOTO)).size
    assert shown(removebg(service, size="auto")).size == whole
    preview = shown(removebg(service, size="preview"))
    assert preview.size == shown(removebg(service)).size
    assert preview.width * preview.height <= 250_000


def test_removebg_gives_jpeg_when_nothing_is_transparent(service: Service) -> None:
    assert shown(removebg(service)).format == "PNG"
    blue = shown(removebg(service, bg_color="00f"))
    assert blue.format == "JPEG"
    assert np.abs(pixels(blue)[0, 0] - [0, 0, 255]).max() <= 4


def test_removebg_takes_a_background_picture(service: Service) -> None:
    sea = io.BytesIO()
    Image.new("RGB", (50, 40), (10, 200, 30)).save(sea, "PNG")
    behind = shown(removebg(service, {"bg_image_file": sea.getvalue()}, format="png"))
    assert np.abs(pixels(behind)[0, 0][:3] - [10, 200, 30]).max() <= 1


@pytest.mark.parametrize("fields", [{"crop": "true", "crop_margin": "5%"}, {"roi": "50% 0% 100% 100%"}], ids=str)
def test_removebg_geometry_has_its_effect(service: Service, fields: dict[str, str]) -> None:
    assert removebg(service, None, **fields).content != removebg(service).content


def test_removebg_mask_is_grey(service: Service) -> None:
    assert shown(removebg(service, channels="alpha")).mode == "L"
