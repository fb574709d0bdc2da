"""What the end of a run costs: predicted errors of all trials, and what going on would be worth.

OMP_NUM_THREADS=1 python studies/growth/predictions.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from growth import Watch, exponent, fresh, line
from store import RUNGS, SPACE, filled, problem_of

from dnsearch.rundir import RunDir
from dnsearch.search.design_space import explore
from dnsearch.search.predictions import predict_errors
from dnsearch.search.regret import Scope, look_ahead
from dnsearch.search.store import StudyStore

SIZES = 300, 1_000, 3_400
IMAGES = 4_000


def main() -> None:
    """Measures and prints."""
    for work in (predicted, looked_ahead, explored):
        seconds = []
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                fresh(filled, folder, size)
                grown = fresh(work, folder)
            seconds.append(grown.seconds)
            line(f"{work.__name__}, {size:,} trials", grown)
        print(f"seconds grow with trials to the {exponent(SIZES, seconds):.2f}")


def predicted(watch: Watch, folder: str) -> None:
    """Errors of all networks of a run."""
    store = stored(folder)
    with watch:
        predict_errors(store, SPACE, problem_of().model, RUNGS, IMAGES)


def looked_ahead(watch: Watch, folder: str) -> None:
    """The regret of one network."""
    store = stored(folder)
    key = store.records()[0].job.arch.key
    with watch:
        look_ahead(store, Scope(SPACE, problem_of().model, RUNGS, IMAGES), key, 0.9)


def explored(watch: Watch, folder: str) -> None:
    """What each choice of the space is worth."""
    store = stored(folder)
    with watch:
        explore(store, Scope(SPACE, problem_of().model, RUNGS, IMAGES), "macs")


def stored(folder: str) -> StudyStore:
    """A run's store, which has been read."""
    store = StudyStore(RunDir(Path(folder)), problem_of().objectives, read_only=True)
    store.records()
    return store


if __name__ == "__main__":
    main()
