"""One study in one JSON file, which is there whole and as it was written, or refused.

The first line holds the format and a checksum of everything below it; all lines together are JSON,
one trial on each.
"""

import hashlib
import json
import os
import re
import stat
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from bayesopt.disk import sync_directory
from bayesopt.trial import Trial

FORMAT = 1

_BEGIN = b'{"file": "bayesopt study", '
_FIRST_LINE = re.compile(
    rb'\{"file": "bayesopt study", "format": ([1-9][0-9]{0,8}), "sha256": "([0-9a-f]{64})",\n'
)
_END = b"\n]}\n"


def write_study(
    path: str | os.PathLike[str], settings: dict[str, Any], trials: Sequence[Trial]
) -> None:
    """Write a study to a file, in one step: a reader finds the old file or the new one.

    Parameters
    ----------
    path
        The file, for instance "study.json". One that is there already is replaced.
    settings
        What the study is besides its trials, as plain data.
    trials
        All trials.

    Raises
    ------
    TypeError
        If something is no plain data; nothing is written then.
    ValueError
        If there is a file that is no study written so.
    OSError
        If it cannot be written; the file that was there stays as it was.
    """
    _check_replaceable(path)
    below = _below(settings, trials)
    checksum = _checksum(FORMAT, below)
    first = f'{{"file": "bayesopt study", "format": {FORMAT}, "sha256": "{checksum}",\n'
    _replace(os.path.realpath(path), (first.encode(), below))


def _check_replaceable(path: str | os.PathLike[str]) -> None:
    try:
        with open(path, "rb") as file:
            begin = file.read(len(_BEGIN))
    except FileNotFoundError:
        return
    if begin != _BEGIN and begin:
        raise ValueError(
            f"{os.fspath(path)!r} is no copy of a study. It is left as it is: choose another name."
        )


def read_study(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Trial]]:
    """Read what `write_study` wrote.

    Returns
    -------
    settings, trials
        Equal to what was written.

    Raises
    ------
    ValueError
        If it is no study, cut, changed or of a newer version; the text names the file.
    OSError
        If it cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        content = file.read()
    below = _checked(name, content)
    try:
        described = json.loads(content)
        settings, rows = described["settings"], described["trials"]
        if not isinstance(settings, dict):
            raise TypeError(f"its settings are {settings!r}")
        return settings, [Trial.from_json(row) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{name!r} is whole ({len(below)} bytes), but not what this version of bayesopt "
            f"reads: {type(error).__name__}: {error}"
        ) from error


def _below(settings: dict[str, Any], trials: Iterable[Trial]) -> bytes:
    """Everything but the first line."""
    rows = ",\n".join(json.dumps(trial.to_json()) for trial in trials)
    text = f'"settings": {json.dumps(settings)},\n"trials": [\n{rows}'
    return text.encode("ascii") + _END


def _checksum(version: int, below: bytes) -> str:
    return hashlib.sha256(b"%d\n" % version + below).hexdigest()


def _checked(name: str, content: bytes) -> bytes:
    """What stands below the first line; raises ValueError that says what is wrong with the file."""
    first = _FIRST_LINE.match(content)
    if first is None:
        what = "is empty" if not content else "does not begin as a study of bayesopt does"
        raise ValueError(f"{name!r} {what}; it is left as it is.")
    version, below = int(first[1]), content[first.end() :]
    if version > FORMAT:
        raise ValueError(
            f"{name!r} was written by a newer version of bayesopt (format {version}; this one "
            f"reads {FORMAT}). Install that version."
        )
    if _checksum(version, below) != first[2].decode():
        how = "been changed or damaged" if below.endswith(_END) else "lost its end"
        raise ValueError(
            f"{name!r} has {how} since it was written (its checksum differs). Take another copy."
        )
    return below


def _replace(path: str, parts: Iterable[bytes]) -> None:
    """Put the parts where the path is, all or nothing, also if the power fails."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            if os.path.exists(path):
                os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    sync_directory(directory)
