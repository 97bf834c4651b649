"""A connection to a file or a server: its address, how it is set up, and what its errors mean."""

from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)

from bayesopt.storage import sqlite_file, tables
from bayesopt.storage.records import StorageError

Access = Literal["read", "write", "durable"]
"""What a transaction does."""
READ: Access = "read"
WRITE: Access = "write"
"""All other processes see it, but nobody waits until it is on the disk."""
DURABLE: Access = "durable"
"""It is on the disk when the transaction ends."""


def path_of(storage: str | Path) -> Path | None:
    """The file where the storage is one, else None.

    Raises
    ------
    StorageError
        If the address cannot be read, or names no file.
    """
    text = str(storage)
    if text == ":memory:":
        raise StorageError("A study in memory needs no storage: leave `storage` out.")
    if "://" not in text:
        try:
            return Path(storage).expanduser().absolute()
        except RuntimeError as error:  # of a user who does not exist
            raise StorageError(f"{text!r} cannot be read: {error}") from error
    if not text.startswith("sqlite"):
        return None
    if url_of(text).query or "#" in text:
        raise StorageError(f"{text!r} holds more than a path: pass the path of the file itself.")
    path = url_of(text).database
    if not path or path == ":memory:":
        raise StorageError("A study in memory needs no storage: leave `storage` out.")
    return Path(path).absolute()


def url_of(text: str) -> URL:
    """The address of a database; one that cannot be read is not repeated: it may hold a password.

    Raises
    ------
    StorageError
        If it cannot be read.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        scheme = text.partition("://")[0]
        raise StorageError(
            f"The database address {scheme}://... cannot be read. It has the form "
            f"{scheme}://user:password@host:port/database; write %40 for @ in a password."
        ) from None
    # SQLAlchemy 2.0 takes another driver than ours where none is named.
    named = url.drivername in ("postgresql", "postgres")
    return url.set(drivername="postgresql+psycopg") if named else url


def server_engine(url: URL) -> Engine:
    """The engine of a database server.

    Raises
    ------
    StorageError
        If SQLAlchemy does not know such a database.
    ModuleNotFoundError
        If the driver of the database is not installed.
    """
    shown = url.render_as_string(hide_password=True)
    # A server that is gone without a word is noticed in about a minute.
    patience = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10}
    on_postgres = url.get_backend_name() == "postgresql"
    own = {k: v for k, v in patience.items() if on_postgres and k not in url.query}
    try:
        return create_engine(url, pool_pre_ping=True, connect_args=own)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StorageError(f"{shown} is not a database address: {error}.") from error
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{shown} needs the driver {error.name}; for PostgreSQL: "
            "pip install 'bayesopt-uq[postgres]'."
        ) from error


def sqlite_engine(path: Path, mode: str = "rw") -> Engine:
    """The engine of an SQLite file; the modes are those of `sqlite_file.connect`."""

    def remember(_: Any, entry: Any) -> None:
        entry.info["file"] = path, sqlite_file.identity(path)

    engine = create_engine(
        URL.create("sqlite", database=str(path)), creator=lambda: sqlite_file.connect(path, mode)
    )
    event.listen(engine, "connect", remember)
    event.listen(engine, "connect", sqlite_file.set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    """A write takes its turn at once: one that begins as a reader may never get it."""
    path, identity = connection.info["file"]
    if sqlite_file.identity(path) != identity:
        raise StorageError(
            f"{path} was removed, or another file was put in its place, while it was in use. Put "
            "it back, or begin with the other in a new process."
        )
    access = connection.get_execution_options().get("bayesopt_access", DURABLE)
    sqlite_file.sync_at_commit(driver_of(connection), access == DURABLE)
    connection.exec_driver_sql("BEGIN" if access == READ else "BEGIN IMMEDIATE")


def driver_of(connection: Connection) -> Any:
    """The connection of the driver, past SQLAlchemy."""
    return connection.connection.dbapi_connection


def create_tables(path: Path) -> None:
    """Make an SQLite file with our tables."""
    engine = sqlite_engine(path, "rwc")
    event.listen(engine, "connect", lambda connection, _: sqlite_file.switch_to_wal(connection))
    try:
        with engine.begin() as connection:
            tables.create(connection)
    finally:
        engine.dispose()


def is_transient(error: SQLAlchemyError, is_opening: bool) -> bool:
    """Whether the same may work a moment later.

    Parameters
    ----------
    error
        What came.
    is_opening
        Whether the study is just being opened: others may be making it too, and the address may
        be wrong.
    """
    if isinstance(error, IntegrityError):  # another made the tables or the study just now
        return is_opening
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig if error.orig is not None else error
    if type(cause).__module__.startswith("sqlite3"):
        return sqlite_file.is_busy(cause)
    state = getattr(cause, "sqlstate", None)
    if state is None:  # no answer from the server, or it did not let us in
        if any(words in str(cause) for words in _NOT_LET_IN):
            return False
        if is_opening and any(words in str(cause) for words in _NO_SUCH_HOST):
            return False
        return error.connection_invalidated or type(cause).__name__ in _NO_ANSWER
    # Classes: connection lost, deadlock, shut down or starting up. Codes: tables made at the same
    # time, too many connections, a lock that is not to be had.
    return state[:2] in ("08", "40", "57") or state in ("42P07", "53300", "55P03")


_NOT_LET_IN = ("authentication failed", "no password supplied", "does not exist")
_NO_SUCH_HOST = ("resolve host", "translate host name")
_NO_ANSWER = ("OperationalError", "InterfaceError", "ConnectionTimeout")


def short(error: Exception) -> str:
    """What the driver says, on one line."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split()) or type(cause).__name__
