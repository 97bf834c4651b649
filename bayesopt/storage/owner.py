"""Who holds a trial: one study of one process on one machine, and whether it is still there."""

import os
import socket
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

# By study: one of this process that is not here any more is gone, though the process lives.
_HERE: "weakref.WeakValueDictionary[str, Holder]" = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Owner:
    """A study of a process.

    Parameters
    ----------
    host, boot
        Name of the machine, and what is new whenever it starts.
    namespace
        Where `pid` means something: containers on one machine count processes of their own.
    pid, started
        The process, and when it started: numbers are used again.
    study
        Which study object of the process.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str
    study: str

    def to_json(self) -> dict[str, Any]:
        """Plain dict for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Owner":
        """Inverse of `to_json`; raises TypeError if it cannot be."""
        return cls(**described)

    def is_gone(self, lease_until: float, now: float, one_machine: bool) -> bool:
        """Whether nobody works on its trials any more.

        Parameters
        ----------
        lease_until, now
            End of its lease and the time, by the same clock. The lease decides only where the
            process cannot be looked at.
        one_machine
            Whether all processes are on one machine, so that another boot is an earlier one.
        """
        host, boot, namespace = _machine()
        if (self.host, self.boot, self.namespace) == (host, boot, namespace):
            if (self.pid, self.started) == (os.getpid(), _started(os.getpid())):
                return self.study not in _HERE
            return _started(self.pid) != self.started
        if one_machine and self.boot != boot:
            return True
        return now > lease_until


class Holder:
    """A study object as an owner of trials; they are up for others once it is gone."""

    def __init__(self) -> None:
        self._study = uuid.uuid4().hex[:12]
        self._owner: Owner | None = None
        _HERE[self._study] = self

    def __reduce__(self) -> tuple[type["Holder"], tuple[()]]:
        """A copy, or what is unpickled in another process, is another holder."""
        return Holder, ()

    @property
    def owner(self) -> Owner:
        """This study in this process, also after a fork."""
        pid = os.getpid()
        if self._owner is None or self._owner.pid != pid:
            self._owner = Owner(*_machine(), pid, _started(pid) or "", self._study)
        return self._owner


@lru_cache
def _machine() -> tuple[str, str, str]:
    """Host, boot and namespace of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        import psutil

        boot, namespace = str(round(psutil.boot_time())), ""
    return socket.gethostname(), boot, namespace


def _started(pid: int) -> str | None:
    """When a process started, in a form that no change of the clock alters; None if none runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _started_elsewhere(pid)
    except OSError:  # it ended while it was read
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


def _started_elsewhere(pid: int) -> str | None:
    """The same where there is no /proc."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.Error:
        return None
