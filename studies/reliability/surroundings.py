"""Whether every verb ends in a line wherever it is run, and whatever it is pointed at
(docs/reliability.md).

    python studies/reliability/surroundings.py [WORD ...]

Every verb with files that are none (pipes that nobody writes into, devices, folders, names 3,000
folders deep), without a home, in the C locale on an ASCII terminal, and with its standard streams
closed. It must end within a minute, with exit code 0 or 1, or 2 or 3 and one line that says why,
and no traceback. A line a case into reports/reliability/surroundings.txt; WORD chooses the lines
whose names contain it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from shared import ROOT, STUDY, Tally, last_line, run

SECONDS = 60
DEEP = "/".join(["deep"] * 3000)
ENDS = {
    "an empty pipe": "pipe",
    "/dev/stdin, closed": "/dev/stdin",
    "/dev/zero": "/dev/zero",
    "/dev/full": "/dev/full",
    "/dev/null": "/dev/null",
    "a folder": "folder",
    "a hyphen": "-",
    "3,000 folders deep": f"{DEEP}/s.toml",
    "a name of 5,000 letters": "n" * 5000,
    "a name that is no text": b"\xff\xfe.toml".decode("utf-8", "surrogateescape"),
    "a broken link": "broken",
    "a link to itself": "circle",
}
"""Files that are none, as an argument."""

WRITES = "init", "--to", "--csv"
"""Before a name that is written to: the pipe stands for all that must not be replaced."""

EMPTY = "/dev/stdin, closed", "/dev/null"

FILES = (
    ("check", "{}"),
    ("run", "{}", "--trials", "1"),
    ("confirm", "{}"),
    ("init", "{}"),
    ("count", "{}"),
    ("report", "{}"),
    ("status", "{}"),
    ("compare", "{}", "densenet121"),
    ("profile", "{}"),
    ("replay", "{}"),
    ("scale", "{}"),
    ("export", "{}", "--to", "new"),
    ("export", "cut", "--to", "{}"),
    ("predict", "{}", "picture.png"),
    ("predict", "best", "{}"),
    ("predict", "best", "picture.png", "--csv", "{}"),
    ("train", "{}"),
    ("train", "densenet-40-12", "--study", "{}"),
    ("check", "npz.toml"),
    ("check", "pictures.toml"),
)
"""Verbs that are handed one; the last two are pointed at a pipe by a study."""

PLAIN = (
    ("check", "s.toml"),
    ("run", "s.toml", "--name", "new", "--trials", "1"),
    ("confirm", "cut", "--top", "1", "--sample", "0", "--seeds", "1", "--epochs", "1"),
    ("init", "new.toml"),
    ("count", "densenet-40-12"),
    ("report", "cut"),
    ("list",),
    ("status", "cut"),
    ("compare", "cut", "cut:least-cost"),
    ("scale", "cut"),
    ("export", "cut", "--to", "new"),
    ("predict", "best", "picture.png"),
    ("train", "cut", "--epochs", "1", "--name", "net"),
    ("--help",),
    ("--version",),
)
"""Every verb as usual, but for those that take minutes."""

ASCII: Mapping[str, str] = {
    "LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0", "TERM": "dumb", "COLUMNS": "40",
}  # fmt: skip
HOMELESS: Mapping[str, str | None] = {"HOME": None, "XDG_CACHE_HOME": None, "USER": None}


class Case(NamedTuple):
    """A command, what of the environment is changed (None: taken away), a shell's redirections."""

    name: str
    words: tuple[str, ...]
    environment: Mapping[str, str | None] = {}
    streams: str = ""


def cases() -> Iterator[Case]:
    """All of them."""
    for words in FILES:
        own = ENDS.items() if "{}" in words else (("a pipe in it", ""),)
        for what, end in own:
            if words[0] in ("profile", "train") and what in EMPTY:
                continue  # an empty study is one, and takes minutes
            if words[-1] == "{}" and words[-2] in WRITES and end.startswith("/dev/"):
                continue  # lest a fault here replace the machine's own
            said = " ".join(words).replace("{}", what)
            yield Case(said, tuple(end if word == "{}" else word for word in words))
    for words in PLAIN:
        said = " ".join(words[:1])
        yield Case(f"{said}, C locale, ASCII terminal", words, ASCII)
        yield Case(f"{said}, no home", words, HOMELESS)
        yield Case(f"{said}, streams closed", words, {}, "<&- >&- 2>&-")


def prepare(folder: Path) -> None:
    """A finished run, an export, a picture, and files that are none."""
    from PIL import Image

    text = STUDY.format(epochs=4)
    (folder / "s.toml").write_text(text)
    for name, kind, place in (("npz", "npz", "x.npz"), ("pictures", "folder", "folder")):
        data = f'[data]\nformat = "{kind}"\npath = "{place}"\n'
        (folder / f"{name}.toml").write_text(data)
    Image.new("L", (8, 8), 90).save(folder / "picture.png")
    for name in ("folder/a", "folder/b"):
        (folder / name).mkdir(parents=True)
        os.mkfifo(folder / name / "1.png")
    for name in ("pipe", "x.npz"):
        os.mkfifo(folder / name)
    (folder / "broken").symlink_to("nowhere")
    (folder / "circle").symlink_to("circle")
    for words in (
        ("run", "s.toml", "--name", "cut", "--trials", "12"),
        ("export", "cut", "--to", "best"),
    ):
        code, out, err = run(words, folder)
        if code:
            sys.exit(f"{' '.join(words)}: {code}\n{out}{err}")


def tried(case: Case, folder: Path) -> tuple[list[str], str]:
    """Runs it; what is not as promised, and its exit code."""
    given: dict[str, str | None] = {**os.environ, "PYTHONPATH": str(ROOT), **case.environment}
    environment = {name: value for name, value in given.items() if value is not None}
    shell = f'exec "$@" {case.streams or "</dev/null"}'
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "dnsearch", *case.words]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return [f"still running after {SECONDS} s"], ""
    said = done.stderr.decode("utf-8", "replace")
    wrong = []
    if done.returncode not in (0, 1, 2, 3):
        wrong.append(f"exit code {done.returncode}: {last_line(said)[:200]}")
    elif done.returncode and not case.streams and not last_line(said).startswith("dnsearch: "):
        wrong.append(f"last line: {last_line(said)[:200]!r}")
    if "Traceback" in said:
        wrong.append("a traceback")
    if (case.environment or case.streams) and done.returncode:
        wrong.append(f"exit code {done.returncode}: {last_line(said)[:200]}")
    return wrong, f"{done.returncode} in {time.monotonic() - began:.1f} s"


def main(words: Sequence[str]) -> int:
    """Prints a line a case."""
    tally = Tally(None if words else ROOT / "reports/reliability/surroundings.txt")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for case in cases():
            if all(word in case.name for word in words):
                wrong, figures = tried(case, folder)
                if not (folder / "pipe").is_fifo():
                    wrong.append("replaced the pipe")
                    os.remove(folder / "pipe")
                    os.mkfifo(folder / "pipe")
                tally.note(case.name, wrong, figures)
                tidy(folder)
    return tally.total()


def tidy(folder: Path) -> None:
    """Takes away what a command has made, so that each begins alike."""
    for name in ("new", "new.toml", "reports/new", "reports/net", "deep", "-"):
        subprocess.run(["rm", "-rf", "--", name], cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
