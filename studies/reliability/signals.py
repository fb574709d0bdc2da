"""Whether a signal at any moment ends every verb as promised (docs/reliability.md).

    python studies/reliability/signals.py [--quick] [VERB ...]

Every command is sent SIGINT, SIGTERM and SIGHUP, to the process and to its group: as soon as it
listens, and after two shares of the time that it takes undisturbed. Its exit code must be 128 + the
signal's number, its last line must say how to go on, no traceback may be shown, no process may
outlive it, and it must end within 20 s. A second signal must end it at once. What goes on is typed
again at the end, and must end well. Prints a line a promise into reports/reliability/signals.txt.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from shared import ROOT, STUDY, Tally, ended, group, last_line, run, start

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MOMENTS = {"set-up": 0.0, "early": 0.35, "later": 0.75}
"""Shares of the time that a command takes undisturbed, from when it listens."""

WITHIN, AT_ONCE = 20.0, 3.0


class Verb(NamedTuple):
    """A command; ``goes_on``: typed again it takes up what is there, and ends well."""

    words: tuple[str, ...]
    goes_on: bool = False


LONG = (
    Verb(("run", "s.toml", "--name", "cut", "--trials", "6"), goes_on=True),
    Verb(
        ("confirm", "whole", "--top", "2", "--sample", "0", "--seeds", "1", "--epochs", "30"),
        goes_on=True,
    ),
    Verb(("train", "whole", "--epochs", "60", "--name", "net"), goes_on=True),
    Verb(("replay", "bench:fashion14", "--samplers", "frontier,random", "--seeds", "4")),
    Verb(("scale", "bench-like")),
    Verb(("profile", "s.toml")),
)
SHORT = (
    Verb(("check", "s.toml")),
    Verb(("report", "whole")),
    Verb(("export", "whole", "--to", "best")),
    Verb(("predict", "whole", "picture.png")),
    Verb(("compare", "whole", "whole:least-cost")),
    Verb(("count", "densenet121")),
    Verb(("list",)),
    Verb(("status", "whole", "--watch")),
    Verb(("init", "new.toml")),
)


def main(words: Sequence[str]) -> int:
    """Prepares the runs, sends the signals, and tells."""
    quick = "--quick" in words
    chosen = [word for word in words if not word.startswith("-")]
    file = None if quick or chosen else ROOT / "reports/reliability/signals.txt"
    tally, chance = Tally(file), random.Random(15)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for verb in (*LONG, *SHORT):
            if not chosen or verb.words[0] in chosen:
                check(verb, folder, tally, chance, quick or verb in SHORT)
        if not chosen:
            budgets(folder, tally)
    return tally.total()


def prepare(folder: Path) -> None:
    """A finished run, one to scale, and a picture."""
    from PIL import Image

    (folder / "s.toml").write_text(STUDY.format(epochs=2))
    wide = STUDY.format(epochs=1).replace("[2, 4, 6]", "[1, 4, 16]")
    (folder / "bench-like.toml").write_text(wide)
    Image.new("L", (8, 8), 90).save(folder / "picture.png")
    for command in (
        ("run", "s.toml", "--name", "whole"),
        ("run", "bench-like.toml", "--scaling", "--trials", "24", "--name", "bench-like"),
    ):
        code, out, err = run(command, folder)
        if code:
            sys.exit(f"{' '.join(command)}: {code}\n{out}{err}")


def check(verb: Verb, folder: Path, tally: Tally, chance: random.Random, few: bool) -> None:
    """All signals at all moments, each to a copy of the folder, then a second one; in the end the
    same command once more."""
    with pristine(folder) as own:
        began = time.monotonic()
        process = start(verb.words, own)
        listens(process)
        started = time.monotonic() - began
        code, _, err = ended(process)
        length = time.monotonic() - began - started
    usual = (0, 1) if verb.words[0] == "confirm" else (0,)  # 1: its first network is not the best
    wrong = [] if code in usual else [f"{code}: {last_line(err)}"]
    tally.note(f"{verb.words[0]}, undisturbed", wrong, f"{length:.1f} s")
    for number, to_group, moment in cases(verb, few, chance):
        wait = MOMENTS[moment] * length * chance.uniform(0.8, 1.1)
        with pristine(folder) as own:
            once(verb, own, tally, number, to_group, moment, wait)
            if verb.goes_on and moment == "later" and number == signal.SIGTERM:
                code, _, err = run(verb.words, own)
                wrong = [] if code in usual else [f"{code}: {last_line(err)}"]
                tally.note(f"{verb.words[0]}, typed again", wrong)
    if not few:
        with pristine(folder) as own:
            twice(verb, own, tally, 0.5 * length)


def cases(
    verb: Verb, few: bool, chance: random.Random
) -> Iterator[tuple[signal.Signals, bool, str]]:
    """Signals, whether to the group, and moments: all of them for a search, every signal at every
    moment for what takes long, and every moment for the others."""
    for number, moment in itertools.product(SIGNALS, MOMENTS):
        if few and number != SIGNALS[list(MOMENTS).index(moment)]:
            continue
        whole = verb.words[0] == "run" and not few
        for to_group in (False, True) if whole else (chance.random() < 0.5,):
            yield number, to_group, moment


@contextlib.contextmanager
def pristine(folder: Path) -> Iterator[Path]:
    """A copy of the prepared folder, for one command."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(shutil.copytree(folder, Path(name) / "own"))


def listens(process) -> None:
    """Returns when the process has handlers of its own for SIGTERM, or has ended."""
    bit = 1 << (signal.SIGTERM - 1)
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            return
        caught = next(line for line in lines if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) & bit:
            return
        time.sleep(0.002)


def send(process, number: signal.Signals, to_group: bool) -> None:
    """The signal; a process that has ended is none."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if to_group else os.kill)(process.pid, number)


def once(
    verb: Verb, folder: Path, tally: Tally, number, to_group: bool, moment: str, wait: float
) -> None:
    """One signal."""
    process = start(verb.words, folder)
    listens(process)
    time.sleep(wait)
    what = f"{verb.words[0]}, {moment}: {number.name} to the {'group' if to_group else 'process'}"
    over = process.poll() is not None
    sent = time.monotonic()
    send(process, number, to_group)
    code, out, err = ended(process, 60)
    took = time.monotonic() - sent
    done = code == 0 or (code == -number and moment == "later" and out)  # Python itself was ending
    if over or (done and took < 1.0):
        code = 0 if done else code
        tally.note(f"{what} (had ended)", [] if code in (0, 1) else [f"exit code {code}"])
        return
    wrong = faults(process.pid, code, err, number, took, WITHIN)
    tally.note(what, wrong, f"{code} in {took:.1f} s")


def twice(verb: Verb, folder: Path, tally: Tally, wait: float) -> None:
    """Two signals, the second of another kind: the first one's code, at once."""
    process = start(verb.words, folder)
    listens(process)
    time.sleep(wait)
    send(process, signal.SIGTERM, True)
    time.sleep(0.5)
    over = process.poll() is not None
    sent = time.monotonic()
    send(process, signal.SIGINT, True)
    code, _, err = ended(process, 60)
    took = time.monotonic() - sent
    wrong = faults(process.pid, code, err, signal.SIGTERM, took, AT_ONCE)
    told = " (had ended by the first)" if over else ""
    tally.note(f"{verb.words[0]}: SIGINT after SIGTERM{told}", wrong, f"{code} in {took:.1f} s")


def faults(
    leader: int, code: int, err: str, number: signal.Signals, took: float, most: float
) -> list[str]:
    """What is not as promised."""
    wrong = []
    if code != 128 + number:
        wrong.append(f"exit code {code}")
    if "to go on:  dnsearch " not in last_line(err):
        wrong.append(f"last line: {last_line(err)[:80]!r}")
    if "Traceback" in err:
        wrong.append("a traceback")
    if took > most:
        wrong.append(f"took {took:.1f} s")
    until = time.monotonic() + 2
    while (left := group(leader)) and time.monotonic() < until:
        time.sleep(0.05)
    if left:
        wrong.append(f"{len(left)} processes outlive it")
    return wrong


def budgets(folder: Path, tally: Tally) -> None:
    """A run whose budget ended is a success."""
    for option in (("--time", "6s"), ("--trials", "3")):
        with pristine(folder) as own:
            code, _, err = run(("run", "s.toml", *option), own)
        wrong = [] if code == 0 else [f"{code}: {last_line(err)}"]
        tally.note(f"run {' '.join(option)}: exit code 0", wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
