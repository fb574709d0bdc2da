"""What tests of several machines need. Where it must be there, as in CI, its lack is a failure."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are those of `make test-cluster`, and not of `make test`."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("cluster")


def lacking(what: str) -> None:
    """Skips the test for want of this; fails it where CLUSTER_TESTS is ``required``."""
    if os.environ.get("CLUSTER_TESTS") == "required":
        pytest.fail(f"CLUSTER_TESTS is 'required', and there is no {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def require_package() -> Callable[[str], None]:
    """Asks for a package, see ``lacking``."""

    def require(name: str) -> None:
        if importlib.util.find_spec(name) is None:
            lacking(f"package {name}")

    return require


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], None]:
    """Asks for a program; without it a test is skipped, even in CI."""

    def require(name: str) -> None:
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}")

    return require


@pytest.fixture(scope="session")
def server(require_package) -> Iterator:
    """Runs between tests; one that kills it starts it again."""
    require_package("psycopg")
    if not BINARIES:
        lacking("PostgreSQL (on Debian: apt-get install postgresql)")
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
