"""Picture files for tests, made from arrays: what Pillow can write it writes, the rest is put together by hand."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageCms

Pixels = NDArray[np.uint8]

pillow_heif.register_heif_opener()


def ramp(width: int = 48, height: int = 32) -> Pixels:
    """RGB where every pixel differs from its neighbours and no mirror image equals another: x, y and their sum."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 255 // (width - 1), y * 255 // (height - 1), (x + 2 * y) % 256]).astype(np.uint8)


def encode(pixels: Pixels | Image.Image, kind: str, **options: Any) -> bytes:
    """Through Pillow; grey, RGB and RGBA by the number of channels."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def heic(pixels: Pixels | Image.Image, **options: Any) -> bytes:
    """Lossless: RGB is stored as it is, not as luma and chroma."""
    return encode(pixels, "HEIF", quality=-1, chroma=444, matrix_coefficients=0, **options)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour_type: int, rows: Sequence[bytes], chunks: bytes = b"") -> bytes:
    """PNG of any bit depth; `chunks` go between header and pixels. Colour types: 0 grey, 2 RGB, 3 palette, 4, 6."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (png_chunk(b"IHDR", header), chunks, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_of(array: NDArray[Any], colour_type: int, chunks: bytes = b"") -> bytes:
    """An 8-bit or 16-bit array as PNG."""
    depth = array.dtype.itemsize * 8
    rows = [row.astype(f">u{array.dtype.itemsize}").tobytes() for row in array]
    return png(array.shape[1], array.shape[0], depth, colour_type, rows, chunks)


def packed_rows(levels: NDArray[Any], depth: int) -> list[bytes]:
    """Rows of 1-bit, 2-bit or 4-bit samples, the first in the highest bits."""
    bits = ((levels[..., None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
    return [np.packbits(row.ravel()).tobytes() for row in bits]


def tiff(array: NDArray[Any], photometric: int, tags: Mapping[int, Sequence[int]] | None = None) -> bytes:
    """One uncompressed little-endian page. Photometric: 0 white is zero, 1 black is zero, 2 RGB, 5 CMYK, 6, 8 Lab."""
    channels = 1 if array.ndim == 2 else array.shape[2]
    content = array.astype(array.dtype.newbyteorder("<")).tobytes()
    sample_format = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    fields: dict[int, Sequence[int]] = {
        256: [array.shape[1]],
        257: [array.shape[0]],
        258: [array.dtype.itemsize * 8] * channels,
        259: [1],
        262: [photometric],
        273: [8],
        277: [channels],
        278: [array.shape[0]],
        279: [len(content)],
        339: [sample_format] * channels,
    }
    fields |= tags or {}
    directory = 8 + len(content)
    extra_at = directory + 2 + 12 * len(fields) + 4
    entries, extra = b"", b""
    for tag, values in sorted(fields.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", extra_at + len(extra)), extra + packed
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    return (
        b"II*\0" + struct.pack("<I", directory) + content + struct.pack("<H", len(fields)) + entries + b"\0" * 4 + extra
    )


def bmp_with_alpha(rgba: Pixels) -> bytes:
    """32 bits with a mask for each channel; without masks the fourth byte of a BMP's pixels means nothing."""
    height, width = rgba.shape[:2]
    masks = struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, -height, 1, 32, 3, rgba.nbytes, 0, 0, 0, 0) + masks + bytes(52)
    return b"BM" + struct.pack("<III", 14 + len(header) + rgba.nbytes, 0, 14 + len(header)) + header + rgba.tobytes()


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of an ISO media file, such as HEIC."""
    payload = b"".join(content)
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def heif_header(brand: bytes, sizes: Sequence[tuple[int, int]], associations: Mapping[int, Sequence[int]]) -> bytes:
    """The boxes before the pixels: item sizes, and which of them (from 1) each item has. The primary item is 1."""
    listed = box(b"ipco", *(box(b"ispe", bytes(4), struct.pack(">II", *size)) for size in sizes))
    entries = b"".join(struct.pack(">HB", item, len(which)) + bytes(which) for item, which in associations.items())
    association = box(b"ipma", bytes(4), struct.pack(">I", len(associations)), entries)
    primary = box(b"pitm", bytes(4), struct.pack(">H", 1))
    return box(b"ftyp", brand, bytes(4), b"mif1") + box(b"meta", bytes(4), primary, box(b"iprp", listed, association))


def rgb_profile() -> bytes:
    """sRGB, always the same bytes: the time it was made at is taken out."""
    made_now = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made_now[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + made_now[36:]


def grey_profile(gamma: float) -> bytes:
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"kTRC": curve})


def cmyk_profile(corners: Mapping[tuple[int, int, int, int], tuple[int, int, int]]) -> bytes:
    """A profile that says which Lab colour each of the 16 mixtures of full inks is, and interpolates between them."""
    table = b""
    for index in range(16):
        lightness, a, b = corners[index >> 3 & 1, index >> 2 & 1, index >> 1 & 1, index & 1]
        table += bytes((round(lightness * 2.55), a + 128, b + 128))
    identity = struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    straight = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + straight * 4 + table + straight * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"A2B0": lut})


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in (x, y, z)))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """An ICC version 2 profile: header of 128 bytes, tag table, tags."""
    offset = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, offset + len(content), len(value))
        content += padded
    head = struct.pack(
        ">I4sI4s4s4s12s4s", offset + len(content), bytes(4), 0x02400000, kind, space, connection, b"", b"acsp"
    )
    illuminant = _xyz(0.9642, 1.0, 0.8249)[8:]
    return head + bytes(28) + illuminant + bytes(48) + table + content
