"""One database: how a connection is opened, how a read and how a write transaction begin."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from errors import DatabaseError, DatabaseFull

BUSY_TIMEOUT_SECONDS = 15
# Route threads (40 by default), the worker's and a few to spare; SQLAlchemy's own 5 + 10 would make routes wait.
POOL_SIZE = 48


class Database:
    """Hands out transactions. Raises DatabaseError when the database cannot be used."""

    def __init__(self, url: str, synchronous: str = "FULL") -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._synchronous = synchronous
        self._writer = threading.Lock()
        self._open_reads = threading.local()
        self._engine = create_engine(self.url, pool_size=POOL_SIZE, max_overflow=16, pool_timeout=BUSY_TIMEOUT_SECONDS)
        if self.is_sqlite:
            event.listen(self._engine, "connect", self._configure_sqlite)
            event.listen(self._engine, "begin", begin_sqlite)

    def _configure_sqlite(self, connection: sqlite3.Connection, _record: object) -> None:
        # The driver would begin transactions by itself, too late and without IMMEDIATE.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
        enter_wal_mode(connection)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view, also for reads inside it in the same thread; on SQLite it never waits for a writer."""
        outer: Connection | None = getattr(self._open_reads, "connection", None)
        if outer is not None:
            yield outer
            return
        with self._translated(), self._engine.connect() as connection, connection.begin():
            self._open_reads.connection = connection
            try:
                yield connection
            finally:
                self._open_reads.connection = None

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start, so that it never fails half-way on SQLite."""
        with self._translated(), self._only_writer(), self._engine.connect() as connection:
            connection = connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def _only_writer(self) -> Iterator[None]:
        """SQLite has one writer at a time; queueing for it here is fairer than its busy polling."""
        if not self.is_sqlite:
            yield
            return
        if not self._writer.acquire(timeout=BUSY_TIMEOUT_SECONDS):
            raise DatabaseError("The database cannot be used at the moment (it is locked).")
        try:
            yield
        finally:
            self._writer.release()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except PoolTimeout as error:
            raise DatabaseError("The database cannot be used at the moment (too many requests at once).") from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise DatabaseFull("The disk of the database is full: nothing was written.") from error
            raise DatabaseError(f"The database cannot be used at the moment ({error.orig}).") from error

    def close(self) -> None:
        self._engine.dispose()


def begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def enter_wal_mode(connection: sqlite3.Connection) -> None:
    """Several processes that start together meet a lock here, which `busy_timeout` does not cover."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
