"""The three tables, how they are made, and how an older schema becomes the present one."""

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
)

from bayesopt.storage.records import StorageError

VERSION = 1
MIGRATIONS: dict[int, Callable[[Connection], None]] = {}
"""By the version that they start from; each makes the next one."""

metadata = MetaData()

schema = Table(
    "bayesopt_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

studies = Table(
    "bayesopt_studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("revision", BigInteger, nullable=False),  # number of writes
    Column("n_trials", Integer, nullable=False),
    Column("settings", Text, nullable=False),
    Column("checksum", String(16), nullable=False),
)

trials = Table(
    "bayesopt_trials",
    metadata,
    Column("study", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),  # of the study, when the row changed last
    Column("state", String(16), nullable=False),
    Column("owner", Text),
    Column("lease_until", Double, nullable=False),
    Column("token", String(32), nullable=False),
    Column("content", Text),
    Column("checksum", String(16), nullable=False),
    Index("bayesopt_trials_by_revision", "study", "revision"),
)


def exist(connection: Connection) -> bool:
    """Whether our tables are there."""
    return inspect(connection).has_table(schema.name)


def create(connection: Connection) -> None:
    """Make the tables of the present version."""
    metadata.create_all(connection)
    connection.execute(schema.insert().values(version=VERSION))


def migrate(connection: Connection) -> None:
    """Bring an older schema to the present version, in the transaction of the connection.

    Raises
    ------
    StorageError
        If it is newer than we are.
    """
    version = connection.execute(select(schema.c.version).with_for_update()).scalar_one()
    if version > VERSION:
        raise StorageError(
            f"it was written by a newer bayesopt (schema {version}; this one knows {VERSION}): "
            "install that one"
        )
    if not 1 <= version:
        raise StorageError(f"it is damaged: its schema is said to be {version}")
    for step in range(version, VERSION):
        MIGRATIONS[step](connection)
        connection.execute(schema.update().values(version=step + 1))
