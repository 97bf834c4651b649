"""Records of a study in a database that several processes, or machines, share.

Every write is one transaction that holds the row of the study, so that writes of a study come one
after the other and are numbered by its `revision`. A reader fetches only the rows whose revision
is new to it. What is told is on the disk when `write` returns.
"""

import itertools
import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.sql.expression import cast
from sqlalchemy.types import Double

from bayesopt.storage import sqlite_file, tables
from bayesopt.storage.records import Draft, Record, Records, StorageError, checksum

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds for which a write is tried again when the server is away."""

_PATIENCE_AT_FIRST = 15.0  # while nothing has been computed, a wrong address should be told soon
_log = logging.getLogger("bayesopt")


class Database:
    """One study in a database.

    Parameters
    ----------
    storage
        Path of an SQLite file, or the URL of a database as SQLAlchemy takes it.
    name
        Name of the study.
    settings
        What the study is, as plain data; None: it must exist.

    Attributes
    ----------
    settings
        As they are stored: those of the process that made the study.
    is_new
        Whether this process made it.

    Raises
    ------
    StorageError
        If the database cannot be used, is damaged or not ours, or has no such study.
    """

    is_shared = True

    def __init__(self, storage: str | Path, name: str, settings: dict[str, Any] | None) -> None:
        self.storage, self.name = storage, name
        self._lock = threading.RLock()
        self._path = _path_of(storage)
        self.one_machine = self._path is not None
        self._patience = _PATIENCE_AT_FIRST
        self._engine = self._open()
        self._id, self.settings, self.is_new = self._retry(
            lambda connection: self._study(connection, settings)
        )
        self.records = Records()
        self.revision = 0
        self.refresh()
        self._patience = PATIENCE

    def __getstate__(self) -> tuple[str | Path, str]:
        return self.storage, self.name

    def __setstate__(self, state: tuple[str | Path, str]) -> None:
        self.__init__(*state, None)  # type: ignore[misc]

    def close(self) -> None:
        """Give the connections back; what comes later opens new ones."""
        self._engine.dispose()

    def _open(self) -> Engine:
        if self._path is not None:
            if not sqlite_file.check(self._path):
                sqlite_file.create(self._path, _fill)
                sqlite_file.check(self._path)
            return _sqlite_engine(self._path)
        try:
            return create_engine(make_url(str(self.storage)), pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError) as error:
            raise StorageError(f"{self.storage!r} is not a database address: {error}.") from error
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{self.storage!r} needs the driver {error.name}; for PostgreSQL: "
                "pip install 'bayesopt-uq[postgres]'."
            ) from error

    @property
    def _where(self) -> str:
        return str(self._path or make_url(str(self.storage)).render_as_string(hide_password=True))

    def _study(
        self, connection: Connection, settings: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any], bool]:
        """The row of the study, made where it is missing and may be made."""
        if not tables.exist(connection):
            tables.create(connection)
        tables.migrate(connection)
        of_name = select(tables.studies).where(tables.studies.c.name == self.name)
        row = connection.execute(of_name).mappings().one_or_none()
        if row is None:
            if settings is None:
                names = connection.execute(select(tables.studies.c.name)).scalars().all()
                raise StorageError(
                    f"{self._where} has no study {self.name!r}; it has {sorted(names)}."
                )
            described = json.dumps(settings)
            made = {"name": self.name, "revision": 0, "n_trials": 0, "settings": described}
            made["checksum"] = _checksum_of(made)
            key = connection.execute(tables.studies.insert().values(**made)).inserted_primary_key
            assert key is not None
            return int(key[0]), json.loads(described), True
        self._check(dict(row))
        return row["id"], json.loads(row["settings"]), False

    def _check(self, row: dict[str, Any]) -> None:
        if row["checksum"] != _checksum_of(row):
            raise StorageError(f"the row of study {self.name!r} is damaged")

    def refresh(self) -> None:
        """Read what others have written since.

        Raises
        ------
        StorageError
            If it cannot be read, or is damaged.
        """
        with self._lock:
            self._retry(lambda connection: self._read(connection, writing=False), writing=False)

    def write(self, change: Callable[[Draft], T]) -> T:
        """Do all that `change` puts into its draft in one transaction, or nothing.

        Parameters
        ----------
        change
            May be called again, with the same token, when a connection breaks.

        Raises
        ------
        StorageError
            If it cannot be written; nothing is changed then.
        """
        token = uuid.uuid4().hex
        attempts = itertools.count()

        def change_once(connection: Connection) -> tuple[T, list[Record]]:
            now = self._read(connection, writing=True)
            draft = Draft(self.records, now, token, repeated=next(attempts) > 0)
            result = change(draft)
            return result, self._save(connection, draft)

        with self._lock:
            result, saved = self._retry(change_once)
            for record in saved:
                self.records.put(record)
                self.revision = record.revision
            return result

    def _read(self, connection: Connection, writing: bool) -> float:
        """Fetch what is new; returns the time, and holds the study until the end if `writing`."""
        on_server = connection.dialect.name == "postgresql"
        clock = [cast(func.extract("epoch", func.clock_timestamp()), Double)] if on_server else []
        of_study = select(tables.studies, *clock).where(tables.studies.c.id == self._id)
        row = connection.execute(of_study.with_for_update() if writing else of_study).one()
        study = dict(zip(tables.studies.c.keys(), row, strict=False))
        self._check(study)
        if study["revision"] > self.revision:
            new = (
                select(tables.trials)
                .where(tables.trials.c.study == self._id)
                .where(tables.trials.c.revision > self.revision)
                .order_by(tables.trials.c.revision, tables.trials.c.number)
            )
            keys = tables.trials.c.keys()
            read = [
                Record.from_row(dict(zip(keys, r, strict=True))) for r in connection.execute(new)
            ]
            for record in read:
                self.records.put(record)
                self.revision = max(self.revision, record.revision)
        n = len(self.records)
        if n < study["n_trials"] or (n > 0 and n - 1 not in self.records):
            raise StorageError(f"of {study['n_trials']} trials only {n} can be read")
        return float(row[-1]) if on_server else time.time()

    def _save(self, connection: Connection, draft: Draft) -> list[Record]:
        if not draft.changed:
            return []
        saved = draft.stamped(self.revision + 1)
        rows = [record.to_row(self._id) for record in saved]
        new = [row for row in rows if row["number"] not in self.records]
        old = [row for row in rows if row["number"] in self.records]
        if new:
            connection.execute(tables.trials.insert(), new)
        for row in old:
            of_trial = tables.trials.c.study == self._id, tables.trials.c.number == row["number"]
            connection.execute(tables.trials.update().where(*of_trial).values(**row))
        study = {
            "name": self.name,
            "revision": self.revision + 1,
            "n_trials": len(draft),
            "settings": json.dumps(self.settings),
        }
        counted = {"revision": study["revision"], "n_trials": study["n_trials"]}
        connection.execute(
            tables.studies.update()
            .where(tables.studies.c.id == self._id)
            .values(**counted, checksum=_checksum_of(study))
        )
        return saved

    def _retry(self, action: Callable[[Connection], T], writing: bool = True) -> T:
        """Run `action` in a transaction, again while the database is busy or away."""
        deadline = time.monotonic() + self._patience
        wait = 0.05
        while True:
            try:
                with self._engine.connect().execution_options(bayesopt_write=writing) as connection:
                    with connection.begin():
                        return action(connection)
            except StorageError as error:
                raise self._explained(error) from error
            except SQLAlchemyError as error:
                if not _passes(error) or time.monotonic() > deadline:
                    raise self._explained(error) from error
                if wait > 0.5:
                    _log.warning("%s is away; trying again: %s", self._where, _short(error))
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(2.0 * wait, 5.0)

    def _explained(self, error: Exception) -> StorageError:
        """What went wrong, where, and what to do."""
        if isinstance(error, StorageError):
            text = str(error)
            return error if self._where in text else StorageError(f"{self._where}: {text}.")
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        if sqlite_file.is_full(cause) or getattr(cause, "sqlstate", None) == "53100":
            return StorageError(
                f"{self._where} could not be written: {_short(error)}. Make room on its disk."
            )
        return StorageError(f"{self._where} cannot be used: {_short(error)}.")


def _path_of(storage: str | Path) -> Path | None:
    """The file where the storage is one, else None."""
    text = str(storage)
    if "://" not in text:
        return Path(storage).expanduser().absolute()
    if not text.startswith("sqlite"):
        return None
    try:
        path = make_url(text).database
    except ArgumentError as error:
        raise StorageError(f"{text!r} is not a database address: {error}.") from error
    if not path or path == ":memory:":
        raise StorageError("A study in memory needs no storage: leave `storage` out.")
    return Path(path).absolute()


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", sqlite_file.set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    """A write takes its turn at once: one that begins as a reader may never get it."""
    writing = connection.get_execution_options().get("bayesopt_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _fill(path: Path) -> None:
    """Make an SQLite file with our tables."""
    engine = _sqlite_engine(path)
    event.listen(engine, "connect", lambda connection, _: sqlite_file.switch_to_wal(connection))
    try:
        with engine.begin() as connection:
            tables.create(connection)
    finally:
        engine.dispose()


def _checksum_of(study: dict[str, Any]) -> str:
    return checksum([study[key] for key in ("name", "revision", "n_trials", "settings")])


def _passes(error: SQLAlchemyError) -> bool:
    """Whether the same may work a moment later."""
    if isinstance(error, IntegrityError):  # another made the tables or the study just now
        return True
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig if error.orig is not None else error
    if type(cause).__module__.startswith("sqlite3"):
        return sqlite_file.is_busy(cause)
    state = getattr(cause, "sqlstate", None)
    if state is None:  # no answer from the server at all
        return error.connection_invalidated or type(cause).__name__ in _NO_ANSWER
    # connection lost, deadlock, tables made at the same time, shut down or starting up
    return state[:2] in ("08", "40", "57") or state in ("42P07", "23505", "55P03")


_NO_ANSWER = ("OperationalError", "InterfaceError", "ConnectionTimeout")


def _short(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split()) or type(cause).__name__
