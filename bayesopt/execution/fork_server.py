"""Processes from a fork server of our own: up in milliseconds, with no thread of ours in them.

It is apart from the server that `multiprocessing` shares with the user, which imports the main
script. Systems without fork servers cannot import this file.
"""

import io
import multiprocessing
import os
from contextlib import suppress
from multiprocessing import forkserver, popen_forkserver, reduction, util
from multiprocessing.context import set_spawning_popen
from multiprocessing.process import BaseProcess
from typing import Any

from bayesopt.execution.fresh_process import FreshProcess, preparation

_PRELOAD = ["bayesopt.execution.preload"]


class ForkedProcess(FreshProcess):
    """A fresh process, forked by the server."""

    @staticmethod
    def _Popen(started: BaseProcess) -> Any:
        return _Popen(started)


class _Popen(popen_forkserver.Popen):
    """As its base, but from our server, without the main script, with our streams of today."""

    _fds: list[int]

    def _launch(self, started: FreshProcess) -> None:
        started.streams = tuple(
            (number, self.DupFd(self.duplicate_for_child(number)))
            for number in (1, 2)
            if _is_open(number)
        )
        buffer = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(preparation(started.name), buffer)
            reduction.dump(started, buffer)
        finally:
            set_spawning_popen(None)
        self.sentinel, writer = _server().connect_to_new_process(self._fds)
        # The child sees that we died when the last copy of this end is closed.
        ends = (os.dup(writer), self.sentinel)
        self.finalizer = util.Finalize(self, util.close_fds, ends)  # type: ignore[attr-defined]
        with suppress(BrokenPipeError), open(writer, "wb", closefd=True) as file:
            file.write(buffer.getbuffer())
        try:
            self.pid = forkserver.read_signed(self.sentinel)
        except EOFError:
            raise OSError(
                "The fork server ended instead of starting a process for a trial: is there memory "
                "left, and may this user start more processes?"
            ) from None


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


_servers: dict[int, forkserver.ForkServer] = {}


def _server() -> forkserver.ForkServer:
    """The running server of this process; a forked copy of us starts its own."""
    server = _servers.get(os.getpid())
    if server is None:
        server = _servers[os.getpid()] = forkserver.ForkServer()
        server.set_forkserver_preload(_PRELOAD)
    method = multiprocessing.get_start_method(allow_none=True)
    try:
        server.ensure_running()
    finally:
        if method is None:  # it fixes the default, which the user may still want to set
            multiprocessing.set_start_method(None, force=True)
    return server
