"""What a trial costs in Optuna's storages: time, and SQLite's commits, which wait for the disk.

python studies/performance/optuna_storage.py

A rejected proposal is asked, given five parameters and told. A training is given its job and its
score besides: at first an attribute for each of their figures, and the time spent; then one for
each of the two; now what is asked and what is told are one transaction each.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import TrialState
from sqlalchemy import event

from dnsearch.arch.config import ArchConfig
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import SEARCH, Job
from dnsearch.search.layout import job_attribute, score_attribute
from dnsearch.search.store import StudyStore
from dnsearch.training.score import CurvePoint, Score

TRIALS = 40
ARCH = ArchConfig(4, (1, 2, 3), 8, 2, stem="cifar", in_channels=1, num_classes=10)
SCORE = Score(9, 1, 0.2, 0.6, 0.5, tuple(CurvePoint(n, 0.5, 0.2, 0.6) for n in range(1, 10)), 9.0)
VALUES = [0.2, 1e6]


def main() -> None:
    """Measures and prints."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("a rejected proposal")
    with tempfile.TemporaryDirectory() as folder:
        storages = {
            "SQLite": _sqlite(Path(folder) / "default.db"),
            "SQLite without syncing": _sqlite(Path(folder) / "off.db", "PRAGMA synchronous=OFF"),
            "memory": optuna.storages.InMemoryStorage(),
        }
        for name, storage in storages.items():
            study = optuna.create_study(storage=storage, directions=["minimize"] * 2)
            file = Path(folder) / "default.db" if name == "SQLite" else None
            print(f"{name:<24} {_cost(partial(_rejected, study), file)}")
    print("a training, in SQLite")
    for name, one in (
        ("two transactions", _trained_in_two),
        ("two attributes", _trained),
        ("one for each figure", _trained_as_at_first),
    ):
        with tempfile.TemporaryDirectory() as folder:
            store = StudyStore(RunDir(Path(folder)), ("error", "macs"))
            store.logs[SEARCH].study.sampler = optuna.samplers.RandomSampler(seed=0)
            print(f"{name:<24} {_cost(partial(one, store), store.path)}")


def _sqlite(path: Path, pragma: str = "") -> optuna.storages.RDBStorage:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    if pragma:
        event.listen(storage.engine, "connect", lambda connection, _: connection.execute(pragma))
        storage.engine.dispose()  # so that connections made before get it too
    return storage


def _cost(once: Callable[[], None], file: Path | None) -> str:
    """In words, of one of ``TRIALS`` repetitions; commits of a database ``file`` alone."""
    before, started = _commits(file) if file else 0, time.perf_counter()
    for _ in range(TRIALS):
        once()
    told = f"{(time.perf_counter() - started) / TRIALS * 1e3:6.1f} ms"
    return f"{told}, {(_commits(file) - before) / TRIALS:4.1f} commits" if file else told


def _commits(database: Path) -> int:
    """Transactions that wrote, as the file's header counts them (sqlite.org/fileformat2.html)."""
    return int.from_bytes(database.read_bytes()[24:28], "big")


def _asked(study: optuna.Study) -> optuna.Trial:
    trial = study.ask()
    for i in range(5):
        trial.suggest_int(f"x{i}", 0, 9)
    return trial


def _rejected(study: optuna.Study) -> None:
    trial = _asked(study)
    trial.set_user_attr("rejected", "duplicate")
    study.tell(trial, state=TrialState.FAIL)


def _trained_in_two(store: StudyStore) -> None:
    with store.transaction():
        job = _accepted(store)
    store.tell(job, SCORE, VALUES, {}, 1.0)


def _trained(store: StudyStore) -> None:
    job = _accepted(store)
    told = score_attribute(SCORE, VALUES, {}, 1.0)
    store.logs[SEARCH].tell(job.trial, told)


def _accepted(store: StudyStore) -> Job:
    trial = _asked(store.logs[SEARCH].study)
    job = Job(trial.number, ARCH, 9, 1)
    store.accept(trial, job)
    return job


def _trained_as_at_first(store: StudyStore) -> None:
    study = store.logs[SEARCH].study
    trial = _asked(study)
    attributes = job_attribute(Job(trial.number, ARCH, 9, 1))
    told = score_attribute(SCORE, VALUES, {}, 1.0)
    del told["constraints"]
    for name, value in {**attributes, **told}.items():
        trial.set_user_attr(name, value)
    study.tell(trial, VALUES)
    store.note_seconds(time.perf_counter())


if __name__ == "__main__":
    main()
