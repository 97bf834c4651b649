"""Records of one process, gone with it."""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from bayesopt.storage.records import Draft, Records

T = TypeVar("T")


class Memory:
    """A store for one process; see `bayesopt.storage.database.Database` for the lasting one."""

    one_machine = True
    is_shared = False

    def __init__(self) -> None:
        self.records = Records()
        self.revision = 0
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    def refresh(self, patience: float | None = None) -> None:
        """Nothing comes from elsewhere."""

    def write(self, change: Callable[[Draft], T], durable: bool = True) -> T:
        """Do all that `change` puts into its draft, or nothing where it raises.

        There is no disk to wait for, whatever `durable` says.
        """
        with self._lock:
            draft = Draft(self.records, time.time(), uuid.uuid4().hex)
            result = change(draft)
            self.revision += 1
            self.records.put(*draft.stamped(self.revision))
            return result
