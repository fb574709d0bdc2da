import subprocess
import sys

import pytest

import dnsearch.data


def test_no_heavy_package_is_imported():
    program = """
import sys
from dnsearch.config import DataConfig
from dnsearch.data import prepare
prepare(DataConfig())
print(*{"torch", "pandas", "pyarrow"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_public_names_resolve():
    assert all(getattr(dnsearch.data, name) for name in dnsearch.data.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        dnsearch.data.nothing  # noqa: B018
