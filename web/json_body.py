"""A submit as JSON, read while it arrives: the long texts in it are pictures, and go to storage at once."""

import binascii
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NoReturn

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from errors import InvalidRequest, MalformedUpload, PictureError, RequestTooLarge
from storage.base import BlobWriter
from submission import Submission, Upload
from web import body
from web.sources import AGAIN, ATTACHED, FIELDS, MANY, NAMES, ONE, Sources, listed, texts

PICTURES, ENCODED = "images", "image_b64"
# Longer texts are set aside: no parameter is as long, and no address.
LONG_TEXT_BYTES = 16 * 1024
# Everything beside the long texts: 500 files with short ones.
MAX_OUTLINE_BYTES = 2**20
WRITE_BYTES = 512 * 1024
DECODE_BYTES = 256 * 1024
# JSON's own characters and parameters, beside the pictures.
OVERHEAD_BYTES = 2**20

_ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
# For the OpenAPI document; parameters stand beside these.
SCHEMA = {
    "type": "object",
    "properties": {
        PICTURES: {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "url": {"type": "string", "description": "Where the picture is fetched from."},
                    "base64": {"type": "string", "description": "The picture itself; a data URI is taken, too."},
                    "filename": {"type": "string"},
                },
                "additionalProperties": False,
            },
            "description": "Each with either url or base64.",
        },
        ONE: {**_ONE_OR_MORE, "description": "Addresses of pictures."},
        MANY: {**_ONE_OR_MORE, "description": "The same."},
        AGAIN: {**_ONE_OR_MORE, "description": "Pictures that earlier jobs were given, as job id/index."},
        **{name: FIELDS[name] for name in ATTACHED},
        ENCODED: {**_ONE_OR_MORE, "description": "Pictures in base64."},
    },
}

_REST_OF_TEXT = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)


class Reader:
    """Follows JSON just far enough to find its texts. `feed` and `finish` write to storage, so they block."""

    def __init__(self, submission: Submission) -> None:
        # Long texts as they stand in the body, under the names that stand for them in the document.
        self.long_texts: dict[str, BlobWriter] = {}
        self._submission = submission
        self._outline = bytearray()
        self._text = bytearray()
        self._long: BlobWriter | None = None
        self._in_text = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Raises RequestTooLarge and StorageFull."""
        data = self._rest + data
        at = 0
        while at < len(data):
            if not self._in_text:
                quote = data.find(b'"', at)
                end = len(data) if quote < 0 else quote + 1
                self._outline += data[at:end]
                self._in_text = quote >= 0
                at = end
            else:
                end = _REST_OF_TEXT.match(data, at).end()  # type: ignore[union-attr]  # it matches nothing, too
                self._take(data[at:end])
                at = end
                if data[at : at + 1] != b'"':
                    break  # more of the text is to come, perhaps the other half of an escape
                self._end_text()
                at += 1
        self._rest = data[at:]
        if len(self._outline) > MAX_OUTLINE_BYTES:
            raise RequestTooLarge(f"Beside the pictures, the body is larger than {MAX_OUTLINE_BYTES} bytes.")

    def _take(self, piece: bytes) -> None:
        self._text += piece
        if self._long is None and len(self._text) > LONG_TEXT_BYTES:
            self._long = self._submission.set_aside()
        if self._long is not None:
            self._submission.check_disk(len(self._text))
            self._long.write(bytes(self._text))
            self._text.clear()

    def _end_text(self) -> None:
        if self._long is not None:
            name = uuid.uuid4().hex
            self.long_texts[name] = self._long
            self._text += name.encode()
        self._outline += self._text + b'"'
        self._text.clear()
        self._long = None
        self._in_text = False

    def finish(self) -> dict[str, Any]:
        """The document. Raises MalformedUpload."""
        if self._in_text:
            raise MalformedUpload("The JSON body ended in the middle of a text.")
        try:
            document = json.loads(self._outline.decode(), parse_constant=no_constant)
            # Half of a surrogate pair can be escaped, but it is no text: no answer could repeat it.
            json.dumps(document, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise MalformedUpload(f"The JSON body cannot be read: {error}.") from error
        if not isinstance(document, dict):
            raise MalformedUpload('The JSON body must be an object, such as {"images": [{"url": "https://…"}]}.')
        return document


class Unpacker:
    """Takes pictures and addresses out of a document."""

    def __init__(
        self,
        submission: Submission,
        sources: Sources,
        long_texts: dict[str, BlobWriter],
        our_name: Callable[[str], str],
    ) -> None:
        self._submission = submission
        self._our_name = our_name
        self._sources = sources
        self._long_texts = long_texts

    def take(self, document: dict[str, Any]) -> dict[str, Any]:
        """What is left are parameters; those that are null count as not given.

        Raises InvalidRequest, TooManyFiles and RequestTooLarge.
        """
        parameters = {}
        for said, value in document.items():
            name = self._our_name(said)
            if value is None:
                continue
            if name == PICTURES:
                self._take_pictures(value)
            elif name in ATTACHED:
                if not isinstance(value, str):
                    raise InvalidRequest(f"{name} wants a text.", name)
                self._sources.attach(name, self._short(name, value))
            elif name in NAMES:
                named = listed(value) if name == MANY and isinstance(value, str) else texts(name, value)
                add = self._sources.add_again if name == AGAIN else self._sources.add
                for text in named:
                    add(self._short(name, text))
            elif name == ENCODED:
                for text in texts(name, value):
                    self._decode(text, "")
            else:
                parameters[name] = self._short(name, value)
        # Of two values under one name the last counts, in JSON as in Python.
        for unused in self._long_texts.values():
            self._submission.forget(unused)
        return parameters

    def _take_pictures(self, pictures: object) -> None:
        if not isinstance(pictures, list):
            raise InvalidRequest(f"{PICTURES} wants a list of objects, each with either url or base64.")
        for place, picture in enumerate(pictures):
            name = f"{PICTURES}[{place}]"
            if not isinstance(picture, dict) or not all(isinstance(text, str) for text in picture.values()):
                raise InvalidRequest(f"{name} wants an object of texts with either url or base64.")
            if unknown := sorted(set(picture) - {"url", "base64", "filename"}):
                raise InvalidRequest(f"Unknown in {name}: {', '.join(unknown)}. Known are url, base64, filename.")
            if ("url" in picture) == ("base64" in picture):
                raise InvalidRequest(f"{name} wants either url or base64.")
            filename = self._short(f"{name}.filename", picture.get("filename", ""))
            if "url" in picture:
                self._sources.add(self._short(f"{name}.url", picture["url"]), filename)
            else:
                self._decode(picture["base64"], filename)

    def _short(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and value in self._long_texts:
            raise InvalidRequest(f"{name} is longer than {LONG_TEXT_BYTES} bytes.")
        return value

    def _decode(self, text: str, filename: str) -> None:
        upload = self._submission.add(filename)
        writer = self._long_texts.pop(text, None)
        if writer is None:
            decode_into(upload, [text])
            return
        with writer.reader() as stream:
            decode_into(upload, unescaped(stream))
        self._submission.forget(writer)


def decode_into(upload: Upload, pieces: Iterable[str]) -> None:
    """Fill an upload with a picture in base64; what is none is rejected as a bad file is."""
    try:
        for decoded in from_base64(pieces):
            upload.write(decoded)
    except ValueError as error:
        upload.reject(PictureError("invalid_base64", f"The text is no base64: {str(error).rstrip('.')}."))
    else:
        upload.finish()


def from_base64(pieces: Iterable[str]) -> Iterator[bytes]:
    """Bytes of base64 in pieces; line breaks, and `data:…;base64,` at the start, are skipped. Raises ValueError."""
    rest = ""
    is_first = True
    for piece in pieces:
        if is_first:
            piece = _DATA_URI.sub("", piece, count=1) if _DATA_URI.match(piece) else piece
        is_first = False
        letters = rest + "".join(piece.split())
        # The last four stay behind: padding is allowed in them alone.
        whole = max(0, (len(letters) - 1) // 4 * 4)
        rest = letters[whole:]
        if "=" in letters[:whole]:
            raise ValueError("Excess data after padding")
        yield binascii.a2b_base64(letters[:whole], strict_mode=True)
    yield binascii.a2b_base64(rest, strict_mode=True)


def unescaped(stream: BinaryIO) -> Iterator[str]:
    """A JSON text, as it stands in the body, in pieces. Raises ValueError."""
    for block in whole_escapes(stream, b"\\", longest=6):  # \u002b
        yield json.loads(b'"' + block + b'"')


def whole_escapes(stream: BinaryIO, sign: bytes, longest: int) -> Iterator[bytes]:
    """A stream in blocks that cut no escape in two: each begins with `sign` and has at most so many bytes."""
    rest = b""
    while block := stream.read(DECODE_BYTES):
        block = rest + block
        # One at the end may not be whole yet.
        escape = block.rfind(sign, max(0, len(block) - longest))
        cut = len(block) if escape < 0 else escape
        rest = block[cut:]
        yield block[:cut]
    yield rest


def no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def receive(
    request: Request,
    submission: Submission,
    sources: Sources,
    keep_alive: Callable[[], None],
    our_name: Callable[[str], str],
) -> dict[str, Any]:
    """Read the whole body: pictures into the submission, addresses into the sources; return the parameters.

    `our_name`: of a member that holds pictures or addresses.

    Raises MalformedUpload, InvalidRequest, TooManyFiles, RequestTooLarge and StorageFull.
    """
    reader = Reader(submission)
    waiting = bytearray()

    async def feed(chunk: bytes) -> None:
        waiting.extend(chunk)
        if len(waiting) >= WRITE_BYTES:
            await flush()

    async def flush() -> None:
        data = bytes(waiting)
        waiting.clear()
        await run_in_threadpool(reader.feed, data)

    # Four letters of base64 are three bytes; escapes and line breaks are paid from the overhead.
    limit = submission.limits.max_request_bytes * 4 // 3 + OVERHEAD_BYTES
    await body.read(request, submission, limit, feed, keep_alive)
    await flush()
    document = reader.finish()
    unpacker = Unpacker(submission, sources, reader.long_texts, our_name)
    return await run_in_threadpool(unpacker.take, document)
