"""The server that `scripts/with_postgres` starts, and the databases that tests get on it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

pytestmark = pytest.mark.postgres

WITH_POSTGRES = Path(__file__).parents[2] / "scripts" / "with_postgres"


def query(url, statement):
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return connection.execute(text(statement)).scalar_one()


@pytest.fixture
def table(postgres_url):
    with create_engine(postgres_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE runs (y float)"))
        connection.execute(text("INSERT INTO runs VALUES (0.5)"))


@pytest.mark.parametrize("run", [1, 2])
def test_each_test_has_an_empty_database(postgres_url, run):
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert query(postgres_url, tables) == 0
    with create_engine(postgres_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE runs (y float)"))
    assert query(postgres_url, tables) == 1


def test_what_is_committed_survives_a_crash(restart_postgres, postgres_url, table):
    started = "SELECT pg_postmaster_start_time()"
    before = query(postgres_url, started)
    with create_engine(postgres_url, poolclass=NullPool).connect() as connection:
        restart_postgres()
        with pytest.raises(OperationalError):
            connection.execute(text("SELECT 1"))
    assert query(postgres_url, started) > before
    assert query(postgres_url, "SELECT y FROM runs") == 0.5
    assert query(postgres_url, "SHOW fsync") == "on"


def test_the_server_that_restarts_is_not_the_one_that_tests_share(restart_postgres, postgres_url):
    assert make_url(postgres_url).port != make_url(os.environ["BAYESOPT_POSTGRES_URL"]).port


@pytest.mark.slow
def test_the_exit_code_is_that_of_the_command():
    assert subprocess.run([WITH_POSTGRES, "bash", "-c", "exit 7"], timeout=60).returncode == 7


@pytest.mark.slow
def test_nothing_is_left_when_it_is_terminated():
    command = 'echo "$BAYESOPT_POSTGRES_URL" && echo "$BAYESOPT_POSTGRES_RESTART" && exec sleep 60'
    with subprocess.Popen(
        [WITH_POSTGRES, "bash", "-c", command], stdout=subprocess.PIPE, text=True
    ) as process:
        url, restart = process.stdout.readline().strip(), process.stdout.readline().strip()
        assert query(url, "SELECT 1") == 1
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert not Path(restart).parent.exists()
    with pytest.raises(OperationalError):
        query(url, "SELECT 1")
