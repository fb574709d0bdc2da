"""What tests of several machines need: a PostgreSQL server. Where there must be one, as in CI, none
is a failure."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator:
    """Runs between tests; one that kills it starts it again."""
    lacking = None
    if importlib.util.find_spec("psycopg") is None:
        lacking = "psycopg"
    elif not BINARIES:
        lacking = "PostgreSQL (on Debian: apt-get install postgresql)"
    if lacking:
        if os.environ.get("CLUSTER_TESTS") == "required":
            pytest.fail(f"CLUSTER_TESTS is 'required', and there is no {lacking}")
        pytest.skip(f"needs {lacking}")
    from tests.cluster.postgres_server import running_server  # imports psycopg

    with running_server(BINARIES[-1]) as started:
        yield started


@pytest.fixture
def address(server, monkeypatch) -> str:
    """Of a new database, whose password is in the environment."""
    monkeypatch.setenv("PGPASSWORD", server.password)
    return server.make_database(f"runs{next(_numbers)}")


@pytest.fixture
def make_run(address, tmp_path) -> Callable:
    """A folder of this name whose results are in that database."""
    from dnsearch.rundir import RunDir
    from dnsearch.search.server import place_for

    def make(name: str = "run") -> RunDir:
        run = RunDir(tmp_path / name)
        place = place_for(run, address)
        assert place is not None
        run.note_place(place)
        return run

    return make
