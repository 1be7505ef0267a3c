"""Weights on this machine: found where rembg keeps them, verified, downloaded once.

The layout is rembg's (`<home>/models/<model>/<file>`), so that both use the same files. Beside a weights file lie its
`.checked` stamp (see checksums) and, while it is downloaded, a `.part` file and a `.lock`.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from errors import ModelNotUsable, WeightsCorrupt, WeightsUnavailable
from models import sources
from models.catalog import DEFAULT_MODEL, MODELS, REFINERS, Model, WeightFile, aliases_of
from models.checksums import ChecksumCache, digest_of
from models.sources import Progress, SourceFailed

State = Literal["installed", "missing", "damaged"]


def home(environ: Mapping[str, str]) -> Path:
    """Where weights are kept, by rembg's rules: U2NET_HOME, then REMBG_HOME, then XDG_DATA_HOME, then ~/.rembg."""
    if environ.get("U2NET_HOME"):
        return legacy_home(environ)
    data = environ.get("XDG_DATA_HOME")
    default = os.path.join(data, "rembg") if data else os.path.join("~", ".rembg")
    return Path(environ.get("REMBG_HOME") or default).expanduser()


def legacy_home(environ: Mapping[str, str]) -> Path:
    """The flat folder of earlier versions of rembg, only ever read."""
    default = os.path.join(environ.get("XDG_DATA_HOME") or "~", ".u2net")
    return Path(environ.get("U2NET_HOME") or default).expanduser()


def open_store(environ: Mapping[str, str]) -> "WeightStore":
    return WeightStore(home(environ), legacy_home(environ))


class WeightStore:
    """The weights folder of this machine; safe to use from several threads and processes at once."""

    def __init__(self, home: Path, legacy_home: Path | None = None, read_timeout_seconds: float = 30.0) -> None:
        self.home = home.absolute()
        self.legacy_home = legacy_home.absolute() if legacy_home else None
        self._read_timeout_seconds = read_timeout_seconds
        self._checksums = ChecksumCache()

    def check_usable(self, model: Model) -> None:
        """Raises ModelNotUsable for a remote model, and for a custom one whose file is not in place."""
        if model.kind == "remote":
            raise ModelNotUsable(
                f"The model {model.name} is not available here: it would send pictures to somebody else's service."
            )
        if model.kind == "custom" and self.state(model) == "missing":
            raise ModelNotUsable(
                f"The model {model.name} is a file of your own: put it at models/{model.name}/{model.files[0].name} "
                "in the weights folder, which `python -m models list` names."
            )

    def check_installed(self, refiner: Model) -> None:
        """Raises ModelNotUsable unless the weights of a refiner are here: no request makes them come."""
        state = self.state(refiner)
        if state != "installed":
            trouble = "are not installed on this server" if state == "missing" else "on this server are damaged"
            raise ModelNotUsable(
                f"The weights of {refiner.name} {trouble}. Its operator gets them with "
                f"`python -m models pull {refiner.name}`; without them, leave {refiner.name} out.",
                refiner.name,
            )

    def state(self, model: Model) -> State:
        """What is on disk, without reading the weights: a wrong file shows as damaged once it was verified."""
        if not model.files:
            return "missing"
        for file in model.files:
            path = self._find(model, file)
            if path is None:
                return "missing"
            if file.checksum:
                algorithm, expected = file.checksum
                if self._checksums.known(path, self._stamp(model, file), algorithm) not in (None, expected):
                    return "damaged"
        return "installed"

    def is_installed(self, model: Model) -> bool:
        return self.state(model) == "installed"

    def installed(self) -> list[str]:
        """Names of the models that can be used at once."""
        return [model.name for model in MODELS.values() if self.is_installed(model)]

    def locate(self, model: Model) -> tuple[Path, ...]:
        """Paths of the model's files, each verified since it last changed.

        Raises ModelNotUsable, WeightsUnavailable (not on disk, or not readable) and WeightsCorrupt.
        """
        self.check_usable(model)
        return tuple(self._verified(model, file) for file in model.files)

    def verify(self, model: Model) -> tuple[Path, ...]:
        """As `locate`, but every byte is read again."""
        self.check_usable(model)
        return tuple(self._verified(model, file, afresh=True) for file in model.files)

    def pull(self, model: Model, on_progress: Progress) -> tuple[Path, ...]:
        """Download what is missing or wrong; one download of a file at a time across processes.

        While another process downloads, `on_progress` gets its bytes. An exception from `on_progress` ends the
        download and leaves nothing behind. Raises ModelNotUsable, WeightsUnavailable and WeightsCorrupt.
        """
        self.check_usable(model)
        return tuple(self._pull_file(model, file, on_progress) for file in model.files)

    def _target(self, model: Model, file: WeightFile) -> Path:
        """Where a file of a model belongs."""
        return self.home / "models" / model.name / file.name

    def _stamp(self, model: Model, file: WeightFile) -> Path:
        return self.home / "models" / model.name / f"{file.name}.checked"

    def _find(self, model: Model, file: WeightFile) -> Path | None:
        candidates = [self._target(model, file)]
        if self.legacy_home:
            candidates.append(self.legacy_home / file.name)
        # os.path.isfile: a folder that may not be looked into holds nothing for us.
        return next((path for path in candidates if os.path.isfile(path)), None)

    def _verified(self, model: Model, file: WeightFile, afresh: bool = False) -> Path:
        path = self._find(model, file)
        if path is None:
            raise WeightsUnavailable(
                f"The weights of {model.name} are not installed.", f"Run `python -m models pull {model.name}`."
            )
        if file.checksum is None:
            return path
        algorithm, expected = file.checksum
        compute = self._checksums.renew if afresh else self._checksums.digest
        try:
            digest = compute(path, self._stamp(model, file), algorithm)
        except OSError as error:
            raise WeightsUnavailable(
                f"The weights of {model.name} cannot be read.", f"Reading {path} failed: {error.strerror}."
            ) from error
        if digest != expected:
            raise WeightsCorrupt(
                f"The weights of {model.name} on this server are not the published ones.",
                f"{path} has {algorithm} {digest} instead of {expected}: delete it, "
                f"or replace it with `python -m models pull {model.name}`.",
            )
        return path

    def _pull_file(self, model: Model, file: WeightFile, on_progress: Progress) -> Path:
        with contextlib.suppress(WeightsUnavailable, WeightsCorrupt):
            return self._verified(model, file)
        target = self._target(model, file)
        part = target.with_name(f".{file.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _turn(target.with_name(f".{file.name}.lock"), part, on_progress):
                # Another process may have brought it while this one waited.
                with contextlib.suppress(WeightsUnavailable, WeightsCorrupt):
                    return self._verified(model, file)
                self._download(model, file, part, on_progress)
                return self._verified(model, file)
        except OSError as error:
            raise WeightsUnavailable(
                f"The weights of {model.name} could not be stored on this server.",
                f"Writing {target} failed: {error.strerror or error}.",
            ) from error

    def _download(self, model: Model, file: WeightFile, part: Path, on_progress: Progress) -> None:
        """Try every source in order until one delivers the right bytes. Raises WeightsError and OSError."""
        target = self._target(model, file)
        algorithm, expected = file.checksum or ("sha256", "")
        failures: list[str] = []
        delivered = False
        for source in file.sources:
            try:
                sources.clear(part)
                sources.fetch(source, part, on_progress, self._read_timeout_seconds)
                digest = digest_of(part, algorithm)
                if digest == expected:
                    part.replace(target)
                    return
                delivered = True
                failures.append(f"{source.location} delivered a file with {algorithm} {digest}")
            except SourceFailed as failure:
                failures.append(str(failure))
            finally:
                sources.clear(part)
        remedy = f"Put {file.name} ({algorithm} {expected}) at {target} yourself, or try again; {'; '.join(failures)}."
        if delivered:
            raise WeightsCorrupt(
                f"The weights of {model.name} could not be downloaded: what arrived is not the published file.", remedy
            )
        raise WeightsUnavailable(
            f"The weights of {model.name} could not be downloaded: none of their sources could be reached.", remedy
        )


@contextlib.contextmanager
def _turn(path: Path, part: Path, on_progress: Progress) -> Iterator[None]:
    """Hold the lock of one download; the system lets go of it when a process dies."""
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=sources.POLL_SECONDS)
            break
        except Timeout:
            on_progress(sources.arrived(part), None)
    try:
        yield
    finally:
        lock.release()


def describe(store: WeightStore) -> list[dict[str, object]]:
    """Every model as plain values, ready for JSON."""
    return [_described(store, model, store.check_usable) for model in MODELS.values()]


def describe_refiners(store: WeightStore) -> list[dict[str, object]]:
    """Likewise."""
    return [_described(store, refiner, store.check_installed) for refiner in REFINERS.values()]


def _described(store: WeightStore, model: Model, check: Callable[[Model], None]) -> dict[str, object]:
    reason: str | None = None
    try:
        check(model)
    except ModelNotUsable as error:
        reason = error.detail
    return {
        "name": model.name,
        "aliases": aliases_of(model),
        "default": model.name == DEFAULT_MODEL,
        "installed": store.is_installed(model),
        "usable": reason is None,
        "reason": reason,
        "bytes": model.bytes,
        "input_size": model.input_size,
        "licence": model.licence,
        "commercial_use": model.commercial_use,
        "kind": model.kind,
        "summary": model.summary,
    }
