"""A process that knows nothing of the user's script.

The start methods of `multiprocessing` run the main script again in each new process, so that one
without ``if __name__ == "__main__"`` starts itself for ever, and one from a notebook or from
standard input cannot be run at all. Functions travel by cloudpickle here and need none of it.
"""

import multiprocessing
import os
import sys
from multiprocessing import process
from multiprocessing.process import BaseProcess
from typing import Any


class FreshProcess(BaseProcess):
    """A process of `multiprocessing` which may start processes itself, by any start method."""

    _start_method = None
    streams: tuple[tuple[int, Any], ...] = ()
    """Descriptors 1 and 2 of the process that started this one, where they are not inherited."""

    def run(self) -> None:
        """Run the target."""
        for target, stream in self.streams:
            descriptor = stream.detach()
            os.dup2(descriptor, target)
            os.close(descriptor)
        self._config["daemon"] = False  # type: ignore[attr-defined]
        super().run()


def preparation(name: str) -> dict[str, Any]:
    """`multiprocessing.spawn.get_preparation_data` without the main script."""
    here = process.ORIGINAL_DIR  # type: ignore[attr-defined]
    described: dict[str, Any] = {
        "name": name,
        "authkey": process.current_process().authkey,
        "sys_path": [here if path == "" else path for path in sys.path],
        "sys_argv": sys.argv,
        "orig_dir": here,
        "dir": os.getcwd(),
    }
    method = multiprocessing.get_start_method(allow_none=True)
    return described if method is None else {**described, "start_method": method}
