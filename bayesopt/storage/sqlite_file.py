"""An SQLite file: is it ours and whole, how it comes to be, and how a connection is set up.

A file appears with its tables in it or not at all: it is made beside its place and linked there.
What is not ours is never opened for writing. The log of writes (WAL) needs a local disk.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from bayesopt.disk import sync_directory
from bayesopt.storage.records import StorageError

APPLICATION_ID = 0x42617965  # the letters "Baye" in the header say whose the file is
BUSY_SECONDS = 60
_SECONDS_FOR_THE_LOG = 1  # others may be reading it
_MAGIC = b"SQLite format 3\0"


def check(path: Path) -> bool:
    """Whether the file is there; where it is, it is ours and whole.

    Raises
    ------
    StorageError
        If it is something else, or damaged. It is left as it is.
    """
    try:
        header = _header(path)
    except (OSError, ValueError) as error:  # no permission, a name that is too long or holds NUL
        raise StorageError(f"{str(path)!r} cannot be read: {error}.") from error
    if header is None:
        return False
    if not header:
        raise StorageError(
            f"{path} is empty. It is left as it is: remove it to begin a new study, or put back "
            "the file that was there."
        )
    if not header.startswith(_MAGIC[: len(header)]):
        raise StorageError(f"{path} is no SQLite file. It is left as it is: choose another name.")
    if len(header) < 100:
        raise _damaged(path, f"it ends after {len(header)} bytes")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StorageError(
            f"{path} is an SQLite file of another program, or its header is damaged. It is left as "
            "it is: choose another name."
        )
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        raise StorageError(
            f"You may not write to {path}, or not to its folder, which even readers need. Copy the "
            "file to a folder of your own, and open the copy."
        )
    _quick_check(path)
    return True


def _header(path: Path) -> bytes | None:
    """The first 100 bytes; None where there is no file."""
    if not path.parent.is_dir():
        raise StorageError(f"There is no folder {str(path.parent)!r} for {path.name!r}.")
    try:
        path.stat()
    except FileNotFoundError:
        if wal_of(path).exists():
            raise StorageError(
                f"{path} is missing, but its log {wal_of(path).name} is there. Put the file back "
                "beside it, or move the log away to begin anew."
            ) from None
        return None
    if not path.is_file():
        raise StorageError(f"{path} is not a file.")
    with path.open("rb") as file:
        return file.read(100)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that reads ("ro"), writes too ("rw"), or makes the file as well ("rwc")."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions begin where we say so
        check_same_thread=False,
    )


@contextmanager
def log_kept(path: Path) -> Iterator[None]:
    """Meanwhile no connection that closes moves the log into the file.

    The last one does; here that is one which only reads.
    """
    with closing(connect(path, "ro")) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except (sqlite3.Error, UnicodeError):  # what is wrong is told by who opens it
            pass
        yield


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is there, whatever it is called; None if none is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _quick_check(path: Path) -> None:
    for wait in (0.05, 0.1, 0.2, 0.5, 1.0, None):
        try:
            with closing(connect(path, "ro")) as connection:
                found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
        except sqlite3.OperationalError as error:
            if wait is None or not is_busy(error):
                if _code(error) in _NOT_THE_CONTENT:
                    raise StorageError(f"{path} cannot be used: {error}.") from error
                raise _damaged(path, str(error)) from error
            time.sleep(wait)
        except (sqlite3.DatabaseError, UnicodeError) as error:  # noise within SQLite's own words
            raise _damaged(path, str(error)) from error
        else:
            if found != ["ok"]:
                raise _damaged(path, "; ".join(found))
            return


def _damaged(path: Path, why: str) -> StorageError:
    return StorageError(
        f"{path} is damaged ({why}). It is left as it is: put back a copy, or save what the "
        "command-line tool `sqlite3` can read by its `.recover`."
    )


def wal_of(path: Path) -> Path:
    """The log of writes that are not yet in the file itself."""
    return path.with_name(path.name + "-wal")


def create(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` make the file beside its place, and put it there unless another was quicker.

    Raises
    ------
    StorageError
        If the folder is missing or cannot be written to.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        fill(beside)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        os.link(beside, path)
        sync_directory(path.parent)
    except FileExistsError:
        pass
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            f"{path} cannot be made: {error}. It needs a folder on a local disk that you may write "
            "to."
        ) from error
    finally:
        for name in (beside.name, f"{beside.name}-wal", f"{beside.name}-shm"):
            with suppress(OSError):
                path.with_name(name).unlink()


_NOT_THE_CONTENT = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


def _code(error: Exception) -> int:
    """SQLite's number of what went wrong, without its details; 0 where it gave none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_busy(error: Exception) -> bool:
    """Whether another process is just using the file."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: Exception) -> bool:
    """Whether the disk has no room, or the file may not grow."""
    return _code(error) == sqlite3.SQLITE_FULL


def set_up(connection: sqlite3.Connection, _: Any) -> None:
    """Make a new connection safe: what is committed is on the disk."""
    connection.execute("PRAGMA synchronous = FULL").close()


def sync_at_commit(connection: sqlite3.Connection, durable: bool) -> None:
    """Whether the next commit waits for the disk; without it a lost power may undo it, no more."""
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}").close()


def empty_log(connection: sqlite3.Connection) -> None:
    """Move the log into the file: a copy of the file alone, or a lost log, then costs nothing.

    The log is cut to nothing: damaged, its older writes would come in the place of newer ones.
    """
    with suppress(sqlite3.Error):  # what is committed is safe in the log
        connection.execute(f"PRAGMA busy_timeout = {1000 * _SECONDS_FOR_THE_LOG}").close()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}").close()


def switch_to_wal(connection: sqlite3.Connection) -> None:
    """Keep a log of writes beside the file: readers and a writer do not wait for each other."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StorageError(f"This disk does not carry an SQLite log (WAL); it gave {mode!r}.")
