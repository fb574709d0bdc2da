"""What the results of a run cost in a PostgreSQL server, against SQLite: time, round trips, space.

python studies/performance/postgres.py postgresql+psycopg://USER@HOST/EMPTY_DATABASE

A training is asked, given five parameters, its job and its score, and told, through dnsearch's own
store. Round trips are the statements and the beginnings and ends of transactions: times the
network's latency, they are what a server further away costs. Opening is that of a reader, beside
the studies of so many other runs.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

import optuna
from sqlalchemy import event, text

from dnsearch.arch.config import ArchConfig
from dnsearch.postgres import parse_address
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import SEARCH, Job
from dnsearch.search.server import place_for
from dnsearch.search.store import StudyStore
from dnsearch.training.score import CurvePoint, Score

TRIALS = 200
OTHERS = 0, 100, 1000
ARCH = ArchConfig(4, (1, 2, 3), 8, 2, stem="cifar", in_channels=1, num_classes=10)
CURVE = tuple(CurvePoint(n, 0.5, 0.2, 0.6) for n in range(1, 10))
SCORE = Score(9, 1, 0.2, 0.6, 0.5, CURVE, 9.0)


def main(address: str) -> None:
    """Measures and prints."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{TRIALS} trainings          median     95 %   CPU here  round trips   bytes each")
    with tempfile.TemporaryDirectory() as folder:
        file, run = RunDir(Path(folder, "file")), RunDir(Path(folder, "run"))
        file.path.mkdir()
        place = place_for(run, parse_address(address))
        assert place is not None
        run.note_place(place)
        _tell("SQLite", StudyStore(file))
        _tell("PostgreSQL", StudyStore(run))
        for before, others in itertools.pairwise((0, *OTHERS)):
            _other_runs(run, before, others)
            _open("PostgreSQL", run, others)
        _open("SQLite", file, 0)


def _tell(name: str, store: StudyStore) -> None:
    study = store.logs[SEARCH].study
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    engine, trips = store.storage.optuna.engine, []
    event.listen(engine, "before_cursor_execute", lambda *_: trips.append("statement"))
    event.listen(engine, "begin", lambda *_: trips.append("begin"))
    event.listen(engine, "commit", lambda *_: trips.append("commit"))
    event.listen(engine, "rollback", lambda *_: trips.append("rollback"))
    seconds, cpu = [], time.process_time()
    for number in range(TRIALS):
        began = time.perf_counter()
        trial = study.ask()
        for i in range(5):
            trial.suggest_int(f"x{i}", 0, 9)
        job = Job(trial.number, ARCH, 9, 1)
        store.accept(trial, job)
        store.tell(job, SCORE, [0.2], {}, float(number))
        seconds.append(time.perf_counter() - began)
    cpu = (time.process_time() - cpu) / TRIALS
    median, most = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    print(
        f"{name:<22} {median * 1e3:6.1f} ms {most * 1e3:5.1f} ms {cpu * 1e3:7.1f} ms "
        f"{len(trips) / TRIALS:12.1f} {_bytes(store) / TRIALS:12,.0f}"
    )
    store.close()


def _bytes(store: StudyStore) -> int:
    """With indexes; of a server's whole database less what an empty one of Optuna's has."""
    if store.path is not None:
        return store.path.stat().st_size
    sizes = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"
    with store.storage.optuna.engine.connect() as connection:
        return int(connection.execute(text(sizes)).scalar_one())


def _other_runs(run: RunDir, first: int, after: int) -> None:
    """Adds the studies of these other runs, two each, as Optuna makes them, without trials."""
    assert run.place is not None
    store = StudyStore(run)
    names = {"first": 2 * first, "last": 2 * after - 1}
    with store.storage.optuna.engine.begin() as connection:
        for statement in _OTHERS:
            connection.execute(text(statement), names)
    store.close()


_SERIES = "generate_series(CAST(:first AS int), CAST(:last AS int)) n"
_NUMBERS = f"FROM studies JOIN {_SERIES} ON study_name = 'other-' || n"
_OTHERS = (
    f"INSERT INTO studies (study_name) SELECT 'other-' || n FROM {_SERIES}",
    "INSERT INTO study_directions (study_id, direction, objective) "
    f"SELECT study_id, 'MINIMIZE', 0 {_NUMBERS}",
    "INSERT INTO study_user_attributes (study_id, key, value_json) "
    f"SELECT study_id, 'seconds', '1' {_NUMBERS}",
)


def _open(name: str, run: RunDir, others: int) -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        store = StudyStore(run, read_only=True)
        seconds.append(time.perf_counter() - began)
        store.close()
    told = f"opening {name} beside {others:,} runs"
    print(f"{told:<42} {statistics.median(seconds) * 1e3:6.0f} ms")


if __name__ == "__main__":
    main(sys.argv[1])
