"""The storage: what lies in it and what that costs, old runs, damage, reading without a trace."""

import hashlib
import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
import sqlalchemy

from dnsearch.errors import RunError
from dnsearch.report.columns import row_of
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import CONFIRM, SEARCH
from dnsearch.search.parameters import distributions
from dnsearch.search.results import read_results
from dnsearch.search.store import StudyStore, TrialLog
from tests.fakes import FakeEvaluator, fake_score

EXAMPLE = RunDir(Path(__file__).parents[2] / "reports" / "example")
"""A run whose trials have an attribute for each figure, as dnsearch wrote them at first."""


def test_optunas_own_tools_read_the_study(make_search, tmp_path):
    search = make_search(trials=6)
    search.run()
    url = f"sqlite:///{tmp_path / 'run' / 'study.db'}"
    study = optuna.load_study(study_name="search", storage=url)
    frame = study.trials_dataframe()
    assert list(study.metric_names) == ["error", "macs"]
    assert len(frame[frame["state"] == "COMPLETE"]) == 6
    assert "params_growth_rate" in frame


def test_a_job_and_a_score_are_an_attribute_each(make_search):
    search = make_search(trials=2, limits={"max_params": 10**6})
    search.run()
    for trial, record in zip(search.study.trials, search.records, strict=True):
        assert set(trial.user_attrs) == {"job", "score"}
        assert trial.user_attrs["job"]["key"] == record.job.arch.key
        assert trial.user_attrs["score"]["values"] == trial.values
        assert trial.user_attrs["score"]["constraints"] == trial.constraints != {}


def commits(database):
    """Transactions that wrote, as the file's header counts them (sqlite.org/fileformat2.html)."""
    return int.from_bytes(database.read_bytes()[24:28], "big")


def test_a_training_costs_two_commits(make_search):
    search = make_search(trials=30, sampler="known-cost", clock=lambda: 0.0)
    before = commits(search.store.path)
    search.run()  # asked and told; the time spent is still 0
    assert commits(search.store.path) - before == 2 * 30


def test_time_spent_is_known_after_a_kill(make_search, monkeypatch):
    seconds = [0.0]

    def slow(job):
        seconds[0] += 4
        return fake_score(job)

    search = make_search(evaluator=FakeEvaluator(score=slow), trials=5, clock=lambda: seconds[0])
    monkeypatch.setattr(search.store, "note_seconds", lambda _: None)
    search.run()
    assert make_search().store.seconds == 20


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.", "0.0"), ('"finished_after"', '"ended_after"'), ('"values": [', '"values": [1')],
)
def test_a_changed_score_is_found(make_search, old, new):
    search = make_search(trials=2)
    search.run()
    with sqlite3.connect(search.store.path) as database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?) "
            "WHERE key = 'score'",
            (old, new),
        )
    with pytest.raises(RunError, match=r"study\.db: the score of trial \d+ does not match"):
        StudyStore(RunDir(search.store.path.parent), read_only=True).records()


def foreign(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE mine (name TEXT)")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_text("not a database, not at all"), "file is not a database"),
        (lambda path: path.write_bytes(b""), "no such table: version_info"),
        (foreign, "no such table: version_info"),
        (lambda path: path.unlink(missing_ok=True), "unable to open database file"),
    ],
)
def test_what_is_no_storage_is_told_in_a_line_and_left_alone(tmp_path, spoil, told):
    database = tmp_path / "study.db"
    spoil(database)
    before = contents(tmp_path)
    with pytest.raises(
        RunError, match=rf"study\.db: cannot be used as Optuna storage: {told}"
    ) as error:
        StudyStore(RunDir(tmp_path), read_only=True)
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before


def test_a_storage_of_another_version_of_optuna(make_search):
    database = make_search().store.path
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99'")
    with pytest.raises(RunError, match=r"study\.db: cannot be used .* no longer compatible"):
        StudyStore(RunDir(database.parent), read_only=True)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trial_user_attributes SET value_json = '{'",
        "UPDATE trial_user_attributes SET value_json = '3' WHERE key = 'job'",
        "UPDATE trials SET state = 'WEIRD'",
        "UPDATE trial_params SET distribution_json = '{}'",
        "UPDATE study_user_attributes SET value_json = '[]' WHERE key = 'seconds'",
    ],
)
def test_damaged_values_are_told_in_a_line(make_search, damage):
    search = make_search(trials=2)
    search.run()
    with sqlite3.connect(search.store.path) as connection:
        connection.execute(damage)
    with pytest.raises(
        RunError, match=r"study\.db: (holds what cannot be read \(|the score of).*damaged"
    ) as error:
        _ = StudyStore(RunDir(search.store.path.parent), read_only=True).seconds
    assert "\n" not in str(error.value)


def contents(folder):
    """Every file below a folder: its bytes, and when it was written."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def statements():
    """What is said to any database meanwhile, in SQL."""
    heard = []

    def hear(connection, cursor, statement, *_):
        heard.append(statement)

    engine = sqlalchemy.engine.Engine
    sqlalchemy.event.listen(engine, "before_cursor_execute", hear)
    yield heard
    sqlalchemy.event.remove(engine, "before_cursor_execute", hear)


def test_reading_leaves_no_trace(tmp_path, statements):
    """Not even where the permission to write is there, as tests run by root have it anywhere."""
    run = RunDir(tmp_path / "run")
    shutil.copytree(EXAMPLE.path, run.path)
    before = contents(run.path)
    for path in (*run.path.iterdir(), run.path):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert len(read_results(run).measured) > 20
        assert contents(run.path) == before
        assert {statement.split()[0] for statement in statements} == {"SELECT", "PRAGMA"}
        store = StudyStore(run, read_only=True)
        with pytest.raises(RunError, match="attempt to write a readonly database"), store.guarded():
            store.note_seconds(1.0)
    finally:
        run.path.chmod(0o755)


def test_a_study_that_is_not_there_is_empty_and_stays_so(make_search):
    search = make_search(trials=2)
    search.run()
    with sqlite3.connect(search.store.path) as database:
        for table in ("study_directions", "study_user_attributes", "study_system_attributes"):
            database.execute(f"DELETE FROM {table} WHERE study_id = 2")
        database.execute("DELETE FROM studies WHERE study_name = 'references'")
    before = contents(search.store.path.parent)
    store = StudyStore(RunDir(search.store.path.parent), read_only=True)
    assert len(store.records()) == 2
    assert store.log(CONFIRM).records() == []
    assert store.log(CONFIRM).importance() == {}
    assert contents(search.store.path.parent) == before


def test_a_commit_that_a_kill_left_half_written_is_undone_for_readers(make_search, tmp_path):
    search = make_search(trials=2)
    search.run()
    database, torn = search.store.path, tmp_path / "torn"
    torn.mkdir()
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
        connection.execute("UPDATE studies SET study_name = 'half' || study_name")
        many = [(str(number), "1" * 3000) for number in range(300)]
        insert = "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)"
        connection.executemany(insert, many)
        for file in (database, database.with_name("study.db-journal")):
            shutil.copy(file, torn)
        connection.rollback()
    assert (torn / "study.db").stat().st_size > database.stat().st_size
    assert StudyStore(RunDir(torn), read_only=True).records() == search.records


@pytest.mark.parametrize("name", ["a b", "50%", "{x}", "what?", "a#b", "%41"])
def test_any_folder_will_do(make_search, name):
    search = make_search(name, trials=1)
    search.run()
    assert (search.store.path.parent.name, search.store.path.is_file()) == (name, True)
    assert StudyStore(RunDir(search.store.path.parent), read_only=True).records() == search.records


def accept_as_at_first(log, trial, job):
    trial.set_user_attr("arch", job.arch.to_dict())
    trial.set_user_attr("key", job.arch.key)
    trial.set_user_attr("seed", job.seed)
    trial.set_user_attr("rung", job.rung)
    if job.images is not None:
        trial.set_user_attr("images", job.images)
    log._open[job.trial] = trial


def tell_as_at_first(log, number, told):
    trial = log._open.pop(number)
    for name, value in told["constraints"].items():
        trial.set_constraint(name, value)
    text = json.dumps(told["score"])
    trial.set_user_attr("finished_after", told["finished_after"])
    trial.set_user_attr("values", told["values"])
    trial.set_user_attr("score_sha256", hashlib.sha256(text.encode()).hexdigest())
    trial.set_user_attr("score", text)
    log._close(number, told)


REJECTED = {frozenset(("rejected",))}


@pytest.mark.parametrize("sampler", ["known-cost", "mo-asha", "tpe", "scaling"])
def test_a_run_begun_with_an_attribute_for_each_figure_goes_on(make_search, monkeypatch, sampler):
    space = "[space]\ngrowth_rate = [1, 2, 4, 8, 16, 32]\nblock_config = [[1, 2, 3], [1, 2]]\n"
    options = {"sampler": sampler, "rungs": (1, 3), "space": space + "bn_size = [0]", "seed": 3}
    options["limits"] = {"max_params": 2 * 10**6, "max_latency_ms": 6.0}
    options["start"] = () if sampler == "scaling" else ("densenet-40-12",)

    def timed(job):
        return replace(fake_score(job), latency_ms=float(job.arch.depth))

    options["evaluator"] = FakeEvaluator(score=timed)
    whole = make_search("whole", trials=20, **options)
    whole.run()
    with monkeypatch.context() as patch:
        patch.setattr(TrialLog, "accept", accept_as_at_first)
        patch.setattr(TrialLog, "tell", tell_as_at_first)
        patch.setattr("dnsearch.search.sqlite.mark_schema", lambda _: None)
        patch.setattr("dnsearch.search.sqlite.upgrade", lambda _: None)
        make_search("old", trials=11, **options).run()
        make_search("old", trials=12, **options).proposer.propose()  # and its coordinator is killed
    resumed = make_search("old", trials=20, **options)
    resumed.run()
    assert resumed.story == whole.story
    found, expected = (
        [(r.score, r.values, r.feasible) for r in s.records] for s in (resumed, whole)
    )
    assert found == expected
    assert {feasible for _, _, feasible in found} == {True, False}
    ended = {frozenset(trial.user_attrs) for trial in resumed.study.trials}
    assert ended <= {frozenset(("job", "score")), frozenset(("job", "interrupted"))} | REJECTED
    before = StudyStore(RunDir(resumed.store.path.parent / "backups" / "3"), read_only=True)
    assert "score_sha256" in before.logs[SEARCH].study.trials[0].user_attrs
    assert len(before.records()) == 11
    with sqlite3.connect(resumed.store.path) as database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = replace(value_json, '0.', '0.0') "
            "WHERE key = 'score' AND trial_id = 1"
        )
    with pytest.raises(RunError, match="does not match its checksum"):
        StudyStore(RunDir(resumed.store.path.parent), read_only=True).records()


def test_the_example_reads_as_the_version_that_wrote_it_had_it():
    """``candidates.csv`` and ``summary.json`` were written with it."""
    before = contents(EXAMPLE.path)
    found = read_results(EXAMPLE)
    written = pd.read_csv(EXAMPLE.path / "candidates.csv", keep_default_na=False, na_values=["NaN"])
    for name in ("number", "key", "state", "rung", "seed", "error", "loss", "finished_after"):
        read = [str(row_of(candidate)[name]) for candidate in found.measured]
        assert read == [str(value) for value in written[name]]
    summary = json.loads((EXAMPLE.path / "summary.json").read_text())
    assert found.seconds == summary["search_seconds"]
    assert contents(EXAMPLE.path) == before


def test_even_steps_keep_their_order_for_samplers(make_search):
    found = distributions(make_search().space)
    assert found["growth_rate"] == optuna.distributions.IntDistribution(2, 6, step=2)
    assert found["depth2"] == optuna.distributions.IntDistribution(1, 2)
    assert "compression" not in found


def test_uneven_choices_are_categories(make_search):
    space = "[space]\ngrowth_rate = [2, 3, 8]\nblock_config = [[1]]\ncompression = [0.5, 1.0]\n"
    found = distributions(make_search(space=space).space)
    assert found["growth_rate"] == optuna.distributions.CategoricalDistribution((2, 3, 8))
    assert found["compression"] == optuna.distributions.CategoricalDistribution((0.5, 1.0))


def test_importance_needs_enough_candidates(make_search):
    search = make_search(trials=9)
    search.run()
    assert search.store.logs[SEARCH].importance() == {}
    search = make_search(trials=20)
    search.run()
    shares = search.store.logs[SEARCH].importance()["error"]
    assert set(shares) == {"growth_rate", "depth1", "depth2", "bn_size"}
    assert sum(shares.values()) == pytest.approx(1)
