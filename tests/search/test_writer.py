"""What the writer of a storage reads is what is stored, and one transaction is all or nothing."""

import random

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from dnsearch.search.database import open_storage
from dnsearch.search.transactions import TransactionalStorage

UNDER_WAY = TrialState.RUNNING, TrialState.WAITING


@pytest.fixture
def file(tmp_path):
    return tmp_path / "study.db"


@pytest.fixture
def storage(file):
    storage = open_storage(file, read_only=False)
    event.listen(storage.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    storage.engine.dispose()  # so that no connection is left that waits for the disk
    return storage


@pytest.fixture
def study(storage):
    return optuna.create_study(study_name="s", storage=storage)


@pytest.fixture
def stored(study, file):
    """All trials of a study as another process reads them, by Optuna's own storage."""
    storage = RDBStorage(f"sqlite:///{file}", skip_table_creation=True)  # which keeps nothing

    def read(name="s"):
        return storage.get_all_trials(storage.get_study_id_from_name(name))

    return read


def change(study, trials, chance):
    """One write of some kind to some trial."""
    running = [trial for trial in trials if trial.state in UNDER_WAY]
    if not running or chance.random() < 0.2:
        study.ask()
        return
    trial = optuna.Trial(study, chance.choice(running)._trial_id)
    kind = chance.randrange(6)
    if kind == 0:
        trial.suggest_int(f"x{chance.randrange(9)}", 0, 9)
    elif kind == 1:
        trial.set_user_attr("job", chance.random())
    elif kind == 2:
        trial.set_constraint(f"c{chance.randrange(10**6)}", chance.random())
    elif kind == 3:
        trial.report(chance.random(), chance.randrange(10**6))
    elif kind == 4:
        study.tell(trial, chance.random())
    else:
        study.tell(trial, state=chance.choice([TrialState.FAIL, TrialState.PRUNED]))


@pytest.mark.parametrize("seed", range(2))
def test_it_reads_what_is_stored_whatever_is_written_in_between(storage, study, stored, seed):
    chance = random.Random(seed)
    others = [study, optuna.create_study(study_name="t", storage=storage)]
    for _ in range(60):
        if chance.random() < 0.1:  # another look at the same study, with a cache of its own
            others.append(optuna.load_study(study_name="s", storage=storage))
        one = chance.choice(others)
        change(one, one.get_trials(deepcopy=False), chance)
        looked_at = chance.choice(others)
        assert looked_at.get_trials() == stored(looked_at.study_name)
    assert len(study.get_trials()) > 5


def test_trials_under_way_are_read_once(storage, study, monkeypatch):
    built = []
    build = RDBStorage._build_frozen_trial_from_trial_model

    def noted(self, trial):
        built.append(trial.number)
        return build(self, trial)

    for _ in range(50):
        study.ask()
    study.get_trials()
    monkeypatch.setattr(RDBStorage, "_build_frozen_trial_from_trial_model", noted)
    study.get_trials()
    assert built == []
    study.tell(7, 0.5)
    built.clear()
    study.get_trials()
    assert built == [7]


def test_a_transaction_is_seen_whole_or_not_at_all(storage, study, stored):
    with storage.transaction():
        trial = study.ask()
        trial.suggest_int("x", 0, 9)
        with storage.transaction():  # part of the one around it
            trial.set_user_attr("job", 1)
        assert stored() == []
        assert [each.params for each in study.get_trials()] == [trial.params]
    assert [(each.params, each.user_attrs) for each in stored()] == [(trial.params, {"job": 1})]


def test_what_fails_leaves_nothing(storage, study, stored, file):
    done = study.ask()

    def failing():
        with storage.transaction():
            study.tell(done, 0.5)
            study.ask()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert [trial.state for trial in stored()] == [TrialState.RUNNING]
    again = open_storage(file, read_only=False)
    optuna.load_study(study_name="s", storage=again).tell(0, 0.25)
    assert [trial.value for trial in stored()] == [0.25]


def test_an_error_that_optuna_overlooks_is_one(storage, study, stored, monkeypatch):
    done = study.ask()

    def refused(*arguments):
        raise IntegrityError("INSERT", {}, Exception("planted"))

    def told():
        with storage.transaction():
            done.set_user_attr("score", 1)
            monkeypatch.setattr(storage, "_set_trial_value_without_commit", refused)
            study.tell(done, 0.5)

    with pytest.raises(StorageInternalError):
        told()
    assert [trial.user_attrs for trial in stored()] == [{}]


def test_only_what_may_be_written_has_transactions(storage, study, file):
    assert isinstance(storage, TransactionalStorage)
    assert type(open_storage(file, read_only=True)) is RDBStorage
