"""Whether a full disk costs a command nothing but time (docs/reliability.md).

    python studies/reliability/disks.py [VERB ...]

Every verb that writes is run on a RAM disk (tmpfs, mounted in a mount namespace of the script's
own, which takes root on Linux) that holds the runs, the cache and the temporary files, and has room
for nothing, or for a share of what the verb writes undisturbed. It must end with exit code 3 and
one line that says so, what was stored must be there as it was, and nothing half-written. What can
do without the file goes on without it: exit code 0. With room the same command is typed again, and
must end well, with the files of an undisturbed one. Written into reports/reliability/disks.txt.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kills import EPOCHS, State, exports, names, pages, run_of, stored, trained
from shared import ROOT, STUDY, Tally, last_line, run

SHARES = 0.0, 0.3, 0.6, 0.9
"""Of what a verb writes, there is room for."""

MB = 2**20
SIZE = 400 * MB
FULL = "No space left on device|disk is full"
TRIALS = 3


class Verb(NamedTuple):
    """A command. ``whole``: begins with a finished run. ``spares``: what it writes into the cache
    alone it can do without."""

    name: str
    words: tuple[str, ...]
    whole: bool = True
    spares: bool = False


VERBS = (
    Verb("run", run_of(TRIALS), whole=False),
    Verb("run, going on", run_of(TRIALS + 2)),
    Verb("report", ("report", "cut")),
    Verb("export", ("export", "cut", "--to", "best")),
    Verb("train", ("train", "cut", "--epochs", "4", "--name", "net")),
    Verb("confirm", ("confirm", "cut", "--top", "1", "--sample", "0", "--seeds", "1")),
    Verb("check", ("check", "s.toml"), whole=False, spares=True),
    Verb("init", ("init", "new.toml"), whole=False),
    Verb("predict", ("predict", "cut", "picture.png", "--csv", "found.csv")),
)


class Disk:
    """A RAM disk, filled and emptied at will."""

    def __init__(self, place: Path) -> None:
        self.place = place
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(place)]
        subprocess.run(mount, check=True)

    def leave(self, room: int) -> None:
        """Fills it but for this many bytes, in whole pages."""
        told = os.statvfs(self.place)
        count = max(0, told.f_bavail * told.f_frsize - room)
        with (self.place / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, count) if count else None

    def empty(self) -> None:
        """Takes the filling away."""
        (self.place / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        """Unmounts it."""
        subprocess.run(["umount", "-l", str(self.place)], check=True)


@contextlib.contextmanager
def disk() -> Iterator[Disk]:
    """A new RAM disk."""
    with tempfile.TemporaryDirectory() as name:
        made = Disk(Path(name))
        try:
            yield made
        finally:
            made.close()


def own_disks(words: Sequence[str]) -> None:
    """Goes on in a mount namespace of its own, whose disks end with it."""
    if os.environ.get("OWN_DISKS"):
        return
    os.environ["OWN_DISKS"] = "1"
    os.execvp("unshare", ["unshare", "-m", sys.executable, *words])


def typed(words: Sequence[str], folder: Path) -> tuple[int, str, bool]:
    """Runs a command: exit code, last line, and whether there was a traceback."""
    environment = {"DNSEARCH_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    code, _, err = run(words, folder, environment)
    return code, last_line(err), "Traceback" in err


def stands(folder: Path) -> State:
    """All that is stored. Raises DnsearchError or ValueError where something is half written."""
    exports(folder)
    return pages(folder) | stored(folder) | trained(folder)


def undisturbed(verb: Verb, begin: Path) -> tuple[int, set[str]]:
    """How many bytes are in the files that a verb writes, anew or again, and all that there are."""
    with disk() as own:
        folder = Path(shutil.copytree(begin, own.place / "own"))
        before = states(folder)
        code, line, _ = typed(verb.words, folder)
        if code not in (0, 1):
            sys.exit(f"{verb.name}, undisturbed: {code}: {line}")
        written = states(folder).items() - before.items()
        return sum(size for _, (_, size) in written), names(folder)


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    """Of every file when it was changed, in nanoseconds, and its bytes."""
    files = [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
    return {path: (told.st_mtime_ns, told.st_size) for path, told in files}


def full(
    verb: Verb, begin: Path, share: float, written: int, files: set[str], tally: Tally
) -> None:
    """One disk with room for this share of what the verb writes."""
    with disk() as own:
        folder = Path(shutil.copytree(begin, own.place / "own"))
        before = stands(folder)
        own.leave(int(share * written))
        code, line, traceback = typed(verb.words, folder)
        wrong = ["a traceback"] if traceback else []
        if code == 3 and not re.search(FULL, line):
            wrong.append(f"last line: {line[:200]!r}")
        elif code not in (0, 3) or (code == 0 and share == 0.0 and not verb.spares):
            wrong.append(f"{code}: {line[:200]}")
        own.empty()
        wrong += changed(before, folder)
        again, line, _ = typed(verb.words, folder)
        redone = verb.name in ("export", "init") and code == 0  # they overwrite nothing
        if again not in (0, 1) and not redone:
            wrong.append(f"with room again: {again}: {line[:200]}")
        wrong += changed(before, folder)
        if names(folder) != files:
            wrong.append(f"other files: {sorted(names(folder) ^ files)[:3]}")
    what = f"{verb.name}: room for {share:.0%} of {written / MB:.1f} MB"
    tally.note(what, wrong, f"exit code {code}")


def changed(before: State, folder: Path) -> list[str]:
    """What of all that was stored is not as it was."""
    try:
        now = stands(folder)
    except Exception as error:
        return [f"half written: {error}"]
    gone = [name for name, value in before.items() if now.get(name) != value]
    return [f"lost or changed: {gone[:3]}"] if gone else []


def standard_output(folder: Path, tally: Tally) -> None:
    """A full disk that takes what is printed."""
    for words in (("count", "densenet121"), ("status", "cut"), ("list",), ("check", "s.toml")):
        with Path("/dev/full").open("w") as out:
            command = [sys.executable, "-m", "dnsearch", *words]
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                command, cwd=folder, stdout=out, stderr=subprocess.PIPE, text=True, env=environment
            )
        line = last_line(done.stderr)
        wrong = [] if done.returncode == 3 and re.search(FULL, line) else [line]
        wrong += ["a traceback"] if "Traceback" in done.stderr else []
        tally.note(f"{words[0]}: output to a full disk", wrong, f"exit code {done.returncode}")


def main(words: Sequence[str]) -> int:
    """Prepares a run, fills the disks, and tells."""
    from PIL import Image

    tally = Tally(None if words else ROOT / "reports/reliability/disks.txt")
    with tempfile.TemporaryDirectory() as name:
        new, finished = Path(name, "new"), Path(name, "finished")
        for place in ("cache", "tmp"):
            (new / place).mkdir(parents=True)
        (new / "s.toml").write_text(
            STUDY.format(epochs=EPOCHS).replace("workers = 2", "workers = 1")
        )
        Image.new("L", (8, 8), 90).save(new / "picture.png")
        shutil.copytree(new, finished)
        if (ended := typed(run_of(TRIALS), finished))[0]:
            sys.exit(f"the search: {ended}")
        shutil.copytree(finished / "cache" / "kernels", new / "cache" / "kernels")
        for verb in VERBS:
            if words and verb.words[0] not in words:
                continue
            begin = finished if verb.whole else new
            written, files = undisturbed(verb, begin)
            for share in SHARES if written > MB / 4 else SHARES[:1]:
                full(verb, begin, share, written, files, tally)
        if not words:
            standard_output(finished, tally)
    return tally.total()


if __name__ == "__main__":
    own_disks(sys.argv)
    sys.exit(main(sys.argv[1:]))
