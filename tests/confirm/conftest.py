"""Shared by the tests of what is confirmed: a search that has ended."""

import pytest

from dnsearch.rundir import RunDir

from .test_run import searched


@pytest.fixture(scope="module")
def search_ended(tmp_path_factory) -> RunDir:
    run = RunDir(tmp_path_factory.mktemp("searched") / "run")
    searched(run)
    return run
