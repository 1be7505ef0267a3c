"""Everything an operator can set, in one frozen value read once by app.py."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL

from machine import cores

MOST_AT_ONCE = 256
PREFIX = "QUEUE_"
# What only the command line reads.
OF_THE_COMMAND_LINE = ("QUEUE_URL",)
# Kubernetes sets these for a service named `queue` (service links).
SERVICE_LINK = re.compile(r"\w+_SERVICE_HOST|\w+_SERVICE_PORT(_\w+)?|QUEUE_PORT(_\w+)?")


def one_a_core() -> int:
    return min(cores(), MOST_AT_ONCE)


class Settings(BaseSettings):
    """Read from the environment, each name with the prefix QUEUE_ (QUEUE_MAX_CONCURRENT=4)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True, allow_inf_nan=False)

    data_dir: Path = Field(Path("."), description="Folder of queue.db and of data/, which holds the pictures.")
    database_url: str = Field(
        "", description="SQLAlchemy URL of the database. Empty: SQLite in queue.db under data_dir."
    )
    sqlite_synchronous: Literal["FULL", "NORMAL"] = Field(
        "FULL", description="FULL: a 202 survives a power cut. NORMAL: faster, survives a crash of the process only."
    )
    default_model: str = Field("u2net", description="Model of a submit that names none; warmed at start.")
    max_concurrent: int = Field(
        default_factory=one_a_core,
        ge=1,
        le=MOST_AT_ONCE,
        description="Pictures worked on at once on this machine. auto: one a core.",
    )
    max_files_per_job: int = Field(500, ge=1, description="Files in one submit.")
    max_upload_bytes: int = Field(64 * 2**20, ge=1, description="Bytes of one file.")
    max_request_bytes: int = Field(4 * 2**30, ge=1, description="Bytes of one submit, all files together.")
    max_pending_files: int = Field(100_000, ge=1, description="Files that may wait; beyond it a submit gets 429.")
    disk_reserve_bytes: int = Field(
        2**30, ge=0, description="Free disk below which submits get 507 and the worker pauses."
    )
    max_megapixels: float = Field(50.0, gt=0, description="Width times height of one picture, in millions.")
    file_timeout_seconds: float = Field(60.0, gt=0, description="Time for one picture, once its model is loaded.")
    model_load_timeout_seconds: float = Field(300.0, gt=0, description="Time for a child process to load a model.")
    model_memory_bytes: int = Field(
        0, ge=0, description="Memory for child processes; beyond it idle ones end and work waits. 0: half of ours."
    )
    max_wait_seconds: float = Field(
        60.0,
        gt=0,
        description="Longest that a request waits for its pictures; POST /remove does unless told otherwise.",
    )
    child_max_files: int = Field(200, ge=1, description="Pictures after which a child process is replaced.")
    max_attempts: int = Field(3, ge=1, description="Tries of one picture when the trouble may pass.")
    lease_seconds: float = Field(60.0, ge=30, description="A worker silent for this long loses its files.")
    poll_seconds: float = Field(0.25, gt=0, description="How often the worker looks for files of other processes.")
    drain_seconds: float = Field(25.0, ge=0, description="Time to finish what is in hand when the service stops.")
    pre_stop_seconds: float = Field(
        0.0, ge=0, description="On SIGTERM, time in which /ready says no while requests are still answered."
    )
    retention_days: float = Field(
        7.0, gt=0, le=36_500, description="Jobs, uploads and results older than this are deleted."
    )
    sweep_seconds: float = Field(3600.0, gt=0, description="How often old jobs and orphan bytes are looked for.")
    fetch_urls: bool = Field(True, description="Whether submits may name pictures by their address.")
    fetch_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode] = Field(
        (80, 443), description="Ports that pictures may be fetched from, separated by commas."
    )
    fetch_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Hosts and networks to fetch from though they are not public, separated by commas."
    )
    fetch_timeout_seconds: float = Field(60.0, gt=0, description="Time to fetch one picture, redirects included.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",), description="Origins that browsers may call from, separated by commas. `none`: only our own page."
    )
    api_token: SecretStr | None = Field(
        None, description="When set, every request needs it but /health, /ready, /session and the pages' own files."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="text for people, json for log collectors.")

    @field_validator("max_concurrent", mode="before")
    @classmethod
    def _auto(cls, value: object) -> object:
        return one_a_core() if isinstance(value, str) and value.strip().lower() == "auto" else value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(origin.strip() for origin in value.split(",") if origin.strip() not in ("", "none"))

    @field_validator("fetch_ports", "fetch_allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(entry.strip().lower() for entry in value.split(",") if entry.strip())

    @field_validator("fetch_allowed_hosts")
    @classmethod
    def _whole_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if "/" in entry:
                ip_network(entry)
        return value

    @field_validator("api_token")
    @classmethod
    def _ascii_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        token = value.get_secret_value()
        if not token.isascii():
            raise ValueError("only ASCII characters can be sent in a header by every client")
        if token != token.strip():
            raise ValueError("it has white space around it, which no header carries")
        return value

    @property
    def resolved_database_url(self) -> str:
        path = (self.data_dir / "queue.db").absolute()
        return self.database_url or URL.create("sqlite", database=str(path)).render_as_string()

    @property
    def blob_dir(self) -> Path:
        return self.data_dir.absolute() / "data"

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1_000_000)

    @property
    def threads_per_picture(self) -> int:
        """When as many as may be are worked on; a picture that is alone has every core."""
        return max(1, cores() // self.max_concurrent)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """A sentence for each environment variable that looks like a setting and is none."""
    known = [name.upper() for name in Settings.model_fields]
    told = []
    for name in sorted(names):
        # In any case, as settings are read.
        variable = name.upper()
        if not variable.startswith(PREFIX) or variable in OF_THE_COMMAND_LINE or SERVICE_LINK.fullmatch(variable):
            continue
        setting = variable.removeprefix(PREFIX)
        if setting not in known:
            nearest = get_close_matches(setting, known, n=1)
            hint = f" Did you mean {PREFIX}{nearest[0]}?" if nearest else ""
            told.append(f"{name} is no setting, and is ignored.{hint}")
    return told
