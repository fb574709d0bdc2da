import subprocess
import sys


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
