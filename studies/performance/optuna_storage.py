"""What a rejected proposal costs in Optuna's storages: asked, five parameters, told.

python studies/performance/optuna_storage.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import optuna
from optuna.trial import TrialState
from sqlalchemy import event

TRIALS = 40


def main() -> None:
    """Measures and prints."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        storages = {
            "SQLite": _sqlite(Path(folder) / "default.db"),
            "SQLite without syncing": _sqlite(Path(folder) / "off.db", "PRAGMA synchronous=OFF"),
            "memory": optuna.storages.InMemoryStorage(),
        }
        found = {name: _milliseconds(storage) for name, storage in storages.items()}
    for name, milliseconds in found.items():
        ratio = milliseconds / found["SQLite"]
        print(f"{name:<24} {milliseconds:6.1f} ms a trial, {ratio:.2f} of SQLite's")


def _sqlite(path: Path, pragma: str = "") -> optuna.storages.RDBStorage:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    if pragma:
        event.listen(storage.engine, "connect", lambda connection, _: connection.execute(pragma))
        storage.engine.dispose()  # so that connections made before get it too
    return storage


def _milliseconds(storage: optuna.storages.BaseStorage) -> float:
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=storage, directions=["minimize"] * 2, sampler=sampler)
    started = time.perf_counter()
    for _ in range(TRIALS):
        trial = study.ask()
        for i in range(5):
            trial.suggest_int(f"x{i}", 0, 9)
        trial.set_user_attr("rejected", "duplicate")
        study.tell(trial, state=TrialState.FAIL)
    return (time.perf_counter() - started) / TRIALS * 1e3


if __name__ == "__main__":
    main()
