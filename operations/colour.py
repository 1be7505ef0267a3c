"""Any kind of pixel as 8-bit RGB, with the colour profile that still describes it."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

_BITS_PER_SAMPLE, _WHITE_IS, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_WHITE_IS_ZERO, _UNSIGNED = 0, 1

_PROFILE_HEADER_BYTES = 128  # ICC.1:2022, 7.2: the length first, the colour space at 16, the signature at 36


def to_rgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """The colours of an opaque picture of any mode as RGB, and the profile they are to be read with.

    An RGB profile is handed on untouched. Grey, CMYK and Lab colours are converted to sRGB, through their profile if
    there is one; a profile that is damaged or of another colour space than its pixels says nothing and is left out.
    """
    space = _colour_space(profile)
    if image.mode == "LAB":
        return _to_srgb(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), image), None
    if profile and space == b"RGB " and image.mode != "CMYK":
        return _plain_rgb(image), profile
    if profile and space == b"GRAY" and (grey := _as_grey(image)):
        return _through(profile, grey), None
    if profile and space == b"CMYK" and image.mode == "CMYK":
        return _through(profile, image), None
    return _plain_rgb(image), None


def between(image: Image.Image, profile: bytes | None, wanted: bytes | None) -> Image.Image:
    """RGB colours of one profile as those of another; none means sRGB. A damaged profile leaves them as they are."""
    if profile == wanted:
        return image
    try:
        return _converted(image, _opened(profile), _opened(wanted))
    except (ImageCms.PyCMSError, OSError):
        return image


def needs_conversion(profile: bytes | None) -> bool:
    """Whether RGB pixels cannot simply be handed on with this profile."""
    return profile is not None and _colour_space(profile) != b"RGB "


def eight_bit_grey(image: Image.Image) -> Image.Image:
    """A grey picture with 16-bit, 32-bit or floating-point pixels as mode L.

    Unsigned integers are scaled from their full range and floats from 0…1. Signed integers and floats outside 0…1 have
    no agreed white, so their darkest and brightest values become 0 and 255.
    """
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values.astype(np.float64))
        low, high = (0.0, 1.0) if values.min() >= 0 and values.max() <= 1 else (values.min(), values.max())
    elif image.mode == "I" and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED:
        values, low, high = values.astype(np.uint32), 0, 0xFFFFFFFF
    elif image.mode == "I":
        low, high = values.min(), values.max()
    else:
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
        low, high = 0, (1 << bits) - 1
    levels = _scaled(values, float(low), float(high))
    # Pillow inverts such pictures itself when they have 8 bits, and forgets to when they have more.
    return Image.fromarray(255 - levels if tags.get(_WHITE_IS) == _WHITE_IS_ZERO else levels)


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    span = high - low or 1.0
    return np.rint((values - low) * (255 / span)).astype(np.uint8)


def _as_grey(image: Image.Image) -> Image.Image | None:
    """One channel of a picture that is grey, whatever its mode; decoders hand some grey formats out as RGB."""
    if image.mode in ("1", "L"):
        return image.convert("L")
    red, green, blue = image.convert("RGB").split()
    return red if red == green == blue else None


def _colour_space(profile: bytes | None) -> bytes | None:
    if profile is None or len(profile) < _PROFILE_HEADER_BYTES or profile[36:40] != b"acsp":
        return None
    if int.from_bytes(profile[:4], "big") > len(profile):
        return None
    return profile[16:20]


def _plain_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _through(profile: bytes, image: Image.Image) -> Image.Image:
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        if image.mode != "L":
            return _to_srgb(opened, image)
        # Every level there is, without the interpolation that would be ten levels off in the shadows.
        levels = _to_srgb(opened, Image.frombytes("L", (256, 1), bytes(range(256))), ImageCms.Flags.NOOPTIMIZE)
        return Image.merge("RGB", [image.point(list(channel.tobytes())) for channel in levels.split()])
    except (ImageCms.PyCMSError, OSError):
        return _plain_rgb(image)


def _opened(profile: bytes | None) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB") if profile is None else BytesIO(profile))


def _to_srgb(
    profile: ImageCms.ImageCmsProfile,
    image: Image.Image,
    precision: ImageCms.Flags = ImageCms.Flags.HIGHRESPRECALC,
) -> Image.Image:
    return _converted(image, profile, _opened(None), precision)


def _converted(
    image: Image.Image,
    profile: ImageCms.ImageCmsProfile,
    wanted: ImageCms.ImageCmsProfile,
    precision: ImageCms.Flags = ImageCms.Flags.HIGHRESPRECALC,
) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,
        wanted,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=precision | ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None  # only an in-place conversion hands nothing back
    return converted
