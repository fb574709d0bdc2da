"""What tests of several machines need. Where it must be there, as in CI, its lack is a failure."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable

import pytest


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
