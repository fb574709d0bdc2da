"""Whether a machine that breaks costs a search nothing but time (docs/reliability.md).

    python studies/reliability/machines.py [WORD ...]

Each line is a promise: a search on a machine that is broken in one way (broken/sitecustomize.py)
ends with the right exit code and one last line, no candidate is lost, and the same command goes on
once the machine is repaired. WORD chooses the lines whose names contain it. Written into
reports/reliability/machines.txt. Full disks need the right to mount one (root on Linux).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from shared import ROOT, STUDY, Tally, last_line, run

BROKEN = Path(__file__).parent / "broken"
COMMAND = ("run", "s.toml", "--name", "x", "--trials", "6")


class Ended(NamedTuple):
    """A command: exit code, last line on stderr, whether there was a traceback, seconds."""

    code: int
    line: str
    traceback: bool
    seconds: float


def typed(folder: Path, mode: str = "", words: Sequence[str] = COMMAND) -> Ended:
    """Runs a command on a machine that is broken in this way, on a sound one without."""
    environment: Mapping[str, str] = {}
    if mode:
        paths = f"{BROKEN}:{ROOT}"
        environment = {
            "BROKEN": mode,
            "BROKEN_COUNT": str(folder / "count"),
            "PYTHONPATH": paths,
        }
    began = time.monotonic()
    code, _, err = run(words, folder, environment)
    return Ended(code, last_line(err), "Traceback" in err, time.monotonic() - began)


def standing(folder: Path) -> dict[str, int]:
    """What of the search is trained, and what failed."""
    code, out, err = run(("status", "x", "--json"), folder)
    return json.loads(out) if code == 0 else {"trained": -1, "failed": -1, "error": err}


def wrong(ended: Ended, code: int, pattern: str, within: float = 300.0) -> list[str]:
    """What is not as promised of how a command ended."""
    found = []
    if ended.code != code:
        found.append(f"exit code {ended.code}, not {code}")
    if not re.search(pattern, ended.line):
        found.append(f"last line: {ended.line[:120]!r}")
    if ended.traceback:
        found.append("a traceback")
    if ended.seconds > within:
        found.append(f"took {ended.seconds:.0f} s")
    return found


def repaired(folder: Path) -> list[str]:
    """The same command on a sound machine: all six candidates, none of them failed."""
    found = wrong(typed(folder), 0, "")
    told = standing(folder)
    if (told["trained"], told["failed"]) != (6, 0):
        found.append(f"repaired: {told['trained']} trained, {told['failed']} failed")
    return found


def never_starts(mode: str, pattern: str) -> Callable[[Path], list[str]]:
    """Workers that cannot start: exit code 3 within a minute."""

    def promise(folder: Path) -> list[str]:
        # a minute from when workers are started, which itself takes a few seconds
        found = wrong(typed(folder, mode), 3, pattern, within=75)
        return found + repaired(folder)

    return promise


def breaks(mode: str, pattern: str) -> Callable[[Path], list[str]]:
    """A machine that breaks after three good candidates: exit code 3, the others stay untried."""

    def promise(folder: Path) -> list[str]:
        found = wrong(typed(folder, mode), 3, pattern)
        told = standing(folder)
        if (told["trained"], told["failed"]) != (3, 0):
            found.append(f"{told['trained']} trained, {told['failed']} failed")
        again = typed(folder, mode)  # broken still
        return found + wrong(again, 3, pattern) + repaired(folder)

    return promise


def all_fail(folder: Path) -> list[str]:
    """Exit code 1 and the reason; then another chance."""
    found = wrong(typed(folder, "memory:0"), 1, "failed and none finished: out of memory")
    found += wrong(typed(folder), 1, "failed and none finished: out of memory")
    found += wrong(typed(folder, words=(*COMMAND, "--retry-failed")), 0, "")
    told = standing(folder)
    if told["failed"] or told["trained"] < 5:
        found.append(f"{told['trained']} trained, {told['failed']} failed")
    return found


def some_fail(folder: Path) -> list[str]:
    """Candidates that lack memory are failures, and get another chance where it is asked for."""
    found = wrong(typed(folder, "memory:3"), 0, "")
    if (told := standing(folder))["failed"] != 3:
        found.append(f"{told['failed']} failed, not 3")
    found += wrong(typed(folder, words=(*COMMAND, "--retry-failed")), 0, "")
    return found + repaired(folder)


def clock(folder: Path) -> list[str]:
    """A clock that is set forward by two days changes nothing."""
    found = wrong(typed(folder, "clock"), 0, "")
    told = standing(folder)
    if (told["trained"], told["failed"]) != (6, 0):
        found.append(f"{told['trained']} trained, {told['failed']} failed")
    return found


def full_disk(place: str, code: int, pattern: str) -> Callable[[Path], list[str]]:
    """A RAM disk that is full: the runs' folder, or the system's shared memory."""

    def promise(folder: Path) -> list[str]:
        where = folder / "reports" if place == "reports" else Path(place)
        where.mkdir(exist_ok=True)
        command = " ".join([sys.executable, "-m", "dnsearch", *COMMAND])
        script = f"""
            mount -t tmpfs -o size=1m none {where} || exit 77
            head -c {600_000 if place == "reports" else 2_000_000} /dev/zero > {where}/filler
            {command} > out 2> err; echo $? > code
            rm {where}/filler; mount -o remount,size=1g {where}
            {command} > out2 2> err2; echo $? > code2
            {sys.executable} -m dnsearch status x --json > status
        """
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script], cwd=folder, capture_output=True, text=True
        )
        if done.returncode == 77 or "not permitted" in done.stderr:
            return ["not tried: no right to mount a disk"]
        read = {name: (folder / name).read_text() for name in ("code", "err", "code2", "status")}
        ended = Ended(int(read["code"]), last_line(read["err"]), "Traceback" in read["err"], 0)
        found = wrong(ended, code, pattern)
        if int(read["code2"]):
            found.append(f"repaired: exit code {read['code2'].strip()}")
        told = json.loads(read["status"])
        if (told["trained"], told["failed"]) != (6, 0):
            found.append(f"repaired: {told['trained']} trained, {told['failed']} failed")
        return found

    return promise


PROMISES: dict[str, Callable[[Path], list[str]]] = {
    "torch cannot be loaded": never_starts("torch", "cannot be loaded: libtorch_cpu.so"),
    "workers end at once": never_starts("exits", "cannot be started here: they end with exit code"),
    "workers hang at their start": never_starts("hangs", "nothing was heard of one for 45 s"),
    "a device-side assert after three candidates": breaks(
        "assert:3", "3 trainings in a row .*CUDA"
    ),
    "workers die after three candidates": breaks("dies:3", "in a row .*exit code -9"),
    "all candidates lack memory": all_fail,
    "three candidates lack memory": some_fail,
    "the clock is set forward by two days": clock,
    "the disk of the run is full": full_disk("reports", 3, "No space left|disk is full|written"),
    "shared memory is full": full_disk("/dev/shm", 0, ""),
}


def main(words: Sequence[str]) -> int:
    """Prints a line a promise."""
    tally = Tally(None if words else ROOT / "reports/reliability/machines.txt")
    for name, promise in PROMISES.items():
        if all(word in name for word in words):
            with tempfile.TemporaryDirectory() as folder:
                text = STUDY.format(epochs=2).replace("workers = 2", "workers = 1")
                Path(folder, "s.toml").write_text(text)
                began = time.monotonic()
                found = promise(Path(folder))
                tally.note(name, found, f"{time.monotonic() - began:.0f} s")
    return tally.total()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
