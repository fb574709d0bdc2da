"""Somebody else's run, in a folder that may only be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import snapshot

SCRIPT = """
import sys
from dnsearch.cli import main

if __name__ == "__main__":
    for line in sys.argv[1:]:
        sys.argv = ["dnsearch", *line.split()]
        try:
            main(sys.argv[1:])
        except SystemExit as ended:
            print(">>>", line, ended.code, flush=True)
"""
COMMANDS = {
    "status theirs/small": 0,
    "report theirs/small": 0,
    "export theirs/small --to best": 0,
    "replay theirs/small --seeds 1 --samplers random": 0,
    "train theirs/small: --epochs 1 --threads 1": 0,
    "confirm theirs/small": 2,
    "run small.toml --to theirs --trials 2": 2,
}


@pytest.fixture
def read_only(tmp_path, trained):
    """Types commands where the folder ``theirs`` may only be read: root may write anything that is
    not mounted so."""
    theirs = tmp_path / "theirs"
    shutil.copytree(trained.path.parent, theirs)
    shutil.copy(trained.path.parent.parent / "small.toml", tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", *COMMANDS]
    if os.geteuid() == 0:
        mount = f"mount --bind {theirs} {theirs} && mount -o remount,ro,bind {theirs}"
        command = ["unshare", "-m", "sh", "-c", f'{mount} || exit 77; exec "$@"', "sh", *command]
        if not shutil.which("unshare"):
            pytest.skip("root may write anything")
    else:
        for path in (theirs, *theirs.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

    def typed():
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        if done.returncode in (1, 77) and ">>>" not in done.stdout:
            pytest.skip("root may write anything, and no folder can be mounted")
        return done.stdout, done.stderr

    yield theirs, typed
    for path in (theirs, *theirs.rglob("*")):
        path.chmod(0o755)


def test_what_only_reads_works_and_the_rest_says_so(read_only, tmp_path):
    theirs, typed = read_only
    before = snapshot(theirs)
    out, err = typed()
    assert "Traceback" not in err
    codes = [line.removeprefix(">>> ") for line in out.splitlines() if line.startswith(">>> ")]
    assert codes == [f"{line} {code}" for line, code in COMMANDS.items()]
    assert (
        err.count("theirs/small may only be read: what is written goes to reports/small-rep") == 1
    )
    assert err.count("theirs/small: cannot be written: ") == 2
    assert (tmp_path / "reports/small-report/report.html").is_file()
    assert (tmp_path / "best/network.py").is_file()
    assert snapshot(theirs) == before
