"""An SQLite file: it holds all that was told, or says what is wrong with it and stays as it is."""

import gc
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from forked import exit_code, forked, kill_self

from bayesopt.ledger import Ledger
from bayesopt.storage import sqlite_file
from bayesopt.storage.database import Database
from bayesopt.storage.records import StorageError
from bayesopt.trial import Evaluation, TrialState

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
N = 40


def open_ledger(path, settings=None):
    return Ledger(Database(path, "study", settings))


def tell(ledger, x, traceback=None):
    number = ledger.take({"x": x}).number
    ledger.end(number, TrialState.COMPLETE, evaluation=Evaluation(x * x), traceback=traceback)
    return number


def told(path):
    """Value by number of all that has ended."""
    ledger = open_ledger(path)
    return {trial.number: trial.value for trial in ledger.trials if trial.value is not None}


def content(path):
    return {name: name.read_bytes() for name in path.parent.iterdir() if name.is_file()}


def foreign_database(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bayesopt_trials (x)")
        connection.commit()


FOREIGN = {
    "text": (lambda path: path.write_text("x,y\n1,2\n" * 99), "is no SQLite file"),
    "short text": (lambda path: path.write_text("x"), "is no SQLite file"),
    "another program's": (foreign_database, "another program"),
    "empty": (lambda path: path.touch(), "is empty"),
    "16 bytes": (lambda path: path.write_bytes(b"SQLite format 3\0"), "ends after 16 bytes"),
    "50 bytes": (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(34)), "after 50 bytes"),
    "only a header": (
        lambda path: path.write_bytes(
            b"SQLite format 3\0" + bytes(52) + (0x42617965).to_bytes(4, "big") + bytes(28)
        ),
        "is damaged",
    ),
    "a directory": (lambda path: path.mkdir(), "is not a file"),
    "a device": (lambda path: path.symlink_to("/dev/null"), "is not a file"),
    "a log alone": (
        lambda path: sqlite_file.wal_of(path).write_bytes(b"x" * 99),
        "is missing, but its log runs.db-wal is there",
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("settings", [{}, None])
def test_what_is_not_ours_is_refused_and_left_as_it_is(tmp_path, what, settings):
    path = tmp_path / "runs.db"
    make, text = FOREIGN[what]
    make(path)
    before = content(path)
    with pytest.raises(StorageError, match=text) as caught:
        open_ledger(path, settings)
    assert str(path) in str(caught.value)
    gc.collect()
    assert content(path) == before


@pytest.fixture
def open_folder():
    """A folder that another user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def refused_to_another_user(path, text):
    def attempt():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        with pytest.raises(StorageError, match=text):
            open_ledger(path, {})

    return exit_code(forked(attempt)) == 0


def test_without_permission_the_error_says_so(open_folder):
    path = open_folder / "runs.db"
    tell(open_ledger(path, {}), 1.0)
    gc.collect()
    before = content(path)
    os.chmod(path, 0)
    assert refused_to_another_user(path, "cannot be read: .*Permission denied")
    os.chmod(path, 0o444)
    os.chmod(open_folder, 0o555)
    assert refused_to_another_user(path, "may not write to .*runs.db.*open the copy")
    assert refused_to_another_user(path.with_name("new.db"), "cannot be used: unable to open")
    os.chmod(open_folder, 0)
    assert refused_to_another_user(path, "cannot be read: .*Permission denied")
    os.chmod(open_folder, 0o755)
    os.chmod(path, 0o644)
    assert content(path) == before and told(path) == {0: 1.0}


def test_every_connection_is_safe(tmp_path):
    store = Database(tmp_path / "runs.db", "study", {})
    for _ in range(2):
        with store._engine.connect() as connection:
            pragmas = ("journal_mode", "synchronous", "busy_timeout", "application_id")
            found = [connection.exec_driver_sql(f"PRAGMA {p}").scalar_one() for p in pragmas]
        assert found == ["wal", 2, 60_000, int.from_bytes(b"Baye", "big")]
        store.close()


def test_the_file_alone_holds_each_result_as_soon_as_it_is_told(tmp_path):
    path, copy = tmp_path / "runs.db", tmp_path / "copy" / "runs.db"
    copy.parent.mkdir()
    ledger = open_ledger(path, {})
    for x in range(6):
        tell(ledger, float(x))
        shutil.copy(path, copy)
        assert told(copy) == {n: float(n * n) for n in range(x + 1)}


def test_a_new_file_leaves_nothing_beside_it(tmp_path):
    ledger = open_ledger(tmp_path / "runs.db", {})
    tell(ledger, 1.0)
    ledger.store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["runs.db"]


def test_two_processes_that_make_the_file_at_once_share_it(tmp_path):
    path = tmp_path / "runs.db"

    def work():
        ledger = open_ledger(path, {})
        for x in range(3):
            tell(ledger, float(x))
        ledger.store.close()

    children = [forked(work) for _ in range(4)]
    assert [exit_code(child) for child in children] == [0] * 4
    assert sorted(told(path).values()) == sorted([0.0, 1.0, 4.0] * 4)
    assert set(told(path)) == set(range(12))


NAMES = ["a b#c?d%25e&f.db", "ünï 数.db", "no_suffix", "x.db?mode=memory", "file:x.db", "'\"\\.db"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_have_any_name(tmp_path, name):
    path = tmp_path / name
    ledger = open_ledger(path, {})
    tell(ledger, 2.0)
    assert path.stat().st_size > 0 and told(path) == {0: 4.0}
    ledger.store.close()
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = Database("runs.db", "study", {})
    ledger = Ledger(store)
    monkeypatch.chdir("elsewhere")
    store.close()
    tell(ledger, 2.0)
    again = Ledger(Database.__new__(Database))
    again.store.__setstate__(store.__getstate__())
    assert again.n_ended == 1 and told("../runs.db") == {0: 4.0}
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_path_may_be_an_address_of_sqlalchemy(tmp_path):
    tell(open_ledger(f"sqlite:///{tmp_path}/runs.db", {}), 2.0)
    assert told(tmp_path / "runs.db") == {0: 4.0}


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_taken_away_is_noticed_and_the_result_kept(tmp_path, replaced):
    path, away = tmp_path / "runs.db", tmp_path / "away.db"
    ledger = open_ledger(path, {})
    tell(ledger, 1.0)
    number = ledger.take({"x": 2.0}).number
    path.rename(away)
    if replaced:
        shutil.copy(away, path)
    with pytest.raises(StorageError, match="removed, or another file.*result of trial 1 .the va"):
        ledger.end(number, TrialState.COMPLETE, evaluation=Evaluation(4.0))
    assert ledger.trials[1].value == 4.0
    away.rename(path)
    ledger.save()
    assert told(path) == {0: 1.0, 1: 4.0}


# ---- damage: what is told is there, or an error comes; fewer trials never


def forty(path):
    ledger = open_ledger(path, {})
    for x in range(N):
        tell(ledger, float(x))
    return ledger


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    path = tmp_path_factory.mktemp("closed") / "runs.db"
    forty(path).store.close()
    assert not sqlite_file.wal_of(path).exists()
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    path = tmp_path_factory.mktemp("killed") / "runs.db"

    def work():
        ledger = forty(path)
        assert ledger.n_ended == N
        ledger.take({"x": -1.0})
        ledger.take({"x": -2.0})
        kill_self()

    assert exit_code(forked(work)) == -9
    assert sqlite_file.wal_of(path).stat().st_size > 0
    return path


TRUTH = {n: float(n * n) for n in range(N)}


def cut(path, rng):
    os.truncate(path, rng.randrange(path.stat().st_size))


def fill_with_noise(path, rng):
    begin = rng.randrange(path.stat().st_size)
    length = int(10 ** rng.uniform(0.0, 3.7))
    data = bytearray(path.read_bytes())
    stretch = data[begin : begin + length]
    data[begin : begin + length] = rng.randbytes(len(stretch))
    path.write_bytes(data)


DAMAGES = {"cut": cut, "noise": fill_with_noise}


def open_damaged(origin, folder, damage, name, rng):
    """Whether a copy that is damaged so can be opened; nothing is missing from it then."""
    folder.mkdir()
    for found in origin.parent.iterdir():
        shutil.copy(found, folder)
    path = folder / origin.name
    DAMAGES[damage](folder / name, rng)
    before = content(path)
    try:
        ledger = open_ledger(path, {})
    except StorageError:
        gc.collect()
        after = content(path)
        assert all(after[found] == before[found] for found in (path, folder / name))
        return False
    assert told(path) == TRUTH
    number = tell(ledger, 7.0)
    assert number >= N and told(path) == TRUTH | {number: 49.0}
    return True


def opened_of(n, origin, folder, damage, name, seed):
    rng = random.Random(seed)
    return sum(open_damaged(origin, folder / f"{i}", damage, name, rng) for i in range(n))


AMOUNTS = [20, pytest.param(100, marks=pytest.mark.slow)]


@pytest.mark.parametrize("n", AMOUNTS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("end", ["closed", "killed"])
def test_a_damaged_file_is_read_whole_or_refused_and_left(request, tmp_path, end, damage, n):
    origin = request.getfixturevalue(end)
    n_opened = opened_of(n, origin, tmp_path, damage, "runs.db", seed=n)
    assert n_opened < n


@pytest.mark.parametrize("n", AMOUNTS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_nothing_is_lost_with_the_log(killed, tmp_path, damage, n):
    assert opened_of(n, killed, tmp_path, damage, "runs.db-wal", seed=n) == n


def test_nothing_is_lost_when_the_log_is_removed(killed, tmp_path):
    shutil.copy(killed, tmp_path)
    assert told(tmp_path / "runs.db") == TRUTH


@pytest.mark.parametrize("where", [rb"studyP\({}", rb"\x09study(?! )"], ids=["row", "index"])
def test_a_study_whose_name_is_damaged_is_not_begun_anew(closed, tmp_path, where):
    path = Path(shutil.copy(closed, tmp_path))
    data, n = re.subn(where, lambda found: found[0].replace(b"study", b"stXdy"), path.read_bytes())
    assert n == 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match="damaged"):
        open_ledger(path, {})


# ---- no room on the disk


def limit_pages(ledger, n):
    with ledger.store._engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {n}")


def test_a_full_disk_loses_nothing(tmp_path):
    path = tmp_path / "runs.db"
    ledger = open_ledger(path, {})
    tell(ledger, 1.0)
    number, other = ledger.take({"x": 2.0}).number, ledger.take({"x": 3.0}).number
    limit_pages(ledger, 1)  # no fewer than there are
    with pytest.raises(StorageError) as caught:
        ledger.end(number, TrialState.FAILED, reason="long", traceback="x" * 100_000)
    for words in (str(path), "is full", "Make room", "result of trial 1 (failed: long)", "save()"):
        assert words in str(caught.value)
    with pytest.raises(StorageError, match="is full"):
        ledger.take({"x": 4.0})
    with pytest.raises(StorageError, match="is full.*result of trial 2 .the value 9.0."):
        ledger.end(other, TrialState.COMPLETE, evaluation=Evaluation(9.0))
    assert [trial.state.value for trial in ledger.trials] == ["complete", "failed", "complete"]
    assert ledger.n_ended == 3 and told(path) == {0: 1.0}
    limit_pages(ledger, 10**6)
    ledger.save()
    assert told(path) == {0: 1.0, 2: 9.0} and ledger.n_ended == 3
    assert open_ledger(path).trial(1).traceback == "x" * 100_000
    assert tell(ledger, 4.0) == 3


SMALL_DISK = """
import os, sys
from test_sqlite_file import StorageError, TrialState, open_ledger, tell
path, blocker = sys.argv[1] + "/runs.db", sys.argv[1] + "/blocker"
try:
    with open(blocker, "wb") as file:
        file.write(bytes(1 << 21))
except OSError:
    pass
try:
    open_ledger(path, {})
except StorageError as error:
    assert "Make room" in str(error) or "disk I/O" in str(error), error
    assert os.listdir(sys.argv[1]) == ["blocker"]
else:
    raise AssertionError("a file was made on a full disk")
os.remove(blocker)
ledger = open_ledger(path, {})
tell(ledger, 1.0)
kept = 0
while not kept:
    try:
        tell(ledger, 2.0, traceback="x" * 100_000)
    except StorageError as error:
        assert "Make room" in str(error), error
        kept = ledger.n_ended
os.system(f"mount -o remount,size=8m {sys.argv[1]}")
ledger.save()
assert open_ledger(path).n_ended == kept
tell(ledger, 3.0)
print("done", kept)
"""


@pytest.mark.slow
def test_a_full_disk_of_its_own_loses_nothing(tmp_path):
    script = f'mount -t tmpfs -o size=1m none {tmp_path} && exec "$0" - {tmp_path}'
    ran = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, sys.executable],
        input=SMALL_DISK,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0 and "done" in ran.stdout, ran.stderr
