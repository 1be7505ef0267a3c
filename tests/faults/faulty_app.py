"""The service, but certain pictures bring a fault to the child that reads them: uvicorn tests.faults.faulty_app:app.

The name of the fault stands behind the end of the picture, where no decoder looks.
"""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import app as assembler
from storage.local import LocalStorage


def crash() -> None:
    ctypes.string_at(0)


def hang() -> None:
    """In native code that keeps the interpreter's lock: no thread and no signal handler of Python can run."""
    ctypes.PyDLL(None).sleep(600)


def hoard() -> None:
    """Ask for memory until there is none; nothing is written to it, so the machine has nothing to give."""
    hoarded = []
    while True:
        hoarded.append(bytes(2**28))


FAULTS: Mapping[bytes, Callable[[], None]] = {b"crash": crash, b"hang.": hang, b"hoard": hoard}


@dataclass(frozen=True)
class FaultyStorage(LocalStorage):
    """Only children read whole pictures, so only they meet the fault. Pickled to them, it brings this module along."""

    def get(self, key: str) -> bytes:
        data = super().get(key)
        if fault := FAULTS.get(data[-5:]):
            fault()
        return data


setattr(assembler, "LocalStorage", FaultyStorage)  # noqa: B010 - mypy forbids to assign to a class
app = assembler.app
