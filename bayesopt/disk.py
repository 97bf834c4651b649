"""What makes a new file last."""

import errno
import os
from pathlib import Path

_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)  # some network disks do not sync directories


def sync_directory(directory: str | Path) -> None:
    """Put the names of the files in a directory on the disk; Windows does so itself.

    Raises
    ------
    OSError
        If the disk fails.
    """
    if os.name == "nt":
        return
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(opened)
