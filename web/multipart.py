"""Multipart straight from the socket into storage, never a whole file in memory and no temporary folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from errors import MalformedUpload, RequestTooLarge
from submission import Submission, Upload
from web.base64_field import Base64Field
from web.parameters import ATTACHMENTS

# Large enough that a hop into a thread costs nothing beside the write itself.
WRITE_BYTES = 512 * 1024
# Of one field, and of all together that no `take_field` keeps.
MAX_FIELD_BYTES = 64 * 1024
MAX_FIELDS = 100
# Boundaries and part headers beside the files themselves.
OVERHEAD_BYTES = 2**20


@dataclass(frozen=True)
class FileFields:
    """Which parts of a form are files: pictures to work on, and what belongs to all of them, by our own names.

    `one_picture`: there can be one only, and then the whole body may be it. `base64`: fields that hold a picture as
    text; such a form may be URL-encoded, too.
    """

    pictures: tuple[str, ...]
    attachments: Mapping[str, str]
    base64: tuple[str, ...] = ()
    one_picture: bool = False


# The one that is shown in examples comes first.
QUEUE_FIELDS = FileFields(("images",), {name: name for name in ATTACHMENTS})


@dataclass
class Part:
    """One part of the body while it arrives."""

    headers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    is_file: bool = False
    # What is to be called before the first bytes of a file that has no name.
    begin: Callable[[], None] | None = None


class Receiver:
    """Turns the parser's callbacks into calls that may block, to be made in a thread."""

    def __init__(
        self,
        submission: Submission,
        boundary: bytes,
        file_fields: FileFields,
        take_field: Callable[[str, str], bool],
    ) -> None:
        self.fields: dict[str, str] = {}
        self._take_field = take_field
        self._file_fields = file_fields
        self._submission = submission
        self._calls: list[Callable[[], None]] = []
        self._part = Part()
        self._header_name = b""
        self._header_value = b""
        self._upload: Upload | Base64Field | None = None
        self._data = bytearray()
        self._field_characters = 0
        self._fields_seen = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    async def feed(self, chunk: bytes) -> None:
        """Raises MalformedUpload, RequestTooLarge, TooManyFiles and InvalidAttachment."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise unreadable(error) from error
        calls, self._calls = self._calls, []
        if calls:
            await run_in_threadpool(run_all, calls)

    async def finish(self) -> None:
        """Raises MalformedUpload when the body ended early."""
        if not self._ended:
            raise MalformedUpload("The upload ended in the middle: its last multipart boundary is missing.")

    def _on_part_begin(self) -> None:
        self._part = Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._part.headers[self._header_name.decode("latin-1").lower()] = self._header_value.decode("latin-1")
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._part.headers.get("content-disposition"))
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        if self._part.name in self._file_fields.pictures:
            name = decoded_filename(filename or b"")
            self._part.is_file = True
            self._begin_later(lambda: self._begin(self._submission.add(name)), filename)
        elif self._part.name in self._file_fields.base64:
            self._part.is_file = True
            self._calls.append(lambda: self._begin(Base64Field(self._submission)))
        elif filename is not None and (attachment := self._file_fields.attachments.get(self._part.name)):
            self._part.is_file = True
            self._begin_later(lambda: self._begin(self._submission.attach(attachment)), filename)
        elif filename is not None:
            known = [*self._file_fields.pictures, *self._file_fields.attachments]
            raise MalformedUpload(
                f"A file came in the field {self._part.name!r}. Pictures belong in the field {known[0]!r}; "
                f"fields for files are {', '.join(known)}."
            )

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._part.is_file and len(self._data) + end - start > MAX_FIELD_BYTES:
            raise fields_too_large()
        self._data += data[start:end]
        if self._part.is_file and len(self._data) >= WRITE_BYTES:
            self._write_later()

    def _on_part_end(self) -> None:
        if self._part.is_file:
            self._write_later()
            self._calls.append(self._end_file)
        else:
            name, value = self._part.name, self._data.decode("utf-8", "replace")
            self._data = bytearray()
            self._calls.append(lambda: self._note(name, value))

    def _on_end(self) -> None:
        self._ended = True

    def _begin_later(self, begin: Callable[[], None], filename: bytes | None) -> None:
        """Without name and bytes it is what browsers send for a field in which no file was chosen: none."""
        if filename:
            self._calls.append(begin)
        else:
            self._part.begin = begin

    def _write_later(self) -> None:
        data, self._data = bytes(self._data), bytearray()
        if data:
            if self._part.begin is not None:
                self._calls.append(self._part.begin)
                self._part.begin = None
            self._calls.append(lambda: self._write(data))

    def _note(self, name: str, value: str) -> None:
        if self._take_field(name, value):
            return
        self.fields[name] = value
        self._fields_seen += 1
        self._field_characters += len(value)
        if self._fields_seen > MAX_FIELDS:
            raise MalformedUpload(f"More than {MAX_FIELDS} form fields came beside the files.")
        if self._field_characters > MAX_FIELD_BYTES:
            raise fields_too_large()

    def _begin(self, upload: Upload | Base64Field) -> None:
        self._upload = upload

    def _write(self, data: bytes) -> None:
        if self._upload is not None:
            self._upload.write(data)

    def _end_file(self) -> None:
        if self._upload is not None:
            self._upload.finish()
        self._upload = None


def decoded_filename(raw: bytes) -> str:
    """Browsers and curl escape just these three (WHATWG HTML, multipart form data)."""
    for escaped, character in ((b"%22", b'"'), (b"%0D", b"\r"), (b"%0A", b"\n")):
        raw = raw.replace(escaped, character)
    return raw.decode("utf-8", "replace")


def run_all(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()


def fields_too_large() -> RequestTooLarge:
    return RequestTooLarge(f"The form fields beside the files are larger than {MAX_FIELD_BYTES} bytes.")


def unreadable(error: FormParserError) -> MalformedUpload:
    return MalformedUpload(f"The multipart body cannot be read: {str(error).rstrip('.')}.")
