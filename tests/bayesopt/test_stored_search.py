"""Whole searches of this process on a storage: a full disk, threads, a Dask cluster."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from searches import Bowl, Search

import bayesopt as bo
from bayesopt.storage import engine

RANDOM = {"policy": bo.Policy(acquisition="random")}


class Disk:
    """Whether files of SQLite may grow."""

    def __init__(self):
        self.is_full = False

    def fill(self):
        self.is_full = True

    def begin(self, connection):
        pages = 1 if self.is_full else 1_000_000  # no smaller than the file is
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        BEGIN(connection)


BEGIN = engine._begin


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(engine, "_begin", disk.begin)
    return disk


def ended(trials):
    """Results by number."""
    found = [trial for trial in trials if trial.state is not bo.TrialState.RUNNING]
    return {
        trial.number: trial.value if trial.value is not None else trial.reason for trial in found
    }


def saved_when_there_is_room(search, disk, values):
    """The error of a full disk, the results that it kept, and that the storage has."""
    with pytest.raises(bo.StorageError, match="Make room on its disk") as full:
        search.minimize()
    study = full.value.study
    kept, stored = ended(study.trials), ended(search.trials)
    assert stored.items() <= kept.items()
    assert set(values) == {result for result in kept.values() if isinstance(result, float)}
    disk.is_full = False
    study.save()
    assert ended(search.trials) == kept
    return str(full.value), kept, stored


@pytest.mark.parametrize("full_from", range(3, 9))
def test_a_full_disk(tmp_path, disk, full_from):
    values = []

    def fun(x, y):
        if len(values) == full_from:
            disk.fill()
        values.append(x + y)
        return values[-1]

    search = Search(tmp_path, fun, 40, RANDOM)
    saved_when_there_is_room(search, disk, values)
    assert full_from < len(values) < 40
    assert search.minimize().nfev == 40 and len(values) == 40


def test_results_that_come_when_the_disk_is_full_are_kept(tmp_path, disk):
    all_run = threading.Barrier(4, action=disk.fill)
    values = []

    def fun(x, y):
        if all_run.wait(60) == 0:
            raise ValueError(6000 * "x")  # a value needs no more room than a running trial has
        time.sleep(0.3)
        values.append(x + y)
        return values[-1]

    with ThreadPoolExecutor(4) as pool:
        options = {**RANDOM, "n_parallel": 4, "executor": pool}
        search = Search(tmp_path, fun, 4, options)
        text, kept, stored = saved_when_there_is_room(search, disk, values)
    assert "is kept in memory" in text and "study.save()" in text
    assert len(kept) == 4 and len(values) == 3 and stored == {}


def assert_done(search, n_evals):
    trials = search.trials
    assert [trial.number for trial in trials] == list(range(n_evals))
    assert all(trial.state is bo.TrialState.COMPLETE for trial in trials)
    assert sorted(search.told) == [(trial.number, trial.value) for trial in trials]
    assert sorted(search.evaluated) == sorted(tuple(trial.params.values()) for trial in trials)


def test_threads(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        options = {**RANDOM, "n_parallel": 4, "executor": pool}
        search = Search(tmp_path, Bowl(tmp_path, 0.005), 24, options)
        assert search.minimize().nfev == 24
    assert_done(search, 24)


def test_searches_in_threads_of_one_process(tmp_path):
    search = Search(tmp_path, Bowl(tmp_path, 0.005), 24, RANDOM)
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(search.minimize) for _ in range(4)]
        assert len({str((r.result().fun, r.result().params)) for r in results}) == 1
    assert_done(search, 24)


def test_dask(tmp_path):
    import distributed

    options = {**RANDOM, "n_parallel": 2}
    search = Search(tmp_path, Bowl(tmp_path, 0.02), 10, options)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert search.minimize(executor=client).nfev == 10
    assert_done(search, 10)
