"""PostgreSQL databases for tests marked `postgres`: each test has a fresh one of its own.

A test that asks for `restart_postgres` as well gets its database from a server of its own, so that
the crash disturbs no test in another process.
"""

import os
import subprocess
import uuid
from pathlib import Path
from types import SimpleNamespace

# What is first imported while jaxtyping's hook loads a module of ours is compiled anew each time.
import botorch  # noqa: F401
import pytest
import scipy.optimize
import scipy.stats  # noqa: F401

WITH_POSTGRES = Path(__file__).parents[2] / "scripts" / "with_postgres"


@pytest.fixture
def postgres_url(request):
    """The URL of an empty database, for SQLAlchemy."""
    import psycopg
    from sqlalchemy import make_url

    if "restart_postgres" in request.fixturenames:
        server = request.getfixturevalue("own_postgres").url
    else:
        server = os.environ["BAYESOPT_POSTGRES_URL"]
    plain = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def restart_postgres(own_postgres):
    """Crash the server of `postgres_url`; return when it accepts connections again."""
    return lambda: subprocess.run([own_postgres.restart], check=True, timeout=120)


@pytest.fixture(scope="session")
def own_postgres():
    # The server ends when `cat` does: with this process, however it ends.
    command = 'echo "$BAYESOPT_POSTGRES_URL" && echo "$BAYESOPT_POSTGRES_RESTART" && cat'
    with subprocess.Popen(
        [WITH_POSTGRES, "bash", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        url, restart = process.stdout.readline().strip(), process.stdout.readline().strip()
        assert restart, "scripts/with_postgres started no server"
        yield SimpleNamespace(url=url, restart=restart)
        process.terminate()  # a forked child may still hold the pipe that `cat` reads
