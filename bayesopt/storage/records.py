"""One trial as it is kept: the trial, who holds it, and a checksum that says it is whole."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from bayesopt.storage.owner import Owner
from bayesopt.trial import Trial, TrialState

_CHOOSING = "choosing"


class StorageError(RuntimeError):
    """Trials could not be read or written; the text says why and what to do."""


@dataclass(frozen=True)
class Record:
    """One number of a study: its trial, and who has it.

    Parameters
    ----------
    number
        From 0, without gaps.
    trial
        None while its point is being chosen.
    owner
        Who chooses or evaluates it; None: nobody, it is up for the next.
    lease_until
        Until when the owner has it if nobody hears of it, by the clock of the store.
    token
        Of the call that made it: a call that was repeated finds what it did.
    revision
        Which write of the study changed it last.
    """

    number: int
    trial: Trial | None = None
    owner: Owner | None = None
    lease_until: float = 0.0
    token: str = ""
    revision: int = 0

    @property
    def is_open(self) -> bool:
        """Whether no result has come."""
        return self.trial is None or self.trial.state is TrialState.RUNNING

    def to_row(self, study: int) -> dict[str, Any]:
        """The columns of the table of trials."""
        row = {
            "study": study,
            "number": self.number,
            "revision": self.revision,
            "state": _CHOOSING if self.trial is None else self.trial.state.value,
            "owner": None if self.owner is None else json.dumps(self.owner.to_json()),
            "lease_until": self.lease_until + 0.0,  # SQLite knows no -0.0
            "token": self.token,
            "content": None if self.trial is None else json.dumps(self.trial.to_json()),
        }
        return row | {"checksum": checksum(row.values())}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Record":
        """Inverse of `to_row`.

        Raises
        ------
        StorageError
            If the row is not what was written.
        """
        *values, check = row.values()
        if checksum(values) != check:
            raise StorageError(f"trial {row['number']} is damaged: its checksum does not fit")
        content, owner = row["content"], row["owner"]
        try:
            return cls(
                number=row["number"],
                trial=None if content is None else Trial.from_json(json.loads(content)),
                owner=None if owner is None else Owner.from_json(json.loads(owner)),
                lease_until=row["lease_until"],
                token=row["token"],
                revision=row["revision"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"trial {row['number']} cannot be read: {error!r}") from error


def checksum(values: Any) -> str:
    """16 hexadecimal digits of plain values in their order."""
    text = json.dumps(list(values), separators=(",", ":"), default=repr)  # bytes, where damaged
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Records:
    """All records of a study by number, and which of them are open.

    What was read once does not change under a reader in another thread: `put` makes new
    collections, and lets them take the place of the old ones at once.
    """

    def __init__(self) -> None:
        # By number, in the order of their revisions; and the open ones.
        self._state: tuple[dict[int, Record], frozenset[int]] = ({}, frozenset())

    def __len__(self) -> int:
        return len(self._state[0])

    def __contains__(self, number: int) -> bool:
        return number in self._state[0]

    def __getitem__(self, number: int) -> Record:
        return self._state[0][number]

    def __iter__(self) -> Iterator[Record]:
        """In the order of the numbers, as they are now."""
        by_number, _ = self._state
        return (by_number[number] for number in range(len(by_number)))

    @property
    def open(self) -> frozenset[int]:
        """Numbers without a result."""
        return self._state[1]

    @property
    def n_ended(self) -> int:
        """Number of trials with a result or a failure."""
        by_number, still_open = self._state
        return len(by_number) - len(still_open)

    def newer_than(self, revision: int) -> Iterator[Record]:
        """What was changed by later writes, the latest first."""
        return takewhile(
            lambda record: record.revision > revision, reversed(self._state[0].values())
        )

    def put(self, *records: Record) -> None:
        """Add records, or put them in the place of those with their numbers.

        They come in the order of their revisions.
        """
        by_number, still_open = self._state[0].copy(), set(self._state[1])
        for record in records:
            by_number.pop(record.number, None)  # so that it goes to the end, as the newest
            by_number[record.number] = record
            (still_open.add if record.is_open else still_open.discard)(record.number)
        self._state = by_number, frozenset(still_open)


class Draft:
    """What one write is about to change, on top of what is there.

    Parameters
    ----------
    records
        As they are now.
    now
        The time, in seconds, by the clock of the store.
    token, repeated
        Name of the write, and whether it was tried before: nobody knows whether that got through.
    """

    def __init__(self, records: Records, now: float, token: str, repeated: bool = False) -> None:
        self._records = records
        self.now = now
        self.token, self.repeated = token, repeated
        self._n = len(records)
        self.changed: dict[int, Record] = {}

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, number: int) -> Record:
        return self.changed[number] if number in self.changed else self._records[number]

    def __contains__(self, number: int) -> bool:
        return number in self.changed or number in self._records

    def __iter__(self) -> Iterator[Record]:
        """In the order of the numbers."""
        return (self[number] for number in range(len(self)))

    def newer_than(self, revision: int) -> Iterator[Record]:
        """What was changed by later writes, this one aside."""
        return self._records.newer_than(revision)

    @property
    def open(self) -> list[int]:
        """Numbers without a result, in order."""
        numbers = self._records.open | self.changed.keys()
        return sorted(number for number in numbers if self[number].is_open)

    def put(self, record: Record) -> None:
        """Change or add a record; a new one has the number `len(draft)`."""
        self._n = max(self._n, record.number + 1)
        self.changed[record.number] = record

    def stamped(self, revision: int) -> list[Record]:
        """What changed, with the number of the write."""
        return [replace(record, revision=revision) for record in self.changed.values()]
