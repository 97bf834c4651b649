"""One study in one file: there whole and as it was written, or refused."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import fixed

from bayesopt import study_file
from bayesopt.study_file import read_study, write_study
from bayesopt.trial import Evaluation, Seen, Trial, TrialState

SETTINGS = {"format": 1, "space": {"parameters": []}, "noise": False, "bounds": [1e-300, None]}
TRIALS = [
    Trial(0, {"x": 0.1, "kind": None}, TrialState.COMPLETE, Evaluation(1 / 3, 0.0), started=1e9),
    Trial(1, {"x": -0.0, "kind": "ä\u2028\n"}, TrialState.FAILED, reason="ä", traceback="a\nb"),
    Trial(2, {"x": 1e308, "kind": True}, seen=Seen(2, (0,), (1,)), hyperparameters=((0.1, -1e-9),)),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "study.json"
    write_study(path, SETTINGS, TRIALS)
    return path


def names(path):
    return sorted(entry.name for entry in path.parent.iterdir())


def test_what_is_written_is_read(path):
    settings, trials = read_study(path)
    assert settings == SETTINGS and trials == TRIALS
    assert trials[0].started == 1e9
    assert names(path) == ["study.json"]


def test_a_name_may_be_a_string_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_study("study.json", {}, [])
    assert read_study("study.json") == ({}, [])


def test_it_is_plain_json_with_a_trial_on_each_line(path):
    lines = path.read_text().splitlines()
    assert [Trial.from_json(json.loads(line.rstrip(","))) for line in lines[3:-1]] == TRIALS
    assert json.loads(path.read_text())["settings"] == SETTINGS


def test_the_same_study_gives_the_same_bytes(path):
    before = path.read_bytes()
    write_study(path, *read_study(path))
    assert path.read_bytes() == before


params = st.dictionaries(
    st.text(max_size=3), st.floats(allow_nan=False) | st.integers() | st.text() | st.none()
)


@settings(fixed, max_examples=60)
@given(st.lists(st.tuples(params, st.text(), st.floats(-1e308, 1e308)), max_size=5))
def test_every_text_and_number_comes_back(tmp_path_factory, rows):
    trials = []
    for given_params, reason, value in rows:
        number = len(trials)
        trials.append(Trial(number, given_params, TrialState.FAILED, reason=reason))
        trials.append(Trial(number + 1, {}, TrialState.COMPLETE, Evaluation(value, abs(value))))
    path = tmp_path_factory.getbasetemp() / "every.json"
    write_study(path, {"texts": [reason for _, reason, _ in rows]}, trials)
    described, read = read_study(path)
    assert read == trials and described == {"texts": [reason for _, reason, _ in rows]}


def refused(path, content, *texts):
    path.write_bytes(content)
    with pytest.raises(ValueError) as refusal:
        read_study(path)
    assert repr(str(path)) in str(refusal.value)
    assert any(text in str(refusal.value) for text in texts), refusal.value
    assert path.read_bytes() == content


def test_a_file_cut_anywhere_is_refused(path):
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(len(whole)):
        text = "does not begin as" if length < first else "lost its end"
        refused(path, whole[:length], text, "is empty")


def test_a_changed_byte_anywhere_is_refused(path):
    whole = path.read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        refused(path, bytes(changed), "does not begin as", "its checksum differs", "by a newer")


def test_bytes_too_many_or_too_few_are_refused(path):
    whole = path.read_bytes()
    for at in (0, 40, len(whole) // 2, len(whole)):
        refused(path, whole[:at] + b" " + whole[at:], "does not begin as", "checksum differs")
        refused(path, whole[: at - 1] + whole[at:], "does not begin as", "checksum differs")
    refused(path, whole + whole, "changed or damaged")
    refused(path, whole.replace(b"\n", b"\r\n"), "does not begin as")


@pytest.mark.parametrize(
    "content",
    [b"{}", b"null", b'{"settings": {}, "trials": []}', b"SQLite format 3\0", b"\0" * 4096],
)
def test_what_is_not_ours_is_refused(path, content):
    refused(path, content, "does not begin as a study of bayesopt")


def signed(below, version=1):
    checksum = study_file._checksum(version, below)
    first = f'{{"file": "bayesopt study", "format": {version}, "sha256": "{checksum}",\n'
    return first.encode() + below


def test_a_newer_file_is_refused_as_such(path):
    below = path.read_bytes().split(b"\n", 1)[1]
    assert path.read_bytes() == signed(below)
    refused(path, signed(below, 2), "by a newer version of bayesopt (format 2; this one reads 1)")


@pytest.mark.parametrize(
    "below",
    [
        b"",
        b'"settings": {}}',
        b'"settings": [], "trials": []}',
        b'"settings": {}, "trials": [{}]}',
        b'"settings": {}, "trials": [{"number": 0, "params": {}, "state": "paused"}]}',
        b'"settings": {}, "trials": [{"number": 0, "params": {}, "state": "running", "mood": 1}]}',
        b'"settings": {}, "trials": [[]]}',
        b'"settings": {}, "trials": ' + b"[" * 10**5,
        b'"settings": {}, "trials": "\xff"}',
    ],
)
def test_a_whole_file_of_something_else_is_refused(path, below):
    refused(path, signed(below), "but not what this version of bayesopt reads")


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.json"):
        read_study(tmp_path / "none.json")
    with pytest.raises(IsADirectoryError):
        read_study(tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        write_study(tmp_path / "none" / "study.json", {}, [])
    with pytest.raises(IsADirectoryError):
        write_study(tmp_path, {}, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_the_old_file_survives_a_failing_write(path, monkeypatch, step, error):
    def fails(*args):
        raise error("in the middle")

    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fails)
        with pytest.raises(error, match="in the middle"):
            write_study(path, {}, [])
    assert path.read_bytes() == before and names(path) == ["study.json"]


@pytest.mark.parametrize(
    ("settings", "trials"), [({"policy": object()}, TRIALS), ({}, [Trial(0, {"x": {1}})])]
)
def test_nothing_is_written_of_what_is_no_plain_data(path, settings, trials):
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_study(path, settings, trials)
    assert path.read_bytes() == before and names(path) == ["study.json"]


def test_the_file_and_its_directory_are_synced_before_and_after_the_new_name(path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def synced(opened):
        steps.append("directory" if stat.S_ISDIR(os.fstat(opened).st_mode) else "file")
        fsync(opened)

    def replaced(*args):
        steps.append("name")
        replace(*args)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_study(path, SETTINGS, TRIALS)
    assert steps == ["file", "name", "directory"]


@pytest.mark.parametrize(("number", "raises"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_disk_that_does_not_sync_directories_is_no_error(path, monkeypatch, number, raises):
    fsync = os.fsync

    def some(opened):
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(number, "no")
        fsync(opened)

    monkeypatch.setattr(os, "fsync", some)
    if raises:
        with pytest.raises(OSError, match="no"):
            write_study(path, {}, [])
    else:
        write_study(path, {}, [])
    assert read_study(path) == ({}, [])


def test_permissions_and_links_stay(path):
    path.chmod(0o640)
    link = path.with_name("link.json")
    link.symlink_to(path)
    write_study(link, {}, [])
    assert link.is_symlink() and read_study(path) == ({}, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    plain = path.with_name("plain")
    plain.touch()
    fresh = path.with_name("fresh.json")
    write_study(fresh, {}, [])
    assert fresh.stat().st_mode == plain.stat().st_mode


def test_a_reader_beside_a_writer_finds_a_whole_file(path):
    long = [Trial(number, {"x": 0.5}) for number in range(300)]
    done = threading.Event()

    def write():
        for _ in range(10):
            write_study(path, {}, long)
            write_study(path, SETTINGS, TRIALS)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not done.is_set():
            assert len(read_study(path)[1]) in (len(TRIALS), len(long))
    finally:
        writer.join()


def test_it_does_without_torch():
    code = "import bayesopt.study_file, bayesopt.trial_table, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "scipy", "pandas", "botorch"}
