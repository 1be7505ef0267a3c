"""One uploaded picture as plain pixels: decoded, upright, 8-bit, straight alpha. For child processes only."""

import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

import cv2
import numpy as np
import pillow_heif
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image

import image_header
from errors import PictureError
from image_header import Format
from operations import colour, resizing

pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

_DECODERS: Mapping[Format, str] = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "bmp": "BMP",
    "tiff": "TIFF",
    "gif": "GIF",
    "heic": "HEIF",
    "avif": "AVIF",
}

# EXIF orientation: whether rows and columns change places, then the axis to flip, as OpenCV counts them (-1: both).
_UPRIGHT: Mapping[object, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}

# A JPEG that is to become smaller is decoded at up to an eighth of its size, but at least this much larger than wanted:
# its own way to shrink is quick and coarse.
_SHRINK_BY_LANCZOS = 2

_PNG_BIT_DEPTH = 24  # offset in the file: signature 8, chunk head 8, width 4, height 4


@dataclass(frozen=True)
class Picture:
    """Straight sRGB pixels, or those of `icc_profile`: height × width × 4; the alpha of an `opaque` one is 255."""

    rgba: NDArray[np.uint8]
    opaque: bool = True
    icc_profile: bytes | None = None
    notes: Mapping[str, object] = field(default_factory=dict)
    # How long its sides are now, as a share of those in the file.
    shrunk_to: float = 1.0


def decode(data: bytes, max_pixels: int, most_pixels: int | None = None) -> Picture:
    """The first frame, upright, without any metadata but an RGB profile, and made smaller if it has too many pixels.

    Raises PictureError: the codes of image_header.inspect, or broken_picture.
    """
    kind = image_header.inspect(BytesIO(data), max_pixels).format
    with _refusals(kind, max_pixels):
        image: Image.Image = Image.open(BytesIO(data), formats=[_DECODERS[kind]])
        notes = {"source_format": kind} | _frame_notes(image, kind)
        profile = image.info.get("icc_profile")
        rgba = _plain_jpeg(data, image, profile, most_pixels) if kind == "jpeg" else None
        opaque = True
        if rgba is None:
            image.load()
            if kind == "png":
                _scale_colour_key(image, bits=data[_PNG_BIT_DEPTH])
            colours, alpha = _split_alpha(image)
            rgb, profile = colour.to_rgb(colours, profile)
            rgba = _with_alpha(rgb, alpha)
            opaque = alpha is None
        # Only now: loading a TIFF or HEIC turns it and takes the tag away.
        orientation, exif_notes = _orientation(image)
        width, height = resizing.fitting(*image.size, most_pixels)
        upright = _upright(resizing.resize(rgba, width, height, opaque=opaque), orientation)
        return Picture(upright, opaque, profile, notes | exif_notes, shrunk_to=max(width, height) / max(image.size))


def cut_out(picture: Picture, masks: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """The picture once for every mask: height × width × 4, straight RGBA.

    A pixel is never more opaque than it was in the picture; colour is zero where nothing can be seen. The picture's own
    alpha is overwritten: a copy of a large picture takes as long as reading it.
    """
    own = None if picture.opaque else picture.rgba[..., 3].copy()
    layers = []
    for mask in masks:
        alpha = mask if own is None else np.minimum(mask, own)
        picture.rgba[..., 3] = alpha
        layers.append(np.asarray(cv2.copyTo(picture.rgba, alpha), np.uint8))  # all zero where alpha is
    return layers


@contextmanager
def _refusals(kind: Format, max_pixels: int) -> Iterator[None]:
    """Turns whatever a decoder does about bad bytes into PictureError; running out of memory is not the picture's."""
    former_limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, all of which is dropped
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (PictureError, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as bomb:
        raise PictureError(
            "too_many_pixels",
            f"The picture unpacks to more than the {max_pixels / 1e6:,.10g} megapixels that are accepted.",
        ) from bomb
    except Exception as broken:  # decoders raise anything: OSError, SyntaxError, struct.error, IndexError, ...
        raise PictureError(
            "broken_picture",
            f"The {kind.upper()} file cannot be decoded: it is damaged or incomplete, or of a rare kind. "
            "Open it in a picture editor, save it as PNG or JPEG and send that.",
        ) from broken
    finally:
        Image.MAX_IMAGE_PIXELS = former_limit


def _plain_jpeg(
    data: bytes, image: Image.Image, profile: bytes | None, most_pixels: int | None
) -> NDArray[np.uint8] | None:
    """An ordinary JPEG, decoded straight to RGBA: half the time of Pillow and a conversion.

    None for what needs Pillow's care: other colours than RGB, and damage, of which only Pillow knows what is bearable.
    """
    if image.mode != "RGB" or colour.needs_conversion(profile):
        return None
    width, height = (_SHRINK_BY_LANCZOS * side for side in resizing.fitting(*image.size, most_pixels))
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, "RGBA", min_width=min(width, image.width), min_height=min(height, image.height), strict=True
        )
    except ValueError:
        return None
    return pixels


def _with_alpha(rgb: Image.Image, alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    rgba = np.array(rgb.convert("RGBA"))
    if alpha is not None:
        rgba[..., 3] = alpha
    return rgba


def _upright(rgba: NDArray[np.uint8], orientation: object) -> NDArray[np.uint8]:
    transposed, axis = _UPRIGHT.get(orientation, (False, None))
    turned = cv2.transpose(rgba) if transposed else rgba
    return np.asarray(turned if axis is None else cv2.flip(turned, axis), np.uint8)


def _frame_notes(image: Image.Image, kind: Format) -> dict[str, object]:
    # The further pictures in a phone's JPEG are previews and depth maps, not frames that somebody might miss.
    frames = 1 if kind == "jpeg" else getattr(image, "n_frames", 1)
    return {"frames": frames, "used_frame": image.tell()} if frames > 1 else {}


def _orientation(image: Image.Image) -> tuple[object, dict[str, object]]:
    """The EXIF orientation that is still to be applied: Pillow's TIFF and HEIC decoders do it themselves.

    A damaged EXIF block is no reason to refuse good pixels; the note says that they may lie on their side.
    """
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1), {}
    except (SyntaxError, ValueError, OSError, struct.error):
        return 1, {"exif": "unreadable, so the picture may not be upright"}


def _scale_colour_key(image: Image.Image, bits: int) -> None:
    """Brings a PNG's transparent grey or colour, which Pillow leaves in the file's bit depth, to the decoded pixels'.

    Pillow scales its pixels up from 2 and 4 bits, and keeps the upper 8 of 16 for RGB; 16-bit grey stays as it is.
    """
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = key * 255 // ((1 << bits) - 1)
    elif image.mode == "RGB" and bits == 16 and isinstance(key, tuple):
        image.info["transparency"] = tuple(part >> 8 for part in key)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, NDArray[np.uint8] | None]:
    """The picture without its transparency (grey at most 8 bits deep), and that transparency."""
    key = image.info.get("transparency")
    if image.mode.startswith("I") or image.mode == "F":
        alpha = None if key is None else np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
        return colour.eight_bit_grey(image), alpha
    if key is not None:
        image = image.convert("RGBA")
    elif image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.replace("a", "A"))
    if image.mode not in ("LA", "PA", "RGBA"):
        return image, None
    opaque = image.convert("L" if image.mode == "LA" else "RGB")
    return opaque, np.asarray(image.getchannel("A"))
