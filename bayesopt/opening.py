"""Open a study in its storage: make it where it is missing, go on where it is the same."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import Any

from bayesopt.differences import differences
from bayesopt.ledger import Store
from bayesopt.settings import Settings
from bayesopt.storage.memory import Memory

DEFAULT_NAME = "study"

_MAY_DIFFER = ("policy", "cost_budget")


def open_study(
    given: Settings,
    free: Sequence[str],
    storage: str | PathLike[str] | None,
    name: str | None,
) -> tuple[Store, Settings]:
    """The store of a study, and its settings.

    Parameters
    ----------
    given
        Settings of this process.
    free
        Names of those that the user has left open: the stored ones are taken.
    storage, name
        As in `Study`.

    Returns
    -------
    store, settings
        Where the trials are, and the settings with the stored ones in the place of the free.

    Raises
    ------
    TypeError, ValueError
        If `storage` or `name` is not what it has to be, or the study exists with other settings.
    StorageError
        If the storage cannot be used.
    """
    if storage is None:
        if name is not None:
            raise ValueError(
                f"`name` is that of a study in a `storage`, but there is no storage: {name!r}."
            )
        return Memory(), given
    store = _database(storage, name, given.to_json())
    if store.is_new:
        return store, given
    stored = Settings.from_json(
        store.settings,
        constraints=given.constraints,
        policy=None if "policy" in free else given.policy,
        cost=None if "cost" in free else given.cost,
    )
    if stored.n_values != given.n_values:  # a reference point belongs to as many objectives
        free = [key for key in free if key != "reference_point"]
    settings = replace(given, **{key: getattr(stored, key) for key in free})
    different = [
        line for line in differences(store.settings, settings) if not line.startswith(_MAY_DIFFER)
    ]
    if different:
        raise ValueError(
            f"The study {name or DEFAULT_NAME!r} in {store.where!r} is another one: "
            f"{'; '.join(different)}. Pass what it was made with, or another `name`."
        )
    return store, settings


def read_settings(
    storage: str | PathLike[str], name: str | None
) -> tuple[Store, Mapping[str, Any]]:
    """The store of a study that must exist, and its settings as they are stored.

    Raises
    ------
    StorageError
        If it does not, or the storage cannot be used.
    """
    store = _database(storage, name, None)
    return store, store.settings


def _database(
    storage: str | PathLike[str], name: str | None, settings: dict[str, Any] | None
) -> Any:
    if not isinstance(storage, str | PathLike):
        raise TypeError(
            f"`storage` is the path of a file or the URL of a database, not {storage!r}."
        )
    if name is not None and not isinstance(name, str):
        raise TypeError(f"`name` must be a string, but got {name!r}.")
    if name is not None and not (0 < len(name) <= 255 and name.isprintable()):
        raise ValueError(f"`name` must have 1 to 255 printable characters, but got {name!r}.")
    from bayesopt.storage.database import Database  # it loads SQLAlchemy

    return Database(fspath(storage), name or DEFAULT_NAME, settings)
