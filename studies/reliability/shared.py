"""A small study and the commands on it, for the scripts that break things on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

STUDY = """
[data]
image_size = 8
train_images = 600
[space]
growth_rate = [2, 4, 6]
block_config = [[1, 2], [1, 2]]
bn_size = [0, 2]
[training]
rungs = [{epochs}]
batch_size = 32
[search]
sampler = "tpe"
trials = 4
workers = 2
device = "cpu"
"""


def start(
    words: Sequence[object], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """The command in a session of its own, which a signal to its group does not leave. Signals
    reach it although a shell, or nohup, may let what it runs in the background ignore them."""
    return subprocess.Popen(
        [sys.executable, "-m", "dnsearch", *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "OMP_NUM_THREADS": "1",
            **(environment or {}),
        },
        preexec_fn=_heed,
    )


def _heed() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def ended(process: subprocess.Popen[str], seconds: float = 300) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; it is killed where it takes too long."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        err += f"\nstill running after {seconds:g} s"
    return process.returncode, out, err


def run(
    words: Sequence[object], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Runs the command to its end."""
    return ended(start(words, folder, environment))


def last_line(text: str) -> str:
    """What a person reads last."""
    return (text.strip().splitlines() or [""])[-1]


def group(leader: int) -> list[int]:
    """The processes of a group that are alive, zombies aside."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, pgrp = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == leader and state != "Z":
            found.append(int(folder.name))
    return found


class Tally:
    """Prints a line a promise, and keeps count."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.kept, self.broken = file, 0, 0
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("")

    def say(self, line: str) -> None:
        """Prints and keeps a line."""
        print(line, flush=True)
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(f"{line}\n")

    def note(self, what: str, wrong: Sequence[str], figures: str = "") -> None:
        """A promise, and what is wrong with how it was kept."""
        self.broken += bool(wrong)
        self.kept += not wrong
        verdict = "BROKEN" if wrong else "kept  "
        self.say(f"{verdict}  {what:<52}{figures:>18}  {'; '.join(wrong)}".rstrip())

    def total(self) -> int:
        """Prints the total; the exit code."""
        self.say(f"{self.kept} of {self.kept + self.broken} promises kept")
        return 1 if self.broken else 0
