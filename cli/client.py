"""The HTTP side: requests to the service, repeated where that helps, and their errors in words."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from cli.screen import Screen
from cli.trouble import ConnectionLost, FilesRefused, Json, Trouble
from cli.upload import CHUNK_BYTES, Upload

TIMEOUT_SECONDS = 120
# Answers that may ask to come back, and how long that is followed.
PATIENCE_SECONDS = {409: 60, 429: 900, 503: 60}
# After 429 without Retry-After.
USUAL_PAUSE_SECONDS = 5
# Longer than a stream of events is ever silent.
SILENCE_SECONDS = 45
RESEND_PAUSES_SECONDS = (1, 4)
LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True)
class Limits:
    """What one submit may bring, in files and bytes."""

    max_files_per_job: int
    max_upload_bytes: int
    max_request_bytes: int


class Client:
    """The service behind an address. Methods raise Trouble; ConnectionLost if no whole answer came."""

    def __init__(self, url: str, token: str, screen: Screen) -> None:
        self.url = checked_address(url)
        self._screen = screen
        self._token = token and checked_token(token)
        self._session = self._new_session()

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        # A proxy cannot reach this machine's own loopback.
        session.trust_env = urlsplit(self.url).hostname not in ("127.0.0.1", "localhost", "::1")
        if self._token:
            session.headers["X-API-Key"] = self._token
        return session

    def ask(self, method: str, path: str, *keys: str, **options: Any) -> Json:
        """The JSON object that the service answers, which has `keys`; `options` are those of requests."""
        return self._document(self._request(method, path, **options), *keys)

    def limits(self) -> Limits:
        names = Limits.__dataclass_fields__
        response = self._request("GET", "/health")
        told = self._document(response, "limits")["limits"]
        if not isinstance(told, dict) or not names.keys() <= told.keys():
            raise self._stranger(response)
        return Limits(**{name: told[name] for name in names})

    def job(self, job_id: str) -> Json:
        return self.ask("GET", job_path(job_id), "id", "status", "progress", "results")

    def submit(self, upload: Upload, **query: str | None) -> Json:
        """The answer to an upload. Raises FilesRefused.

        It is sent again when the connection is lost: the key keeps that from making a second job.
        """
        headers = {"Content-Type": f"multipart/form-data; boundary={upload.key}", "Idempotency-Key": upload.key}
        options = {"params": query, "data": upload, "headers": headers}
        for pause in RESEND_PAUSES_SECONDS:
            try:
                return self.ask("POST", "/queue/submit", "job_id", "rejected", **options)
            except ConnectionLost:
                self._screen.note(f"The connection was lost: sending this job again in {pause} s.")
                time.sleep(pause)
        return self.ask("POST", "/queue/submit", "job_id", "rejected", **options)

    def download(self, path: str, file: BinaryIO) -> None:
        """Write what is at a path of the service into a file. Raises OSError when that cannot be written."""
        with self._request("GET", path, stream=True) as response, self._errors_in_words():
            for piece in response.iter_content(CHUNK_BYTES):
                file.write(piece)

    def changes(self) -> Iterator[str]:
        """Ids of jobs in the moment in which they change, "" for a line that names none; for a thread of its own."""
        with self._errors_in_words(), self._new_session() as session:
            response = session.get(f"{self.url}/queue/events", stream=True, timeout=SILENCE_SECONDS)
            if response.headers.get("Content-Type", "").startswith("text/event-stream"):
                for line in response.iter_lines():
                    yield job_of(line)

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        """The service's answer, once it no longer asks to come back later. Raises FilesRefused."""
        started = time.monotonic()
        while True:
            with self._errors_in_words():
                response = self._session.request(
                    method, self.url + path, timeout=TIMEOUT_SECONDS, allow_redirects=False, **options
                )
            if response.status_code < 300:
                return response
            seconds = wanted_pause(response)
            if seconds is None:
                raise self._refusal(response)
            if time.monotonic() - started + seconds > PATIENCE_SECONDS[response.status_code]:
                raise Trouble(f"{self.url} is busy and asks to come back in {seconds} s. Try again later.")
            self._screen.note(f"The service is busy: trying again in {seconds} s.")
            time.sleep(seconds)

    def _refusal(self, response: requests.Response) -> Trouble:
        problem = self._document(response, "detail")
        if problem.get("rejected"):
            return FilesRefused(problem["detail"], problem["rejected"])
        if response.status_code == 401:
            return Trouble(f"{problem['detail']} Give the token with --token or QUEUE_API_TOKEN.")
        return Trouble(problem["detail"])

    def _document(self, response: requests.Response, *keys: str) -> Json:
        """The JSON object in an answer. Raises Trouble unless it has `keys`."""
        with self._errors_in_words():
            content = response.content
        try:
            document = json.loads(content)
        except ValueError as error:
            raise self._stranger(response) from error
        if not isinstance(document, dict) or not document.keys() >= set(keys):
            raise self._stranger(response)
        return document

    def _stranger(self, response: requests.Response) -> Trouble:
        return Trouble(f"{self.url} is not this service: it gave status {response.status_code}.")

    @contextlib.contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        """Turns errors of requests into Trouble."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise Trouble(
                f"{self.url} gives no secure connection: check that it speaks HTTPS, and its certificate."
            ) from error
        except LOST as error:
            if nobody_listens(error):
                raise ConnectionLost(
                    f"No service answers at {self.url}. Start it with `make run`, or name another address with --url."
                ) from error
            raise ConnectionLost(
                f"The connection to {self.url} was lost. What was queued goes on: see `list`."
            ) from error
        except requests.RequestException as error:
            raise Trouble(str(error)) from error


def job_of(line: bytes) -> str:
    """The job that a line of a stream of events tells of, or ""."""
    field, _, data = line.partition(b": ")
    try:
        told = json.loads(data) if field == b"data" else None
    except ValueError:
        told = None
    return str(told.get("id", "")) if isinstance(told, dict) else ""


def job_path(job_id: str) -> str:
    return f"/queue/job/{quote(job_id, safe='')}"


def wanted_pause(response: requests.Response) -> int | None:
    """Seconds after which the service wants to be asked again; None if it does not."""
    if response.status_code not in PATIENCE_SECONDS:
        return None
    told = response.headers.get("Retry-After", "")
    if told.isdecimal():
        return int(told)
    return USUAL_PAUSE_SECONDS if response.status_code == 429 else None


def nobody_listens(error: requests.RequestException) -> bool:
    """Whether the connection failed before it was there, rather than later."""
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(getattr(cause, "reason", None), NewConnectionError)


def checked_address(url: str) -> str:
    """The address of a service without a slash at its end; http if no scheme is named. Raises Trouble if it is none."""
    address = (url if "://" in url else f"http://{url}").rstrip("/")
    if not is_address(address):
        raise Trouble(f'"{url}" is no address of a service: --url wants one like http://127.0.0.1:5000.')
    return address


def is_address(address: str) -> bool:
    if not address.isprintable() or any(sign in address for sign in " ?#"):
        return False
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        host.encode("idna")
        possible_port = parts.port != 0
        requests.Request("GET", address).prepare()
    except ValueError:  # of urlsplit, the port, the encoding or requests
        return False
    return parts.scheme in ("http", "https") and host != "" and possible_port


def checked_token(token: str) -> str:
    """The token. Raises Trouble if no header can carry it, without showing it."""
    if not (token.isascii() and token.isprintable() and token == token.strip()):
        raise Trouble(
            "The token of --token or QUEUE_API_TOKEN has characters that cannot be sent: "
            "it must be plain ASCII, without spaces around it or line breaks."
        )
    return token
