"""Plants faults one at a time and says which of them the tests see.

    python studies/planted_faults.py [WORD ...]

Each fault replaces one piece of one file in a copy of the tree; the tests named with it must then
fail. WORD chooses the faults whose names contain it. Prints a line a fault and exits with 1 if one
of them lives; the whole takes about 20 minutes on two cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Fault(NamedTuple):
    """``old`` stands once in ``file``; ``tests`` are what pytest is asked to run."""

    name: str
    file: str
    old: str
    new: str
    tests: str


FAULTS: tuple[Fault, ...] = ()


def plantable(fault: Fault) -> bool:
    """Whether the piece to replace stands in its file exactly once."""
    return (ROOT / fault.file).read_text("utf-8").count(fault.old) == 1


def caught(fault: Fault) -> bool:
    """Whether the fault's tests fail once it is planted in a copy of the tree."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("dnsearch", "tests", "studies", "pyproject.toml", "README.md"):
            source, copy = ROOT / name, Path(folder, name)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        planted = Path(folder, fault.file)
        planted.write_text(planted.read_text("utf-8").replace(fault.old, fault.new), "utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        environment = os.environ | {"PYTHONPATH": folder}
        ended = subprocess.run(
            [*command, *fault.tests.split()],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if ended.returncode not in (0, 1):  # 1: tests failed; others: they could not be run
        sys.exit(f"{fault.name}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return ended.returncode == 1


def main(words: Sequence[str]) -> int:
    """Prints what became of each fault; returns 1 if one lives."""
    chosen = [fault for fault in FAULTS if all(word in fault.name for word in words)]
    lived = 0
    for fault in chosen:
        if not plantable(fault):
            sys.exit(f"{fault.name}: the piece to replace must stand once in {fault.file}")
        seen = caught(fault)
        lived += not seen
        print(f"{'caught' if seen else 'LIVES '}  {fault.name}  ({fault.file})", flush=True)
    print(f"{len(chosen) - lived} of {len(chosen)} faults caught")
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
