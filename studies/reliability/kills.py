"""Whether kills at any moment cost a command nothing but time (docs/reliability.md).

    python studies/reliability/kills.py [--seed 0] [WORD ...]

100 kills (SIGKILL) of a command's workers, of its coordinator, or of its whole group, at moments
drawn evenly over what it does: as it sets up, in the middle of a search, while a report is written,
and in confirm, train, scale and export. After each one no process may be left, all that was stored
before must be there as it was, and no training may be stored twice. The same command is typed
again, and killed again; in the end it must end well, with the same results and the same files as
one that nobody disturbed, and nothing else in the folder, the cache or that for temporary files. A
line a kill into reports/reliability/kills.txt. WORD chooses the lines whose names contain it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shared import ROOT, STUDY, Tally, ended, group, last_line, run, start

sys.path.insert(0, str(ROOT))

import torch

from dnsearch.errors import DnsearchError
from dnsearch.files import read_json, require_as_listed
from dnsearch.rundir import RunDir
from dnsearch.search.database import has_no_study
from dnsearch.search.evaluators.base import CONFIRM, REFERENCES, SEARCH
from dnsearch.search.store import StudyStore
from dnsearch.training.trainer import _read as read_training_state

EPOCHS, TRIALS = 8, 24
ORPHANS_SECONDS = 20.0
"""In which the workers of a killed coordinator must end; one may be in the middle of an epoch."""

COORDINATOR, GROUP = "coordinator", "group"
TOGETHER = GROUP, GROUP, COORDINATOR

State = dict[Any, tuple[int, str]]
"""What is stored, by what tells it from all else: the number of its trial, and what came out."""


class Verb(NamedTuple):
    """A command: how often it is killed, what it is typed in, and what must then stand in there.

    ``whole``: begins with a finished run. ``span``: of seconds, within which a kill comes; None is
    the time that the undisturbed command takes. ``state``: what of a folder may only grow.
    """

    name: str
    words: tuple[str, ...]
    kills: int
    whole: bool
    span: float | None
    state: Callable[[Path], State]


def stored(folder: Path) -> State:
    """The trainings in the storages of a folder. Raises DnsearchError where one is damaged, and
    ValueError where one is stored twice."""
    found: State = {}
    for database in sorted(folder.glob("reports/*/study.db")):
        if has_no_study(database):
            continue
        store = StudyStore(
            RunDir(database.parent), names=(SEARCH, REFERENCES, CONFIRM), read_only=True
        )
        for record in store.records():
            job = record.job
            name = database.parent.name, job.study, job.arch.key, job.rung, job.seed
            if name in found:
                raise ValueError(f"{name} is stored twice")
            score = record.score
            came_out = score.failure, score.error, score.loss, record.values
            found[name] = job.trial, repr(came_out)
    return found


def trained(folder: Path) -> State:
    """The epochs of a training of one network that are in its checkpoint."""
    found: State = {}
    for file in folder.glob("reports/net/checkpoints/*/*.pt"):
        for point in read_training_state(file, torch.device("cpu"))["curve"]:
            found["epoch", point["epoch"]] = 0, repr(point["error"])
    return found


def pages(folder: Path) -> State:
    """The run, of which a page and its figures are there as a whole; not which, since they are
    written anew."""
    for page in folder.glob("reports/*/report.html"):
        if not page.read_text("utf-8").rstrip().endswith("</html>"):
            raise ValueError(f"{page.name} is half written")
    for file in folder.glob("reports/*/**/*.json"):
        read_json(file)
    return stored(folder)


def exports(folder: Path) -> State:
    """The run; an export is there as a whole or not at all, and is moved out of the way."""
    if (best := folder / "best").exists():
        for name in read_json(best / "manifest.json", "files")["files"]:
            require_as_listed(best / name)
    return pages(folder)


CONFIRM_WORDS = ("confirm", "cut", "--top", "2", "--sample", "2", "--seeds", "1", "--epochs", "16")


def run_of(trials: int) -> tuple[str, ...]:
    """The search that is killed."""
    return ("run", "s.toml", "--name", "cut", "--trials", str(trials))


RUN = run_of(TRIALS)
VERBS = (
    Verb("run", RUN, 36, False, 10.0, stored),
    Verb("run, at its report", RUN, 8, True, None, pages),
    Verb("report", ("report", "cut"), 8, True, None, pages),
    Verb("confirm", CONFIRM_WORDS, 12, True, 10.0, stored),
    Verb("train", ("train", "cut", "--epochs", "24", "--name", "net"), 10, True, 9.0, trained),
    Verb("scale", ("scale", "cut"), 6, True, None, pages),
    Verb("export", ("export", "cut", "--to", "best"), 10, True, None, exports),
)
WORKERS = 10


class Place:
    """Where commands run: with a cache, and a folder for temporary files, of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache, self.temporary = folder, folder / "cache", folder / "tmp"
        self.temporary.mkdir()
        self.environment = {"DNSEARCH_CACHE": str(self.cache), "TMPDIR": str(self.temporary)}

    def typed(self, words: Sequence[str], own: Path) -> tuple[int, str]:
        """Runs a command to its end: exit code, and the last line of stderr."""
        code, _, err = run(words, own, self.environment)
        return code, last_line(err)

    def begun(self, words: Sequence[str], own: Path) -> subprocess.Popen[str]:
        """Starts a command."""
        return start(words, own, self.environment)

    def left(self) -> set[str]:
        """What lies in the cache and among the temporary files."""
        return {
            str(path.relative_to(self.folder))
            for place in (self.cache, self.temporary)
            for path in place.rglob("*")
        }


def names(folder: Path) -> set[str]:
    """Of all files but backups, of which there are more after more sittings."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if "backups" not in path.parts}


def outcome(folder: Path) -> Any:
    """All results in a folder; not times, places, and numbers of trials, of which one that a kill
    has cut off keeps its own."""
    trainings = stored(folder) | trained(folder)
    found: list[Any] = [sorted((name, told) for name, (_, told) in trainings.items())]
    for file in sorted(folder.glob("reports/net/result.json")):
        result = read_json(file)
        found.append([result["test"], result["validation"], result["cost"]])
    for file in sorted(folder.glob("best/manifest.json")):
        files = read_json(file)["files"]
        found.append({n: files[n]["sha256"] for n in ("model.safetensors", "network.py")})
    files = sorted(folder.glob("reports/*/scaling.json"))
    told = [{k: v for k, v in read_json(file).items() if "second" not in k} for file in files]
    return [*found, json.dumps(told)]


def killed(process: subprocess.Popen[str], whom: str) -> list[str]:
    """Kills it; what is not as promised of what is left."""
    kill = os.killpg if whom == GROUP else os.kill
    kill(process.pid, signal.SIGKILL)
    process.communicate()
    until = time.monotonic() + ORPHANS_SECONDS
    while (alive := group(process.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{len(alive)} processes outlive it"] if alive else []


def lost(verb: Verb, own: Path, before: State) -> tuple[list[str], State]:
    """What is wrong with what is stored after a kill, and what that is."""
    try:
        now = verb.state(own)
    except (DnsearchError, ValueError) as error:
        return [str(error)], before
    gone = [name for name, value in before.items() if now.get(name) != value]
    return [f"lost or changed: {gone[:3]}"] if gone else [], now


def again_and_again(
    verb: Verb, place: Place, own: Path, usual: Usual, tally: Tally, chance
) -> None:
    """Kills a command as often as it says, typing it again each time, and lets it end at last."""
    span, before, number = verb.span or usual.seconds, verb.state(own), 0
    while number < verb.kills:
        whom, wait = chance.choice(TOGETHER), chance.uniform(0.0, span)
        process = place.begun(verb.words, own)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
        if process.poll() is not None:
            code, _, err = ended(process)
            if code not in usual.codes:
                tally.note(f"{verb.name}, typed again", [f"{code}: {last_line(err)}"])
                return
            span *= 0.9  # it has become faster
            if verb.name == "export":
                shutil.rmtree(own / "best")
            continue
        number += 1
        wrong = killed(process, whom)
        more, before = lost(verb, own, before)
        tally.note(f"{verb.name}, kill {number}: its {whom}", wrong + more, f"after {wait:.1f} s")
        if verb.name == "export" and (own / "best").exists():
            shutil.rmtree(own / "best")
    code, line = place.typed(verb.words, own)
    wrong = [] if code in usual.codes else [f"{code}: {line}"]
    wrong += lost(verb, own, before)[0] + differences(own, usual.folder)
    wrong += [f"left: {sorted(more)[:3]}"] if (more := place.left() - usual.left) else []
    tally.note(f"{verb.name}, typed again to its end", wrong)


class Usual(NamedTuple):
    """An undisturbed command: exit codes, its folder, seconds, and what it leaves elsewhere."""

    codes: tuple[int, ...]
    folder: Path
    seconds: float
    left: set[str]


def undisturbed(verb: Verb, place: Place, own: Path) -> Usual:
    """Runs it in a folder of its own; a confirmation may find that its first network is not the
    best, exit code 1."""
    began = time.monotonic()
    code, line = place.typed(verb.words, own)
    if code and (verb.words[0], code) != ("confirm", 1):
        sys.exit(f"{verb.name}, undisturbed: {code}: {line}")
    return Usual((code,), own, time.monotonic() - began, place.left())


def differences(own: Path, other: Path) -> list[str]:
    """Between a folder in which a command was killed and that of an undisturbed one."""
    found = []
    if more := names(own) - names(other):
        found.append(f"left: {sorted(more)[:3]}")
    if less := names(other) - names(own):
        found.append(f"missing: {sorted(less)[:3]}")
    if outcome(own) != outcome(other):
        found.append("other results than without kills")
    return found


def workers(place: Place, own: Path, tally: Tally, chance: random.Random) -> None:
    """Kills workers of one search, which goes on; what failed by that gets another chance."""
    process, number = place.begun(RUN, own), 0
    while number < WORKERS and process.poll() is None:
        reached = len(stored(own)) + 1
        while process.poll() is None and not (alive := children(process.pid)):
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.0, 4.0))
        before = stored(own)
        if not (alive := children(process.pid)):
            continue
        os.kill(chance.choice(alive), signal.SIGKILL)
        number += 1
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until and len(stored(own)) < reached:
            time.sleep(0.2)
        now, wrong = stored(own), []
        if process.poll() is not None:
            wrong = [f"the search ended: {process.returncode}"]
        elif len(now) < reached:
            wrong = ["it does not go on"]
        if any(now.get(name) != value for name, value in before.items()):
            wrong.append("lost or changed")
        tally.note(f"run, kill {number}: one of its workers", wrong, f"{len(now)} stored")
    code, _, err = ended(process)
    wrong = [] if code == 0 and "Traceback" not in err else [f"{code}: {last_line(err)}"]
    code, line = place.typed((*RUN, "--retry-failed"), own)
    wrong += [] if code == 0 else [f"{code}: {line}"]
    _, out, _ = run(("status", "cut", "--json"), own, place.environment)
    told = json.loads(out)
    if (told["trained"], told["failed"]) != (TRIALS, 0):
        wrong.append(f"{told['trained']} trained, {told['failed']} failed")
    tally.note("run with killed workers, typed again to its end", wrong)


def children(leader: int) -> list[int]:
    """The worker processes of a coordinator."""
    found = []
    for pid in group(leader):
        with contextlib.suppress(OSError):
            if b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@contextlib.contextmanager
def copied(folder: Path) -> Iterator[Path]:
    """A copy of a prepared folder."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(shutil.copytree(folder, Path(name) / "own"))


def main(words: Sequence[str]) -> int:
    """Prepares, kills, and tells."""
    seed = int(words[words.index("--seed") + 1]) if "--seed" in words else 0
    chosen = [word for word in words if not word.startswith("-") and not word.isdecimal()]
    tally = Tally(None if chosen else ROOT / "reports/reliability/kills.txt")
    with tempfile.TemporaryDirectory() as name:
        place, new, finished = Place(Path(name)), Path(name, "new"), Path(name, "finished")
        new.mkdir()
        (new / "s.toml").write_text(
            STUDY.format(epochs=EPOCHS).replace("workers = 2", "workers = 1")
        )
        shutil.copytree(new, finished)
        if (code_line := place.typed(RUN, finished))[0]:
            sys.exit(f"the search to be confirmed: {code_line}")
        for verb in VERBS:
            if not all(word in verb.name for word in chosen):
                continue
            begin = finished if verb.whole else new
            with copied(begin) as other, copied(begin) as own:
                usual = undisturbed(verb, place, other)
                chance = random.Random(f"{verb.name} {seed}")
                again_and_again(verb, place, own, usual, tally, chance)
        if all(word in "run workers" for word in chosen):
            with copied(new) as own:
                workers(place, own, tally, random.Random(f"workers {seed}"))
    return tally.total()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
