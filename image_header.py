"""What a picture says about itself in its first bytes: format and size, without decoding a pixel.

Pure Python on purpose: the process that answers HTTP imports this and never hands foreign bytes to a native decoder.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal, NamedTuple

from errors import PictureError

Format = Literal["jpeg", "png", "webp", "bmp", "tiff", "gif", "heic", "avif"]

# libpng refuses longer sides, so nothing longer could be handed back as a PNG.
_MAX_SIDE = 1_000_000

# Tiles and padded pictures may be this much larger than what is seen of them.
_PADDING = 2

# What one inspection may read. Real headers need a few hundred bytes to some ten thousand; every read costs at least
# _READ_COST, so that a file made of a million tiny segments ends as quickly as any other.
_READ_BUDGET = 512 * 1024
_READ_COST = 64

_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset(range(0xD0, 0xD9)) | {0x01}

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_NEUTRAL_BRANDS = frozenset({b"mif1", b"msf1"})

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "an EPS or PostScript drawing"),
    (b"\xc5\xd0\xd3\xc6", "an EPS drawing"),
    (b"8BPS", "a Photoshop document (PSD)"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"II\xbc\x01", "a JPEG XR picture"),
    (b"FUJIFILMCCD-RAW", "a camera RAW picture"),
    (b"IIRO", "a camera RAW picture"),
    (b"IIRS", "a camera RAW picture"),
    (b"MMOR", "a camera RAW picture"),
    (b"IIU\x00", "a camera RAW picture"),
    (b"\x00MRM", "a camera RAW picture"),
    (b"\x00\x00\x01\x00", "an icon (ICO)"),
    (b"\x00\x00\x02\x00", "a cursor (CUR)"),
    (b"\x8aMNG", "an MNG animation"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"gimp xcf", "a GIMP document (XCF)"),
    (b"DDS ", "a DDS texture"),
    (b"qoif", "a QOI picture"),
    (b"AT&TFORM", "a DjVu document"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)"),
    (b"\x1aE\xdf\xa3", "a video"),
)


class _Broken(Exception):
    """The header contradicts its own format; the message ends the sentence 'The file ...'."""


class _Size(NamedTuple):
    """Width and height of the picture, and the pixels of the largest piece a decoder would unpack for it."""

    width: int
    height: int
    largest_piece: int = 0


class _Box(NamedTuple):
    """One box of an ISO media file: its kind and where its payload lies in the file."""

    kind: bytes
    start: int
    end: int


@dataclass(frozen=True)
class ImageHeader:
    """Size in pixels as stored, before any EXIF orientation is applied."""

    format: Format
    width: int
    height: int


class _Source:
    """Reads pieces of a stream by position, up to a fixed budget."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._budget = _READ_BUDGET
        self.length = stream.seek(0, 2)

    def peek(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer at the end of the file."""
        self._budget -= max(size, _READ_COST)
        if self._budget < 0:
            raise _Broken("has a header that never comes to its point")
        if offset >= self.length:
            return b""
        self._stream.seek(offset)
        return self._stream.read(size)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes."""
        piece = self.peek(offset, size)
        if len(piece) < size:
            raise _Broken("ends in the middle of its header")
        return piece


def inspect(stream: BinaryIO, max_pixels: int) -> ImageHeader:
    """The header of the picture in a seekable stream, whose position is left anywhere.

    Raises PictureError with one of the codes empty_file, not_a_picture, unsupported_format, broken_header,
    too_many_pixels.
    """
    source = _Source(stream)
    if not source.length:
        raise PictureError("empty_file", "The file is empty.")
    kind = _sniff(source.peek(0, 1024))
    try:
        size = _READERS[kind](source)
    except _Broken as broken:
        raise PictureError("broken_header", f"The file starts like {_article(kind)}, but {broken}.") from broken
    _check_size(size.width, size.height, max_pixels)
    if size.largest_piece > _PADDING * max_pixels:
        raise _too_many_pixels(f"pieces of {size.largest_piece / 1e6:,.1f} megapixels", max_pixels)
    return ImageHeader(kind, size.width, size.height)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises PictureError when no picture has this size, or when it is larger than allowed."""
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise PictureError("broken_header", f"The file says it is {width} × {height} pixels, which no picture is.")
    if width * height > max_pixels:
        raise _too_many_pixels(f"{width * height / 1e6:,.2f} megapixels ({width} × {height})", max_pixels)


def _too_many_pixels(what: str, max_pixels: int) -> PictureError:
    return PictureError(
        "too_many_pixels",
        f"The picture has {what}; at most {max_pixels / 1e6:,.10g} megapixels are accepted. Send a smaller one.",
    )


def _article(kind: Format) -> str:
    return f"a {kind.upper()}" if kind != "avif" else "an AVIF"


def _unsupported(what: str) -> PictureError:
    return PictureError(
        "unsupported_format",
        f"The file is {what}, which is not accepted. Send JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC or AVIF.",
    )


def _sniff(head: bytes) -> Format:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "tiff"
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADER_SIZES:
        return "bmp"
    if head[4:8] == b"ftyp" and len(head) >= 16:
        return _sniff_brand(head)
    for magic, what in _REFUSED:
        if head.startswith(magic):
            raise _unsupported(what)
    if b"<svg" in head.lower():
        raise _unsupported("an SVG drawing")
    raise PictureError(
        "not_a_picture",
        "The file is not a picture. Send JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC or AVIF.",
    )


def _sniff_brand(head: bytes) -> Format:
    major = head[8:12]
    brands = {head[offset : offset + 4] for offset in range(16, min(int.from_bytes(head[:4], "big"), len(head)), 4)}
    if major in _AVIF_BRANDS or (major in _NEUTRAL_BRANDS and brands & _AVIF_BRANDS):
        return "avif"
    if major in _HEIC_BRANDS or major in _NEUTRAL_BRANDS:
        return "heic"
    raise _unsupported("a camera RAW picture" if major == b"crx " else "a video or a relative of one")


def _jpeg_size(source: _Source) -> _Size:
    offset = 2
    while True:
        window = source.peek(offset, _READ_COST)
        if len(window) < 4:
            raise _Broken("ends before it says its size")
        start = window.find(b"\xff")
        if start < 0 or start + 4 > len(window):
            offset += start if start > 0 else len(window)
            continue
        offset += start
        marker = window[start + 1]
        if marker in (0x00, 0xFF):
            offset += 1
        elif marker in _JPEG_BARE_MARKERS:
            offset += 2
        elif marker in _JPEG_SIZE_MARKERS:
            precision, height, width = struct.unpack(">BHH", source.read(offset + 4, 5))
            if precision != 8:
                raise _unsupported(f"a JPEG with {precision} bits a channel")
            return _Size(width, height)
        elif marker in (0xD9, 0xDA):
            raise _Broken("its pixels come before it says its size")
        else:
            length = int.from_bytes(window[start + 2 : start + 4], "big")
            if length < 2:
                raise _Broken("has a segment of an impossible length")
            offset += 2 + length


def _png_size(source: _Source) -> _Size:
    length, kind, width, height = struct.unpack(">I4sII", source.read(8, 16))
    if kind == b"CgBI":
        raise _unsupported("an iOS-optimised PNG")
    if kind != b"IHDR" or length != 13:
        raise _Broken("its first chunk is not the header")
    return _Size(width, height)


def _gif_size(source: _Source) -> _Size:
    """The canvas, widened to the first frame where that hangs over, as decoders do."""
    width, height, flags = struct.unpack("<HHB", source.read(6, 5))
    offset = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while (introducer := source.read(offset, 1)) == b"!":
        offset += 2
        while block := source.read(offset, 1)[0]:
            offset += 1 + block
        offset += 1
    if introducer != b",":
        raise _Broken("holds no picture")
    left, top, frame_width, frame_height = struct.unpack("<HHHH", source.read(offset + 1, 8))
    return _Size(max(width, left + frame_width), max(height, top + frame_height))


def _webp_size(source: _Source) -> _Size:
    head = source.read(12, 18)
    if head.startswith(b"VP8X"):
        return _Size(int.from_bytes(head[12:15], "little") + 1, int.from_bytes(head[15:18], "little") + 1)
    if head.startswith(b"VP8L") and head[8] == 0x2F:
        bits = int.from_bytes(head[9:13], "little")
        return _Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if head.startswith(b"VP8 ") and head[11:14] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[14:18])
        return _Size(width & 0x3FFF, height & 0x3FFF)
    raise _Broken("its first chunk is no picture")


_BMP_HEADER_SIZES = frozenset(struct.pack("<I", size) for size in (12, 40, 52, 56, 64, 108, 124))


def _bmp_size(source: _Source) -> _Size:
    if source.read(14, 4) == b"\x0c\x00\x00\x00":
        width, height = struct.unpack("<HH", source.read(18, 4))
    else:
        width, height = struct.unpack("<ii", source.read(18, 8))
    return _Size(width, abs(height))


def _tiff_size(source: _Source) -> _Size:
    """The first page's size. Camera RAW files are TIFF too, with a thumbnail as their first page: they are refused."""
    head = source.read(0, 16)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    big = 43 in head[2:4]
    if head[8:10] == b"CR":
        raise _unsupported("a camera RAW picture")
    directory = int.from_bytes(head[8:16] if big else head[4:8], order)
    count_size, entry_size, value_at = (8, 20, 12) if big else (2, 12, 8)
    count = int.from_bytes(source.read(directory, count_size), order)
    entries = source.read(directory + count_size, count * entry_size)
    tags: dict[int, int] = {}
    for start in range(0, len(entries), entry_size):
        entry = entries[start : start + entry_size]
        value_size = {1: 1, 3: 2, 16: 8}.get(int.from_bytes(entry[2:4], order), 4)
        tags[int.from_bytes(entry[:2], order)] = int.from_bytes(entry[value_at : value_at + value_size], order)
    dng_version, subfile_type, sub_directories = 0xC612, 254, 330
    if dng_version in tags or (tags.get(subfile_type, 0) & 1 and sub_directories in tags):
        raise _unsupported("a camera RAW picture")
    if 256 not in tags or 257 not in tags:
        raise _Broken("does not say its size")
    return _Size(tags[256], tags[257], tags.get(322, 0) * tags.get(323, 0))


def _boxes(source: _Source, start: int, end: int) -> Iterator[_Box]:
    while start < end:
        head = source.peek(start, 16)
        if len(head) < 8:
            raise _Broken("ends in the middle of its header")
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = end - start
        if size < header or start + size > end:
            raise _Broken("has a box of an impossible length")
        yield _Box(head[4:8], start + header, start + size)
        start += size


def _child(source: _Source, start: int, end: int, kind: bytes) -> _Box:
    for box in _boxes(source, start, end):
        if box.kind == kind:
            return box
    raise _Broken(f"has no '{kind.decode()}' box")


def _heif_size(source: _Source) -> _Size:
    """The primary item's size, without the padding that its 'clap' box crops; of tiles, the whole they make up."""
    meta = _child(source, 0, source.length, b"meta")
    inside = meta.start + 4
    primary_box = _child(source, inside, meta.end, b"pitm")
    primary = source.read(primary_box.start, primary_box.end - primary_box.start)
    item = int.from_bytes(primary[4:8] if primary[:1] > b"\0" else primary[4:6], "big")
    properties = _child(source, inside, meta.end, b"iprp")
    listed = _child(source, properties.start, properties.end, b"ipco")
    sizes: dict[int, tuple[int, int]] = {}
    crops: dict[int, tuple[int, int]] = {}
    for index, box in enumerate(_boxes(source, listed.start, listed.end), start=1):
        if box.kind == b"ispe":
            sizes[index] = struct.unpack(">4xII", source.read(box.start, 12))
        elif box.kind == b"clap":
            width, width_divisor, height, height_divisor = struct.unpack(">4I", source.read(box.start, 16))
            crops[index] = width // (width_divisor or 1), height // (height_divisor or 1)
    for box in _boxes(source, properties.start, properties.end):
        if box.kind == b"ipma":
            own = set(_properties_of(item, source.read(box.start, box.end - box.start)))
            if size := next((sizes[index] for index in sizes if index in own), None):
                width, height = next((crops[index] for index in crops if index in own), size)
                return _Size(width, height, max(width * height for width, height in sizes.values()))
    raise _Broken("does not say its size")


def _properties_of(item: int, association: bytes) -> Iterator[int]:
    """Numbers (from 1) of the properties that an 'ipma' box gives to an item."""
    if len(association) < 8:
        raise _Broken("ends in the middle of its header")
    item_size = 4 if association[0] else 2
    index_size, mask = (2, 0x7FFF) if association[3] & 1 else (1, 0x7F)
    offset = 8
    while offset + item_size < len(association):
        found = int.from_bytes(association[offset : offset + item_size], "big")
        count = association[offset + item_size]
        offset += item_size + 1
        if found == item:
            for start in range(offset, offset + count * index_size, index_size):
                yield int.from_bytes(association[start : start + index_size], "big") & mask
        offset += count * index_size


_READERS: Mapping[Format, Callable[[_Source], _Size]] = {
    "jpeg": _jpeg_size,
    "png": _png_size,
    "webp": _webp_size,
    "bmp": _bmp_size,
    "tiff": _tiff_size,
    "gif": _gif_size,
    "heic": _heif_size,
    "avif": _heif_size,
}
