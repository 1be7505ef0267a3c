"""The operation as a whole, with real weights on the real photos of docs/samples."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image
from pydantic import ValidationError

from errors import PictureError
from models.sessions import Prediction, Session
from operations.background_removal import BackgroundRemoval
from operations.base import Operation, Result
from operations.picture import decode
from tests.pictures import encode, heic, rgb_profile

LIMIT = 50_000_000
SAMPLES = sorted((Path(__file__).parents[2] / "docs" / "samples").glob("*.jpg"))
PARAMS = BackgroundRemoval.Params(model="u2netp")


def run(data: bytes, session: Session) -> Result:
    return BackgroundRemoval().run(data, PARAMS, session, LIMIT)


def rgba(result: Result) -> NDArray[np.uint8]:
    image = Image.open(BytesIO(result.data))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (result.width, result.height))
    return np.asarray(image)


def difference(ours: NDArray[np.uint8], theirs: Image.Image) -> int:
    return int(np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).max())


def test_it_is_an_operation() -> None:
    operation: Operation = BackgroundRemoval()
    assert operation.name == "remove_background"
    with pytest.raises(ValidationError):
        operation.Params.model_validate({"model": "u2net", "colour": "green"})
    with pytest.raises(ValidationError):
        operation.Params.model_validate({})


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_alpha_is_rembgs_and_colour_is_the_photos(path: Path, session: Session, rembg_session: Any) -> None:
    result = run(path.read_bytes(), session)
    assert (result.content_type, result.extension) == ("image/png", "png")
    assert set(result.notes) == {"source_format", "subject_confidence"}
    assert result.notes["source_format"] == "jpeg"
    assert 0.9 < result.notes["subject_confidence"] <= 1  # type: ignore[operator]
    photo = Image.open(path)
    cutout = rgba(result)
    assert difference(cutout[..., 3], rembg_session.predict(photo)[0]) <= 1
    visible = cutout[..., 3] > 0
    assert np.array_equal(cutout[visible][:, :3], np.asarray(photo)[visible])
    assert not cutout[~visible].any()
    assert 0.05 < (cutout[..., 3] > 128).mean() < 0.95


def test_alpha_is_rembgs_for_every_kind_of_pixels(session: Session, rembg_session: Any) -> None:
    photo = Image.open(SAMPLES[0]).resize((200, 200))
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    files = {
        "cmyk": encode(photo.convert("CMYK"), "TIFF"),
        "grey": encode(photo.convert("L"), "PNG"),
        "16-bit": encode(Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257), "PNG"),
        "palette": encode(photo.quantize(64), "GIF"),
        "turned": encode(photo, "JPEG", exif=tags),
        "heic": heic(photo),
    }
    for name, data in files.items():
        source = decode(data, LIMIT)
        alpha = rgba(run(data, session))[..., 3]
        assert difference(alpha, rembg_session.predict(Image.fromarray(source.rgba[..., :3]))[0]) <= 1, name
        assert alpha.max() > 200, name


def test_a_picture_never_becomes_more_opaque_than_it_was(session: Session) -> None:
    photo = np.asarray(Image.open(SAMPLES[0]))
    own = np.tile(np.linspace(0, 255, photo.shape[1]).astype(np.uint8), (photo.shape[0], 1))
    cutout = rgba(run(encode(np.dstack([photo, own]), "PNG"), session))
    mask = rgba(run(encode(photo, "PNG"), session))[..., 3]
    assert np.array_equal(cutout[..., 3], np.minimum(mask, own))
    assert (mask < own).any()
    assert (own < mask).any()


def test_of_the_metadata_only_the_profile_is_left(session: Session) -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = "Camera maker"
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    photo = Image.open(SAMPLES[0]).resize((90, 60))
    options = {"exif": tags, "icc_profile": rgb_profile(), "comment": b"a secret", "xmp": b"<x:xmpmeta secret/>"}
    data = encode(photo, "JPEG", **options)
    assert data.count(b"secret") == 2
    result = run(data, session)
    read = Image.open(BytesIO(result.data))
    read.load()
    assert set(read.info) == {"icc_profile"}
    assert read.info["icc_profile"] == rgb_profile()
    assert not read.getexif()


class ThreeMasks:
    """A model that, like u2net_cloth_seg, tells three kinds of things apart."""

    def predict(self, rgba: NDArray[np.uint8], prompt: object) -> Prediction:
        return Prediction([np.full(rgba.shape[:2], level, np.uint8) for level in (255, 0, 128)], 1.0)


def test_several_masks_give_cutouts_one_below_the_other() -> None:
    photo = Image.open(SAMPLES[0]).resize((40, 30))
    result = BackgroundRemoval().run(encode(photo, "PNG"), PARAMS, ThreeMasks(), LIMIT)  # type: ignore[arg-type]
    cutout = rgba(result)
    assert cutout.shape == (90, 40, 4)
    assert np.array_equal(cutout[:30, :, :3], np.asarray(photo))
    assert cutout[:, 0, 3].tolist() == [255] * 30 + [0] * 30 + [128] * 30


def test_a_smaller_file_holds_the_same_pixels(session: Session) -> None:
    photo = SAMPLES[0].read_bytes()
    files = {}
    for compression in ("fast", "balanced", "small"):
        params = BackgroundRemoval.Params(model="u2netp", png_compression=compression)
        files[compression] = BackgroundRemoval().run(photo, params, session, LIMIT)
    assert len(files["small"].data) < len(files["balanced"].data) < len(files["fast"].data)
    for result in files.values():
        assert np.array_equal(rgba(result), rgba(files["fast"]))


def test_frames_that_were_left_out_are_said(session: Session) -> None:
    frames = [Image.open(SAMPLES[0]).resize((64, 48)).rotate(angle).quantize(32) for angle in (0, 90)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    notes = run(data, session).notes
    assert {name: notes[name] for name in ("source_format", "frames", "used_frame")} == {
        "source_format": "gif",
        "frames": 2,
        "used_frame": 0,
    }


def empty_pictures() -> dict[str, NDArray[np.uint8]]:
    down, across = np.mgrid[0:1:400j, 0:1:600j]
    pictures = {f"flat {level}": np.full((400, 600), level) for level in (0, 1, 128, 255)}
    pictures["gradient"] = across * 255
    pictures["noise"] = np.random.default_rng(1).integers(0, 256, (400, 600, 3))
    pictures["sky"] = np.dstack([100 + 80 * down, 150 + 60 * down, np.full_like(down, 235)])
    return {name: pixels.astype(np.uint8) for name, pixels in pictures.items()}


@pytest.mark.parametrize("name", empty_pictures())
def test_a_picture_without_a_subject_can_be_made_to_fail(name: str, session: Session) -> None:
    data = encode(Image.fromarray(empty_pictures()[name]), "PNG")
    confidence = run(data, session).notes["subject_confidence"]
    assert isinstance(confidence, float)
    assert 0 <= confidence < 0.2
    fail = BackgroundRemoval.Params(model="u2netp", on_no_subject="fail")
    with pytest.raises(PictureError, match=r"u2netp finds no subject .* 0\.5 is wanted") as failure:
        BackgroundRemoval().run(data, fail, session, LIMIT)
    assert failure.value.code == "no_subject_found"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_picture_with_a_subject_does_not_fail(path: Path, session: Session) -> None:
    fail = BackgroundRemoval.Params(model="u2netp", on_no_subject="fail")
    assert BackgroundRemoval().run(path.read_bytes(), fail, session, LIMIT).notes["subject_confidence"]


@pytest.mark.parametrize(
    ("options", "alpha", "colour"),
    [
        ({"alpha_matting": True}, 2, None),
        ({"post_process_mask": True}, 255, 0),
        ({"decontaminate": True}, 1, None),
        ({"alpha_matting": True, "post_process_mask": True}, 255, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_edge_options_do_what_rembgs_do(
    path: Path, options: dict[str, bool], alpha: int, colour: int | None, session: Session, rembg_session: Any
) -> None:
    """Masks that differ by a level become hard edges that differ fully, but in hardly a pixel."""
    import rembg

    theirs = np.asarray(rembg.remove(Image.open(path), session=rembg_session, **options)).astype(int)
    params = BackgroundRemoval.Params.model_validate({"model": "u2netp", **options})
    cutout = rgba(BackgroundRemoval().run(path.read_bytes(), params, session, LIMIT)).astype(int)
    differences = np.abs(cutout - theirs)
    assert differences[..., 3].max() <= alpha
    assert (differences[..., 3] > 2).mean() < 0.0005
    both = (cutout[..., 3] > 0) & (theirs[..., 3] > 0)
    assert differences[both][:, :3].mean() < 3
    if colour is not None:
        assert differences[both][:, :3].max() <= colour


def test_a_broken_picture_is_refused(session: Session) -> None:
    with pytest.raises(PictureError, match="damaged"):
        run(SAMPLES[0].read_bytes()[:9_000], session)
