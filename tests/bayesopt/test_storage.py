"""One contract for memory, an SQLite file and PostgreSQL: what is written is there, and whole."""

import pickle
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial

import pytest
from forked import exit_code, forked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from threads import in_threads

from bayesopt.storage import database, engine, tables
from bayesopt.storage.database import Database
from bayesopt.storage.memory import Memory
from bayesopt.storage.owner import Holder
from bayesopt.storage.records import Record, StorageError
from bayesopt.trial import Evaluation, Seen, Trial, TrialState

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
on_postgres = pytest.param("postgres", marks=pytest.mark.postgres)
OWNER = Holder().owner
SETTINGS = {"seed": 3, "space": [0.1, "é\ud800\0"]}


@pytest.fixture(params=["sqlite", on_postgres])
def address(request, tmp_path):
    if request.param == "sqlite":
        return tmp_path / "runs.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture(params=["memory", "sqlite", on_postgres])
def opened(request, tmp_path):
    """Opens the study, each time by a store of its own where it is shared."""
    if request.param == "memory":
        memory = Memory()
        return lambda: memory
    if request.param == "sqlite":
        where = tmp_path / "runs.db"
    else:
        where = request.getfixturevalue("postgres_url")
    return lambda: Database(where, "s", SETTINGS)


def add(store, *trials):
    """One record for each, in one write."""

    def change(draft):
        for trial in trials:
            number = len(draft)
            draft.put(Record(number, replace(trial, number=number), OWNER, draft.now, draft.token))
        return draft.now

    return store.write(change)


def point(x):
    return Trial(0, {"x": x})


def points(store):
    return [record.trial.params["x"] for record in store.records]


def run_sql(address, statement):
    url = f"sqlite:///{address}" if "://" not in str(address) else address
    raw = create_engine(url)
    with raw.begin() as connection:
        assert connection.execute(text(statement)).rowcount != 0
    raw.dispose()


any_text = st.text(st.characters(), max_size=20)
values = st.one_of(
    any_text,
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.sampled_from([5e-324, -0.0, 1.7976931348623157e308, "\0", "\ud800", "null"]),
)
finite = st.floats(allow_nan=False, allow_infinity=False)
trials = st.builds(
    Trial,
    number=st.just(0),
    params=st.dictionaries(any_text, values, max_size=3),
    state=st.sampled_from(TrialState),
    evaluation=st.none() | st.builds(Evaluation, finite, st.none() | finite.map(abs)),
    reason=st.none() | any_text,
    origin=st.sampled_from(["given", "initial", "added"]),
    hyperparameters=st.none() | st.tuples(st.tuples(finite, finite), st.tuples(finite)),
    traceback=st.none() | any_text,
    seen=st.none() | st.builds(Seen, st.integers(0, 9), st.tuples(st.integers(0, 9)), st.just(())),
    attempt=st.integers(1, 3),
    started=st.none() | finite,
    ended=st.none() | finite,
)


def test_what_is_written_is_read(opened):
    writer, reader = opened(), opened()

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(trials | st.none(), min_size=1, max_size=8), st.booleans(), finite)
    def check(written, held, lease_until):
        def change(draft):
            for n, trial in enumerate(written, start=len(draft)):
                trial = trial and replace(trial, number=n)
                draft.put(Record(n, trial, OWNER if held else None, lease_until, draft.token))

        writer.write(change)
        reader.refresh()
        assert repr(list(reader.records)) == repr(list(writer.records))
        read = list(reader.records)[-len(written) :]
        assert [repr(r.trial and replace(r.trial, number=0)) for r in read] == [
            repr(trial) for trial in written
        ]
        assert {(r.owner, r.lease_until, r.revision) for r in read} == {
            (OWNER if held else None, lease_until, writer.revision)
        }

    check()
    assert reader.records.open == {r.number for r in writer.records if r.is_open}


def test_two_stores_see_each_other_and_the_order_of_changes(opened):
    one, other = opened(), opened()
    add(one, point(0), point(1), point(2))
    other.refresh()
    before = other.revision
    add(other, point(3))
    one.write(lambda draft: draft.put(replace(draft[1], owner=None)))
    other.refresh()
    assert points(other) == points(one) == [0, 1, 2, 3]
    assert other.revision == one.revision == before + 2
    assert [r.number for r in other.records.newer_than(before)] == [1, 3]
    assert [r.number for r in other.records.newer_than(0)][:2] == [1, 3]
    assert other.records[1].owner is None and other.records[0].owner == OWNER


def test_only_what_is_new_is_read(address, monkeypatch):
    one, other = Database(address, "s", {}), Database(address, "s", {})
    add(one, *[point(x) for x in range(20)])
    other.refresh()
    read = []
    from_row = Record.from_row
    monkeypatch.setattr(Record, "from_row", lambda row: read.append(row["number"]) or from_row(row))
    one.write(lambda draft: draft.put(replace(draft[7], owner=None)))
    add(one, point(20))
    other.refresh()
    assert read == [7, 20]


def test_a_write_that_raises_changes_nothing(opened):
    store = opened()
    add(store, point(0))
    revision = store.revision

    def change(draft):
        draft.put(replace(draft[0], owner=None))
        draft.put(Record(1, point(1)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(change)
    again = opened()
    again.refresh()
    for seen in (store, again):
        assert seen.revision == revision and points(seen) == [0]
        assert seen.records[0].owner == OWNER


def test_the_clock_is_that_of_the_store(opened):
    store = opened()
    before = time.time()
    assert before - 1.0 < add(store, point(0)) < time.time() + 1.0


def test_studies_of_one_storage_do_not_see_each_other(address):
    one = Database(address, "one", SETTINGS)
    two = Database(address, "zwei é", {"seed": 4})
    add(one, point(1))
    add(two, point(2), point(3))
    again = Database(address, "one", {"seed": 5})
    assert one.is_new and two.is_new and not again.is_new
    assert again.settings == one.settings == SETTINGS and points(again) == [1]
    assert points(Database(address, "zwei é", None)) == [2, 3]
    with pytest.raises(StorageError, match=r"no study 'three'; it has \['one', 'zwei é'\]"):
        Database(address, "three", None)


def test_a_storage_that_is_only_looked_for_is_not_made(tmp_path):
    with pytest.raises(StorageError, match="There is no file .*runs.db"):
        Database(tmp_path / "runs.db", "s", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
def test_tables_are_not_made_for_a_study_that_is_only_looked_for(postgres_url):
    with pytest.raises(StorageError, match=r"no study 's'; it has \[\]"):
        Database(postgres_url, "s", None)
    raw = create_engine(postgres_url)
    with raw.connect() as connection:
        assert not tables.exist(connection)
    raw.dispose()


DAMAGES = {
    "content": "UPDATE bayesopt_trials SET content = replace(content, '7', '8') WHERE number = 1",
    "state": "UPDATE bayesopt_trials SET state = 'failed' WHERE number = 1",
    "owner": "UPDATE bayesopt_trials SET owner = NULL WHERE number = 1",
    "lease": "UPDATE bayesopt_trials SET lease_until = lease_until + 1 WHERE number = 1",
    "number": "UPDATE bayesopt_trials SET number = 9 WHERE number = 2",
    "a row": "DELETE FROM bayesopt_trials WHERE number = 1",
    "the last row": "DELETE FROM bayesopt_trials WHERE number = 2",
    "all rows": "DELETE FROM bayesopt_trials",
    "settings": "UPDATE bayesopt_studies SET settings = '{}'",
    "revision": "UPDATE bayesopt_studies SET revision = revision - 1",
    "name": "UPDATE bayesopt_studies SET name = 't'",
    "the study": "DELETE FROM bayesopt_studies",
    "schema version": "UPDATE bayesopt_schema SET version = -5",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_told(address, what):
    store = Database(address, "s", SETTINGS)
    add(store, point(0.7), point(0.7))
    add(store, point(0.7))
    store.close()
    run_sql(address, DAMAGES[what])
    with pytest.raises(StorageError, match="damaged|can be read|is missing"):
        Database(address, "s", SETTINGS)


def test_a_row_that_is_gone_cannot_be_changed(address):
    store = Database(address, "s", {})
    add(store, point(0), point(1))
    run_sql(address, "DELETE FROM bayesopt_trials WHERE number = 0")
    with pytest.raises(StorageError, match="trial 0 is there no more"):
        store.write(lambda draft: draft.put(replace(draft[0], owner=None)))
    assert store.records[0].owner == OWNER


def test_an_older_copy_that_was_put_back_is_noticed(address):
    store = Database(address, "s", {})
    add(store, point(0))
    older = dict(name="s", revision=0, n_trials=0, settings="{}")
    check = database._checksum_of(older)
    run_sql(
        address, f"UPDATE bayesopt_studies SET revision = 0, n_trials = 0, checksum = '{check}'"
    )
    with pytest.raises(StorageError, match="at write 0, but 1 were read before: an older copy"):
        add(store, point(1))


def test_a_newer_schema_is_refused(address):
    Database(address, "s", {}).close()
    run_sql(address, f"UPDATE bayesopt_schema SET version = {tables.VERSION + 1}")
    with pytest.raises(StorageError, match="newer bayesopt .schema 2; this one knows 1.*install"):
        Database(address, "s", {})


def test_an_older_schema_is_migrated_once_by_those_who_open_it_at_once(address, monkeypatch):
    add(Database(address, "s", {}), point(0))

    def migrate(connection):
        connection.execute(text("ALTER TABLE bayesopt_studies ADD COLUMN colour TEXT"))
        time.sleep(0.1)

    monkeypatch.setattr(tables, "VERSION", 2)
    monkeypatch.setattr(tables, "MIGRATIONS", {1: migrate})
    read = in_threads(*[lambda: points(Database(address, "s", None))] * 2)
    assert read == [[0], [0]]
    run_sql(address, "UPDATE bayesopt_studies SET colour = 'red'")
    run_sql(address, "UPDATE bayesopt_schema SET version = 3 WHERE version = 2")


def test_a_migration_that_fails_leaves_the_old_schema(address, monkeypatch):
    add(Database(address, "s", {}), point(0))

    def migrate(connection):
        connection.execute(text("ALTER TABLE bayesopt_studies ADD COLUMN colour TEXT"))
        raise StorageError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(tables, "VERSION", 2)
        patch.setattr(tables, "MIGRATIONS", {1: migrate})
        with pytest.raises(StorageError, match="no more"):
            Database(address, "s", None)
    assert points(Database(address, "s", None)) == [0]


def test_those_who_open_a_new_storage_at_once_have_one_study(address):
    stores = in_threads(*[lambda: Database(address, "s", {})] * 6)
    assert sum(store.is_new for store in stores) == 1
    for x, store in enumerate(stores):
        add(store, point(x))
    stores[0].refresh()
    assert sorted(points(stores[0])) == list(range(6))


def test_threads_write_at_once(opened):
    shared = opened()

    def work():
        own = opened()
        for _ in range(4):
            add(own, point("own"))
            add(shared, point("shared"))

    in_threads(*[work] * 4)
    shared.refresh()
    assert sorted(points(shared)) == ["own"] * 16 + ["shared"] * 16
    assert shared.revision == 32


def test_a_reader_in_another_thread_sees_whole_states(opened):
    store, stop = opened(), threading.Event()

    def read():
        while not stop.is_set():
            numbers = [record.number for record in store.records]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) % 5 == 0 and len(store.records.open) % 5 == 0
            time.sleep(0.0005)  # else the writer hardly gets a turn
        return True

    def write():
        for _ in range(12):
            add(store, *[point(0)] * 5)
            store.write(lambda draft: [draft.put(draft[n]) for n in (0, 3)])
        stop.set()

    in_threads(write, read, read)


def test_a_pickled_store_is_the_same_study(opened):
    store = opened()
    add(store, point(0))
    again = pickle.loads(pickle.dumps(store))
    assert points(again) == [0]
    add(again, point(1))
    assert again.revision == store.revision + 1


def test_a_forked_child_has_connections_of_its_own(address):
    store = Database(address, "s", {})
    add(store, point(0))

    def work():
        for _ in range(5):
            add(store, point("child"))
        store.close()

    children = [forked(work), forked(work)]
    for _ in range(5):
        add(store, point("parent"))
    assert [exit_code(child) for child in children] == [0, 0]
    add(store, point(1))
    assert sorted(map(str, points(store))) == ["0", "1"] + ["child"] * 10 + ["parent"] * 5


def test_a_fork_while_another_thread_writes_does_not_wait_for_it(address):
    store = Database(address, "s", {})
    within, go_on = threading.Event(), threading.Event()

    def change(draft):
        within.set()
        go_on.wait()

    thread = threading.Thread(target=store.write, args=(change,))
    thread.start()
    within.wait()
    child = forked(store.refresh)
    code = exit_code(child)
    go_on.set()
    thread.join()
    assert code == 0


def test_a_commit_that_went_through_without_an_answer_is_not_done_twice(address, monkeypatch):
    store = Database(address, "s", {})
    calls = []
    lose_answers(store, monkeypatch, 1)

    def change(draft):
        calls.append((draft.token, draft.repeated))
        if not any(record.token == draft.token for record in draft):
            draft.put(Record(len(draft), point(0), token=draft.token))

    store.write(change)
    assert [repeated for _, repeated in calls] == [False, True] and calls[0][0] == calls[1][0]
    assert points(store) == points(Database(address, "s", None)) == [0]


def lose_answers(store, monkeypatch, n):
    """The next n commits go through, and the connection breaks before that is heard."""
    commit, left = store._engine.dialect.do_commit, [n]

    def lost(connection):
        commit(connection)
        if left[0] > 0:
            left[0] -= 1
            raise OperationalError("COMMIT", {}, NoAnswer("the server is gone"))

    monkeypatch.setattr(store._engine.dialect, "do_commit", lost)
    monkeypatch.setattr(engine, "_NO_ANSWER", (*engine._NO_ANSWER, "NoAnswer"))


class NoAnswer(Exception):
    pass


def test_a_write_waits_for_a_server_that_is_away(address, monkeypatch):
    store = Database(address, "s", {})
    read, away = store._read, [3]

    def fail(connection, writing):
        if away[0] > 0:
            away[0] -= 1
            raise OperationalError("SELECT", {}, NoAnswer("no route"))
        return read(connection, writing)

    monkeypatch.setattr(engine, "_NO_ANSWER", ("NoAnswer",))
    monkeypatch.setattr(store, "_read", fail)
    add(store, point(0))
    assert points(store) == [0]
    away[0] = 99
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    with pytest.raises(StorageError, match="cannot be used: no route"):
        add(store, point(1))
    assert points(store) == [0]


SECRET = "s3cr3t"
BAD = {
    f"nosuch://user:{SECRET}@host/db": "nosuch",
    f"postgresql+nodriver://user:{SECRET}@host/db": "nodriver",
    f"postgresql://user:p@{SECRET}:x@host/db": "%40 for @",
    f"postgresql://user:{SECRET}@host:port/db": "has the form",
    f"postgresql://user:{SECRET}@host.invalid/db": "host.invalid",
    f"postgresql://user:{SECRET}@127.0.0.1:9/db": "refused",
    f"mysql+pymysql://user:{SECRET}@host/db": "pymysql",
    "sqlite://": "leave `storage` out",
    "sqlite:///:memory:": "leave `storage` out",
    "/no/such/folder/runs.db": "no folder '/no/such/folder'",
    "~nobody-of-this-name/runs.db": "home directory",
    "a\0b": "null byte",
    "n" * 300: "too long",
}


@pytest.mark.parametrize("address", BAD)
def test_addresses_that_lead_nowhere_are_told_soon_and_without_the_password(address, monkeypatch):
    monkeypatch.setattr(database, "_PATIENCE_AT_FIRST", 0.2)
    with pytest.raises((StorageError, ModuleNotFoundError)) as caught:
        Database(address, "s", {})
    assert BAD[address] in str(caught.value)
    error = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.postgres
def test_a_server_that_does_not_let_us_in_is_not_asked_again(postgres_url):
    head, _, name = postgres_url.rpartition("/")
    begin = time.monotonic()
    with pytest.raises(StorageError, match='"nosuch_database" does not exist'):
        Database(f"{head}/nosuch_database", "s", {})
    with pytest.raises(StorageError, match='"nosuch_user" does not exist') as caught:
        Database(f"{head}/{name}".replace("postgres@", f"nosuch_user:{SECRET}@"), "s", {})
    assert SECRET not in str(caught.value)
    assert time.monotonic() - begin < database._PATIENCE_AT_FIRST / 2


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_psycopg_is_the_driver_where_none_is_named(postgres_url, scheme):
    short = postgres_url.replace("postgresql+psycopg", scheme)
    store = Database(short, "s", {})
    add(store, point(0))
    assert store._engine.driver == "psycopg"
    assert points(Database(postgres_url, "s", None)) == [0]


@pytest.mark.postgres
def test_writers_go_on_when_the_server_is_restarted(postgres_url, restart_postgres):
    told, stop, n = [], threading.Event(), 3
    stores = [Database(postgres_url, "s", {}) for _ in range(n)]

    def write(mine):
        for i in range(10_000):
            add_once(stores[mine], point(f"{mine}-{i}"))
            told.append(f"{mine}-{i}")
            if stop.is_set():
                return

    def restart():
        time.sleep(0.3)
        restart_postgres()
        at_restart = len(told)
        while len(told) < at_restart + 10:
            time.sleep(0.05)
        stop.set()

    in_threads(restart, *[partial(write, mine) for mine in range(n)])
    held = points(Database(postgres_url, "s", None))
    assert len(held) == len(set(held)) and set(held) == set(told) and len(told) > 20


def add_once(store, trial):
    def change(draft):
        if not any(record.token == draft.token for record in draft):
            number = len(draft)
            draft.put(Record(number, replace(trial, number=number), token=draft.token))

    store.write(change)


def test_what_a_ledger_needs_in_memory_loads_no_database_and_no_torch():
    loaded = (
        "[m for m in ('sqlalchemy', 'torch', 'scipy', 'psycopg', 'pandas') if m in sys.modules]"
    )
    code = (
        f"import sys, bayesopt.ledger; bayesopt.ledger.Ledger().take({{'x': 1}}); print({loaded})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
