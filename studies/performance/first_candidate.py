"""Seconds from `dnsearch run` to the first finished candidate of the quickstart study.

    python studies/performance/first_candidate.py

Once on a machine that has never compiled the kernels, then as always after that.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import Record

ROUNDS, MOST = 3, 15.0
FIRST = re.compile(r"^\s*1/\d+ ")


def first(folder: Path, cache: Path) -> float:
    """Seconds until the first line of a finished candidate."""
    command = [str(Path(sys.executable).parent / "dnsearch"), "run", "--name", "first"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "--to", str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if FIRST.match(line):
                seconds = time.perf_counter() - started
                process.terminate()
                return seconds
    raise SystemExit("dnsearch ended without a candidate")


def main() -> None:
    """Measures and prints."""
    say = Record("first_candidate", "python studies/performance/first_candidate.py")
    with tempfile.TemporaryDirectory() as cache:
        seconds = []
        for _ in range(ROUNDS + 1):
            with tempfile.TemporaryDirectory() as folder:
                seconds.append(first(Path(folder), Path(cache)))
    compiled, usual = seconds[0], float(np.median(seconds[1:]))
    say(f"first run on a machine, kernels compiled   {compiled:5.1f} s")
    say(f"later runs, median of {ROUNDS}                    {usual:5.1f} s")
    say(f"demanded: under {MOST:g} s; {'met' if max(compiled, usual) < MOST else 'not met'}")
    say.write()


if __name__ == "__main__":
    main()
