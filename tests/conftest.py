"""One thread a test process, and no test of PostgreSQL where there is no server.

Small matrices gain nothing from more threads; `pytest -n` runs several processes.
"""

import gc
import os

import jaxtyping
import pytest
import sampled_checks

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

_LEFT_OUT = pytest.StashKey[int]()


def pytest_configure(config):
    if config.option.markexpr == "not slow":  # `make test`; else every call is checked
        jaxtyping.jaxtyped = sampled_checks.jaxtyped


def pytest_collection_finish():
    """What is imported now stays: a collection of garbage need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before the fixtures of the test
def pytest_runtest_setup(item):
    sampled_checks.new_test()


@pytest.hookimpl(trylast=True)  # `-m` and `-k` choose first: what they drop is not counted here
def pytest_collection_modifyitems(config, items):
    if "BAYESOPT_POSTGRES_URL" in os.environ:
        return
    left_out = [item for item in items if item.get_closest_marker("postgres")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("postgres")]
        config.hook.pytest_deselected(items=left_out)
    config.stash[_LEFT_OUT] = len(left_out)


# With xdist the workers collect, all the same tests, and the process that reports does not.
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    output = getattr(node, "workeroutput", {})  # a worker that crashed has none
    node.config.stash[_LEFT_OUT] = output.get("left_out", node.config.stash.get(_LEFT_OUT, 0))


def pytest_terminal_summary(terminalreporter, config):
    if count := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} tests of PostgreSQL deselected; to run them: scripts/with_postgres make test"
        )


@pytest.fixture
def few_cheap_points(monkeypatch):
    """Searches for failures with fewer of the points that cost no runs, to be quick."""
    from uq.proposals import spiked_fits
    from uq.reliability import cheap_probabilities, exploration, failure_density

    monkeypatch.setattr(cheap_probabilities, "_MOST", 12)
    monkeypatch.setattr(exploration, "_CHEAP", 1024)
    monkeypatch.setattr(exploration, "_PARTICLES", 300)
    monkeypatch.setattr(exploration, "_LAST_PARTICLES", 500)
    monkeypatch.setattr(exploration, "_LAST_FITS", 1)
    monkeypatch.setattr(failure_density, "_CHEAP", 1024)
    monkeypatch.setattr(spiked_fits, "_ROUNDS", 10)
    monkeypatch.setattr(spiked_fits, "_ROUNDS_OF_CHOICE", 4)
