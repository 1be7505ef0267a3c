"""Bodies that are not JSON: a multipart form, a form as in an address, or the picture itself."""

from collections.abc import Callable
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import QuerystringParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from errors import MalformedUpload, RequestTooLarge
from submission import Submission
from web import body
from web.base64_field import Base64Field, from_url_encoding
from web.multipart import MAX_FIELD_BYTES, MAX_FIELDS, OVERHEAD_BYTES, WRITE_BYTES, FileFields, Receiver, unreadable

# Of what a client wrote, in an answer to it.
MAX_TOLD_CHARACTERS = 100

TakeField = Callable[[str, str], bool]


class BodyReader(Protocol):
    """Takes a body piece by piece; `fields` are those beside the pictures."""

    fields: dict[str, str]

    async def feed(self, chunk: bytes) -> None: ...

    async def finish(self) -> None: ...


class WholeBody:
    """The body itself is the picture."""

    def __init__(self, submission: Submission) -> None:
        self.fields: dict[str, str] = {}
        self._upload = submission.add("")
        self._data = bytearray()

    async def feed(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) >= WRITE_BYTES:
            await self._write()

    async def finish(self) -> None:
        await self._write()
        await run_in_threadpool(self._upload.finish)

    async def _write(self) -> None:
        data = bytes(self._data)
        self._data.clear()
        await run_in_threadpool(self._upload.write, data)


class UrlEncodedForm:
    """application/x-www-form-urlencoded: no files, but pictures in base64, and addresses."""

    def __init__(self, submission: Submission, file_fields: FileFields, take_field: TakeField) -> None:
        self.fields: dict[str, str] = {}
        self._submission = submission
        self._file_fields = file_fields
        self._take_field = take_field
        self._name = bytearray()
        self._value = bytearray()
        self._picture: Base64Field | None = None
        self._seen = 0
        self._bytes = 0
        self._parser = QuerystringParser(
            {"on_field_name": self._on_name, "on_field_data": self._on_data, "on_field_end": self._on_end}
        )

    async def feed(self, chunk: bytes) -> None:
        """Raises MalformedUpload, RequestTooLarge and StorageFull."""
        await run_in_threadpool(self._parser.write, chunk)

    async def finish(self) -> None:
        await run_in_threadpool(self._parser.finalize)

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        name = data[start:end]
        # What curl --data-binary sends has this type, too, unless it is told another.
        if not (name.isascii() and name.decode().isprintable()):
            said = "The body is not the form that its Content-Type announces."
            raise MalformedUpload(f"{said} {what_to_send(self._file_fields)}")
        self._name += name
        self._count(end - start)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._picture is None and from_url_encoding(bytes(self._name)) in self._file_fields.base64:
            self._picture = Base64Field(self._submission, from_url_encoding)
        if self._picture is not None:
            self._picture.write(data[start:end])
        else:
            self._value += data[start:end]
            self._count(end - start)

    def _on_end(self) -> None:
        name, value = from_url_encoding(bytes(self._name)), from_url_encoding(bytes(self._value))
        if self._picture is not None:
            self._picture.finish()
        elif not self._take_field(name, value):
            self.fields[name] = value
        self._picture = None
        self._name.clear()
        self._value.clear()
        self._seen += 1
        if self._seen > MAX_FIELDS:
            raise MalformedUpload(f"More than {MAX_FIELDS} form fields came.")

    def _count(self, more_bytes: int) -> None:
        self._bytes += more_bytes
        if self._bytes > MAX_FIELD_BYTES:
            raise RequestTooLarge(f"The form fields beside the pictures are larger than {MAX_FIELD_BYTES} bytes.")


def reader_of(
    content_type: str | None, submission: Submission, file_fields: FileFields, take_field: TakeField
) -> BodyReader:
    """What can read this kind of body. Raises MalformedUpload when nothing can."""
    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data" and options.get(b"boundary"):
        try:
            return Receiver(submission, options[b"boundary"], file_fields, take_field)
        except FormParserError as error:
            raise unreadable(error) from error
    if kind == b"application/x-www-form-urlencoded" and file_fields.base64:
        return UrlEncodedForm(submission, file_fields, take_field)
    if file_fields.one_picture and (kind.startswith(b"image/") or kind == b"application/octet-stream"):
        return WholeBody(submission)
    raise MalformedUpload(f"{what_came(kind)} {what_to_send(file_fields)}")


def what_came(kind: bytes) -> str:
    if not kind:
        return "The body came without a Content-Type."
    if kind == b"multipart/form-data":
        return "The Content-Type multipart/form-data came without its boundary: let your HTTP client write this header."
    return f"A body of the type {kind.decode('latin-1')[:MAX_TOLD_CHARACTERS]} is not read here."


def what_to_send(file_fields: FileFields) -> str:
    field = file_fields.pictures[0]
    form = f"Send {'the picture' if file_fields.one_picture else 'pictures'} as multipart/form-data in the field "
    form += f"{field!r}, for example with curl -F {field}=@photo.jpg"
    if not file_fields.one_picture:
        return f"{form}."
    return f"{form}; or as the body itself, with its type: curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'."


async def receive(
    request: Request,
    submission: Submission,
    keep_alive: Callable[[], None],
    file_fields: FileFields,
    take_field: TakeField,
) -> dict[str, str]:
    """Read the whole body into the submission; return the form fields beside the files.

    `keep_alive` is called in a thread every KEEP_ALIVE_SECONDS. `take_field` is called with each field where it stands
    among the files, and says whether it keeps it for itself.

    Raises MalformedUpload, RequestTooLarge, TooManyFiles and InvalidAttachment.
    """
    content_type = request.headers.get("content-type")
    reader = await run_in_threadpool(reader_of, content_type, submission, file_fields, take_field)
    # Four letters of base64 are three bytes, and some are sent as three letters of an address.
    limit = submission.limits.max_request_bytes * (2 if file_fields.base64 else 1) + OVERHEAD_BYTES
    await body.read(request, submission, limit, reader.feed, keep_alive)
    await reader.finish()
    return reader.fields
