"""Records of a study in a database that several processes, or machines, share.

Every write is one transaction that holds the row of the study, so that writes of a study come one
after the other and are numbered by its `revision`. A reader fetches only the rows whose revision
is new to it. What is told is on the disk when `write` returns, and in the SQLite file itself.
"""

import itertools
import json
import logging
import os
import random
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql.expression import cast
from sqlalchemy.types import Double

from bayesopt.storage import sqlite_file, tables
from bayesopt.storage.engine import (
    DURABLE,
    READ,
    WRITE,
    Access,
    create_tables,
    driver_of,
    is_transient,
    path_of,
    server_engine,
    short,
    sqlite_engine,
    url_of,
)
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
    one_machine
        Whether all who use it are on one machine: a file has a local disk.
    records
        What was read last.
    revision
        The last write that `records` holds.

    Raises
    ------
    StorageError
        If the database cannot be used, is damaged or not ours, or has no such study.
    """

    is_shared = True

    def __init__(self, storage: str | Path, name: str, settings: dict[str, Any] | None) -> None:
        self.storage, self.name = storage, name
        self._lock = threading.RLock()
        self._path = path_of(storage)
        self.one_machine = self._path is not None
        self._is_opening = True
        self._engine = self._open(may_create=settings is not None)
        weakref.finalize(self, self._engine.dispose)  # also when the interpreter ends
        self.records = Records()
        self.revision = 0
        with nullcontext() if self._path is None else sqlite_file.log_kept(self._path):
            try:
                self._id, self.settings, self.is_new = self._retry(
                    lambda connection: self._study(connection, settings), WRITE
                )
                self.refresh()
            except BaseException:
                self.close()
                raise
        self._is_opening = False
        _in_this_process.add(self)

    def __getstate__(self) -> tuple[str | Path, str]:
        return self._path or self.storage, self.name

    def __setstate__(self, state: tuple[str | Path, str]) -> None:
        Database.__init__(self, *state, None)

    def close(self) -> None:
        """Give the connections back; what comes later opens new ones."""
        self._engine.dispose()

    def _begin_anew_after_fork(self) -> None:
        """The connections are the parent's: they are neither used nor closed here."""
        self._lock = threading.RLock()  # a thread that is not here may have held it
        _of_parents.append(self._engine.pool)
        self._engine.dispose(close=False)

    def _open(self, may_create: bool) -> Engine:
        if self._path is None:
            return server_engine(url_of(str(self.storage)))
        if not sqlite_file.check(self._path):
            if not may_create:
                raise StorageError(f"There is no file {self._path}.")
            try:
                sqlite_file.create(self._path, create_tables)
            except SQLAlchemyError as error:
                raise self._explained(error) from error
            if not sqlite_file.check(self._path):
                raise StorageError(f"{self._path} cannot be made: is it a link that leads nowhere?")
        return sqlite_engine(self._path)

    @property
    def where(self) -> str:
        """The file or the address, without its password."""
        return str(self._path or url_of(str(self.storage)).render_as_string(hide_password=True))

    def _study(
        self, connection: Connection, settings: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any], bool]:
        """The row of the study, made where it is missing and may be made."""
        if not tables.exist(connection):
            if self._path is not None:  # it came into being with them
                raise StorageError("it is damaged: its tables are missing")
            tables.create(connection)
        tables.migrate(connection)
        of_name = select(tables.studies).where(tables.studies.c.name == self.name)
        row = connection.execute(of_name).mappings().one_or_none()
        if row is None:
            names = self._other_studies(connection)
            if settings is None:
                raise StorageError(f"{self.where} has no study {self.name!r}; it has {names}.")
            described = json.dumps(settings)
            made = {"name": self.name, "revision": 0, "n_trials": 0, "settings": described}
            made["checksum"] = _checksum_of(made)
            key = connection.execute(tables.studies.insert().values(**made)).inserted_primary_key
            assert key is not None
            return int(key[0]), json.loads(described), True
        _check(dict(row))
        return row["id"], json.loads(row["settings"]), False

    def _other_studies(self, connection: Connection) -> list[str]:
        """Their names; ours is not among them, not even damaged."""
        rows = connection.execute(select(tables.studies)).mappings().all()
        for row in rows:
            _check(dict(row))
        names = sorted(row["name"] for row in rows)
        of_none = tables.trials.c.study.not_in([row["id"] for row in rows])
        lost = connection.execute(select(func.count()).where(of_none)).scalar_one()
        if lost or self.name in names:
            raise StorageError(f"it is damaged: {lost} trials belong to no study of {names}")
        return names

    def refresh(self, patience: float | None = None) -> None:
        """Read what others have written since.

        Parameters
        ----------
        patience
            Seconds for which it is tried; None: `PATIENCE`.

        Raises
        ------
        StorageError
            If it cannot be read, or is damaged.
        """
        with self._lock:
            self._retry(lambda connection: self._read(connection, writing=False), READ, patience)

    def write(self, change: Callable[[Draft], T], durable: bool = True) -> T:
        """Do all that `change` puts into its draft in one transaction, or nothing.

        Parameters
        ----------
        change
            May be called again, with the same token, when a connection breaks.
        durable
            Whether to wait until it is on the disk. What is not waited for is lost only when the
            machine goes down before the next durable write.

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
            result, saved = self._retry(change_once, DURABLE if durable else WRITE)
            self.records.put(*saved)
            self.revision = max([self.revision, *(record.revision for record in saved)])
            return result

    def _read(self, connection: Connection, writing: bool) -> float:
        """Fetch what is new; returns the time, and holds the study until the end if `writing`."""
        on_server = connection.dialect.name == "postgresql"
        clock = [cast(func.extract("epoch", func.clock_timestamp()), Double)] if on_server else []
        of_study = select(tables.studies, *clock).where(tables.studies.c.id == self._id)
        row = connection.execute(of_study.with_for_update() if writing else of_study).one()
        study = dict(zip(tables.studies.c.keys(), row, strict=False))
        _check(study)
        if study["revision"] < self.revision:
            raise StorageError(
                f"study {self.name!r} is at write {study['revision']}, but {self.revision} were "
                "read before: an older copy was put back. Begin with it in a new process"
            )
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
            have = len(self.records)
            number_of_new = sum(record.number not in self.records for record in read)
            if have + number_of_new < study["n_trials"]:
                n = study["n_trials"]
                raise StorageError(f"of {n} trials only {have + number_of_new} can be read")
            if max((record.revision for record in read), default=0) < study["revision"]:
                raise StorageError(f"write {study['revision']} of {self.name!r} is missing")
            self.records.put(*read)
            self.revision = max(record.revision for record in read)
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
            done = connection.execute(tables.trials.update().where(*of_trial).values(**row))
            if done.rowcount != 1:
                raise StorageError(f"trial {row['number']} is there no more")
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

    def _retry(
        self,
        action: Callable[[Connection], T],
        access: Access,
        patience: float | None = None,
    ) -> T:
        """Run `action` in a transaction, again while the database is busy or away."""
        if patience is None:
            patience = _PATIENCE_AT_FIRST if self._is_opening else PATIENCE
        deadline = time.monotonic() + patience
        wait = 0.05
        while True:
            try:
                with self._engine.connect().execution_options(bayesopt_access=access) as connection:
                    with connection.begin():
                        result = action(connection)
                    if access == DURABLE and self._path is not None:
                        sqlite_file.empty_log(driver_of(connection))
                    return result
            except (StorageError, UnicodeError) as error:
                raise self._explained(error) from error
            except SQLAlchemyError as error:
                if not is_transient(error, self._is_opening) or time.monotonic() > deadline:
                    raise self._explained(error) from error
                if wait > 0.5:
                    _log.warning("%s is away; trying again: %s", self.where, short(error))
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(2.0 * wait, 5.0)

    def _explained(self, error: Exception) -> StorageError:
        """What went wrong, where, and what to do."""
        if isinstance(error, StorageError):
            text = str(error)
            return error if self.where in text else StorageError(f"{self.where}: {text}.")
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        if sqlite_file.is_full(cause) or getattr(cause, "sqlstate", None) == "53100":
            return StorageError(
                f"{self.where} could not be written: {short(error)}. Make room on its disk."
            )
        return StorageError(f"{self.where} cannot be used: {short(error)}.")


_in_this_process: "weakref.WeakSet[Database]" = weakref.WeakSet()
_of_parents: list[object] = []  # kept: a pool that is collected closes its connections


def _after_fork() -> None:
    for database in list(_in_this_process):
        database._begin_anew_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _checksum_of(study: dict[str, Any]) -> str:
    return checksum([study[key] for key in ("name", "revision", "n_trials", "settings")])


def _check(row: dict[str, Any]) -> None:
    if row["checksum"] != _checksum_of(row):
        raise StorageError(f"the row of study {row['name']!r} is damaged")
