"""A run's folder: its name, its lock, where each file lies, and writing that is all or nothing.

study.toml          the study as it was run
study.db            Optuna's storage: every score, and nothing else is a store of results
environment.json    versions, machine, devices
data.json           what is known of the images
run.lock            held while a coordinator works; holder.json names it
checkpoints/KEY/    weights of candidates, one file a seed
report.html, candidates.csv, summary.json
predictions.npz     draws of the candidates' errors, made anew where they are missing or out of date
scaling.json        what ``dnsearch scale`` said; scaling/ has the networks it proposes
confirm/            weights of trainings that ``dnsearch confirm`` has under way

The training of one network (``dnsearch train``) has training.json in place of the study, and
result.json and network/ in place of the report.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock

from dnsearch.errors import RunError, nearest

RUNS = Path("reports")
"""Where runs go, below the folder that the command was typed in."""

_ASIDE = ".unfinished"  # what a killed process leaves; swept by the next holder of the lock
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PACKAGES = ("torch", "optuna", "numpy", "pandas", "plotly", "moocore", "fvcore")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which is synced and renamed to ``path`` at the end, or removed.

    Raises RunError naming the file where it cannot be written.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_ASIDE}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with atomic(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def check_name(name: str) -> str:
    """The name of a run, if it may become a folder's. Raises RunError otherwise."""
    if not _NAME.fullmatch(name):
        raise RunError(
            "a run's name must be 1 to 100 of a-z, A-Z, 0-9, '.', '_' and '-', "
            f"a letter or digit in front, got {name!r}; choose another with --name"
        )
    return name


@dataclass(frozen=True)
class RunDir:
    """The paths of one run. The folder may not exist yet."""

    path: Path

    @classmethod
    def named(cls, name: str, parent: Path = RUNS) -> RunDir:
        return cls(parent / check_name(name))

    @classmethod
    def find(cls, run: str, parent: Path = RUNS) -> RunDir:
        """An existing run by its name below ``parent`` or by its path. Raises RunError if none."""
        for path in (parent / run, Path(run)):
            if os.path.isfile(path / "study.db"):  # Path.is_file raises on a name that is too long
                return cls(path)
        found = [p.parent.name for p in parent.glob("*/study.db")]
        hint = nearest(run, found) if found else f"there are no runs in {parent}/ yet"
        raise RunError(f"there is no run {run!r}; {hint}")

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def study_file(self) -> Path:
        return self.path / "study.toml"

    @property
    def database(self) -> Path:
        return self.path / "study.db"

    @property
    def training_file(self) -> Path:
        return self.path / "training.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def predictions_file(self) -> Path:
        """Where ``search.predictions`` keeps its draws."""
        return self.path / "predictions.npz"

    def checkpoint(self, key: str, seed: int) -> Path:
        return self.path / "checkpoints" / key / f"{seed}.pt"

    def read_json(self, name: str, *needed: str) -> dict[str, Any]:
        """A JSON file of the run, with at least these keys.

        Raises RunError naming the file where it is missing or broken.
        """
        path = self.path / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise RunError(f"{path}: must be valid JSON: {error}") from None
        if not isinstance(value, dict):
            raise RunError(f"{path}: must be a JSON object, got {type(value).__name__}")
        for key in needed:
            if key not in value:
                raise RunError(f"{path}: must have the key {key!r}; was the file changed?")
        return value

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process. Raises RunError naming the process that has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / "run.lock")
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise RunError(
                f"{self.path}: in use by {self._holder()}; wait for it or stop it"
            ) from None
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror or error}") from None
        try:
            for leftover in self.path.rglob(f".*{_ASIDE}"):
                leftover.unlink(missing_ok=True)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            holder = {"process": os.getpid(), "host": platform.node(), "since": now}
            write_json(self.path / "holder.json", holder)
            yield
        finally:
            (self.path / "holder.json").unlink(missing_ok=True)
            lock.release()

    def _holder(self) -> str:
        try:
            holder = self.read_json("holder.json", "process", "host", "since")
        except RunError:
            return "another process"
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"


def environment() -> dict[str, Any]:
    """Versions and the machine, for the record of a run; what torch sees, the workers tell."""
    versions = {name: metadata.version(name) for name in _PACKAGES}
    return {
        "dnsearch": metadata.version("densenet-search"),
        "python": platform.python_version(),
        "packages": versions,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpu_cores": cpu_cores(),
    }


def cpu_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
