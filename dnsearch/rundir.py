"""A run's folder: its name, its lock, and the paths of its files.

study.toml          the study as it was run
study.db            Optuna's storage: the only place where scores are kept
storage.json        in its place: where in a PostgreSQL server they are (``--storage``)
backups/N/study.db  its last backups; study-damaged-N.db is what one was put in the place of
environment.json    versions, machine, devices
data.json           the data set: name, classes, shape, numbers of images
latency.json        networks by which latencies are predicted, where the study asks for latency
run.lock            locked while a search is under way; holder.json says by which process
ended.json          why and when the last session of the search ended; missing after a kill
checkpoints/KEY/    weights of candidates, one file for each seed; beside those trained to the top
                    rung SEED.validation-confusion.npy, images by true and by predicted class
report.html, candidates.csv, summary.json
figures/            the report's pictures as files, where `dnsearch report --figures` was asked
predictions.npz     draws of the candidates' errors, made anew where they are missing or out of date
regret.json         what going on with the search would be worth, likewise
scaling.json        the results of ``dnsearch scale``; scaling/ has the networks it proposes
confirm/            weights of trainings that ``dnsearch confirm`` has under way

The training of one network (``dnsearch train``) has training.json in place of the study, and
result.json and network/ in place of the report.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from dnsearch import machine
from dnsearch.errors import ConfigError, RunError, cannot_write, nearest
from dnsearch.files import (
    STORAGES,
    make_folder,
    read_json,
    remove_all_abandoned,
    write_json,
)
from dnsearch.postgres import Place, parse_address

RUNS = Path("reports")
"""The folder for runs, relative to the working directory."""

PAGE_SIGN = " \N{MIDDLE DOT} dnsearch</title>"
"""What every page of dnsearch has at its beginning."""

BACKUPS = "backups"
"""In a run's folder, those of its storage (``search.backups``)."""

TRAINING_FILE, RESULT_FILE, NETWORK_FOLDER = "training.json", "result.json", "network"
"""In the folder of a training of one network: what is trained, its result, and the network as an
export."""

_HOLDER = "holder.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PACKAGES = ("torch", "optuna", "numpy", "pandas", "plotly", "moocore", "fvcore")


def confusion_file(weights: Path, images: str = "validation") -> Path:
    """Beside a file of weights, their confusion matrix on ``validation`` or ``test`` images:
    images by true (rows) and by predicted class, (classes, classes) int32."""
    return weights.with_name(f"{weights.stem}.{images}-confusion.npy")


def check_name(name: str) -> str:
    """The name, if a run may have it. Raises RunError otherwise."""
    if not _NAME.fullmatch(name):
        raise RunError(
            "a run's name must be 1 to 100 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a "
            f"letter or digit, got {name!r}; choose another with --name"
        )
    return name


def name_like(text: str) -> str:
    """The name nearest to this text that a run may have, such as ``pack-a`` for ``päck ä``: letters
    lose their accents, and what is then no plain letter becomes a dash. A text that is too long is
    left so; ``run`` where nothing of it can stay."""
    if _NAME.fullmatch(text):
        return text
    parts = unicodedata.normalize("NFKD", text)
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("._-") or "run"


class Holder(NamedTuple):
    """The process that has locked a run: its number and machine, since when (ISO 8601, UTC), and
    in which boot of the machine (``machine.boot``)."""

    process: int
    host: str
    since: str
    boot: str = ""

    @classmethod
    def here(cls) -> Holder:
        """This process, from now on."""
        return cls(os.getpid(), machine.host(), _now(), machine.boot())

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is a process of another machine, of which nothing can be known here; another
        container on this one has another name, but the same boot."""
        is_this_boot = bool(self.boot) and self.boot == machine.boot()
        return self.host != machine.host() and not is_this_boot

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended: by a restart of this machine, or a kill."""
        if self.host != machine.host():
            return False
        was_restarted = bool(self.boot and machine.boot()) and self.boot != machine.boot()
        return was_restarted or not machine.lives(self.process)

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since}"


@dataclass(frozen=True)
class RunDir:
    """The paths of one run, whose folder need not exist yet."""

    path: Path

    @classmethod
    def named(cls, name: str, parent: Path = RUNS) -> RunDir:
        """The run of this name, new or not. Raises RunError where no run can have the name."""
        return cls(parent / check_name(name))

    @classmethod
    def find(cls, run: str, parent: Path = RUNS) -> RunDir:
        """The search of this name in ``parent``, or at this path. Raises RunError where none is."""
        if (known := cls.known(run, parent)) is not None:
            return known
        for path in (parent / run, Path(run)):
            if os.path.isfile(path / TRAINING_FILE):
                raise RunError(
                    f"{path}: is the training of one network, not a search; its network is in "
                    f"{path / NETWORK_FOLDER}"
                )
        found = cls.names(parent)
        hint = nearest(run, found) if found else f"there are no runs in {parent}/ yet"
        raise RunError(f"there is no run {run!r}; {hint}")

    @classmethod
    def known(cls, run: str, parent: Path = RUNS) -> RunDir | None:
        """The search that ``find`` gives, None where there is none."""
        for path in (parent / run, Path(run)):
            if cls(path).is_search:
                return cls(path)
        return None

    @classmethod
    def names(cls, parent: Path = RUNS) -> list[str]:
        """The names of the searches in ``parent``."""
        return [path.parent.name for name in STORAGES for path in parent.glob(f"*/{name}")]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def is_writable(self) -> bool:
        """Whether this process may write into the folder; a run that others own can be read."""
        return os.access(self.path, os.W_OK)

    @property
    def typed(self) -> str:
        """What it is called on the command line: its name below ``RUNS``, elsewhere its path."""
        return self.name if self.path.resolve().parent == RUNS.resolve() else str(self.path)

    @property
    def study_file(self) -> Path:
        """The study as it was run."""
        return self.path / "study.toml"

    @property
    def database(self) -> Path:
        """Optuna's storage, unless there is a ``place``."""
        return self.path / STORAGES[0]

    @property
    def is_search(self) -> bool:
        """Whether the folder holds a search."""
        # Path.is_file raises on a name that is too long
        return any(os.path.isfile(self.path / name) for name in STORAGES)

    @property
    def place(self) -> Place | None:
        """Where in a server its results are; None where they are in ``database``. Raises
        RunError."""
        if not (self.path / STORAGES[1]).is_file():
            return None
        told = self.read_json(STORAGES[1], *Place._fields)
        try:
            return Place(parse_address(told["address"]), str(told["run"]), bool(told["begun"]))
        except ConfigError as error:
            raise error.within(f"{self.path / STORAGES[1]}: address") from None

    def note_place(self, place: Place) -> None:
        """Writes where in a server its results are. Raises RunError."""
        write_json(self.path / STORAGES[1], place._asdict())

    @property
    def training_file(self) -> Path:
        """What ``dnsearch train`` trains; a folder with one holds the training of one network."""
        return self.path / TRAINING_FILE

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        """The folder of the report's pictures as files, where they were asked for."""
        return self.path / "figures"

    @property
    def ended_file(self) -> Path:
        """Why the last session of the search ended (``note_end``)."""
        return self.path / "ended.json"

    @property
    def predictions_file(self) -> Path:
        """Where ``search.predictions`` keeps its draws."""
        return self.path / "predictions.npz"

    @property
    def latency_file(self) -> Path:
        """What ``search.latency`` predicts latencies by."""
        return self.path / "latency.json"

    @property
    def regret_file(self) -> Path:
        """Where ``search.regret`` keeps what going on would be worth."""
        return self.path / "regret.json"

    def larger(self, times: float) -> Path:
        """The config of the network to train on ``times`` the budget."""
        return self.path / "scaling" / f"x{times:g}.json"

    def checkpoint(self, key: str, seed: int) -> Path:
        """The weights of the architecture with this key, trained with this seed."""
        return self.path / "checkpoints" / key / f"{seed}.pt"

    def confusion(self, key: str, seed: int) -> Path:
        """The confusion matrix that belongs to these weights (``confusion_file``)."""
        return confusion_file(self.checkpoint(key, seed))

    def read_json(self, name: str, *needed: str) -> dict[str, Any]:
        """The object in a JSON file of the run, which has at least these keys.

        Raises RunError naming the file where it is missing, damaged, or lacks a key.
        """
        return read_json(self.path / name, *needed)

    def note_end(self, reason: str) -> None:
        """Writes why a session of the search has ended. Raises RunError."""
        write_json(self.ended_file, {"reason": reason, "when": _now()})

    def end_reason(self) -> str:
        """Why the last session of the search ended; empty where it is under way or was killed.
        Raises RunError."""
        if not self.ended_file.is_file():
            return ""
        return str(self.read_json(self.ended_file.name, "reason")["reason"])

    def holder(self) -> Holder | None:
        """The process that has locked the run, None where none has.

        The lock itself is tried only where such a process seems to live, so that asking never keeps
        one from starting.
        """
        holder = self._noted_holder()
        if holder is None or holder.is_gone:
            return None
        try:
            self._acquired().release()
        except (filelock.Timeout, OSError):  # locked, or not ours to try
            return holder
        return holder if holder.is_elsewhere else None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the run for this process. Raises RunError naming the process that has locked it.

        On one machine the system keeps the lock, and gives it back when its holder dies. A shared
        file system may keep it for each machine apart: so one that holder.json gives to another
        machine is never taken over.
        """
        try:
            make_folder(self.path)
            lock = self._acquired()
        except filelock.Timeout:
            holder = self._noted_holder()
            raise RunError(
                f"{self.path}: in use by {holder or 'another process'}; wait for it or stop it"
            ) from None
        except OSError as error:
            raise cannot_write(self.path, error) from None
        note = self.path / _HOLDER
        try:
            holder = self._noted_holder()
            if holder is not None and holder.is_elsewhere:
                raise RunError(
                    f"{self.path}: in use by {holder}, another machine, so that whether it still "
                    f"runs cannot be known here; wait for it or stop it there, or remove {note} "
                    "if it was killed"
                )
            try:
                remove_all_abandoned(self.path)
                write_json(note, Holder.here()._asdict())
                yield
            finally:
                note.unlink(missing_ok=True)
        finally:
            lock.release()

    def _acquired(self) -> filelock.BaseFileLock:
        """The lock of the system. Raises Timeout where another process has it, and OSError."""
        lock = filelock.FileLock(self.path / "run.lock")
        with warnings.catch_warnings():  # of a file system without locks, whose files tell instead
            warnings.simplefilter("ignore")
            lock.acquire(blocking=False)
        return lock

    def _noted_holder(self) -> Holder | None:
        """Who holder.json says has locked the run; None where it does not say."""
        try:
            told = self.read_json(_HOLDER, "process", "host", "since")
            boot = str(told.get("boot", ""))  # missing in older ones
            return Holder(int(told["process"]), str(told["host"]), str(told["since"]), boot)
        except (RunError, TypeError, ValueError):
            return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Versions and the machine, for a run's environment.json. Imports no torch."""
    versions = {name: metadata.version(name) for name in _PACKAGES}
    return {
        "dnsearch": metadata.version("densenet-search"),
        "python": platform.python_version(),
        "packages": versions,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpu_cores": machine.cpu_cores(),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
