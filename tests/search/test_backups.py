"""A damaged storage: found, and replaced by a backup; storages of older and newer versions."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from dnsearch.cli import main
from dnsearch.errors import DamagedError, RunError
from dnsearch.rundir import RunDir
from dnsearch.search.backups import EVERY_SECONDS, KEPT, Backups
from dnsearch.search.database import schema_of
from dnsearch.search.layout import SCHEMA
from dnsearch.search.restore import restore
from dnsearch.search.results import read_results
from dnsearch.search.store import StudyStore

TODAY = Path(__file__).parents[1] / "data" / "today"
"""A run as it was written when the storage had schema 2, for versions to come."""

EXAMPLE = Path(__file__).parents[1] / "data" / "before-schemas"
"""A run as it was written before storages had a schema."""
"""One of before schemas, as dnsearch wrote it at first."""


def execute(file, statement, *values):
    with sqlite3.connect(file) as connection:
        connection.execute(statement, values)


def records(folder):
    return StudyStore(RunDir(folder), read_only=True).records()


def numbers(run):
    return sorted(int(folder.name) for folder in (run.path / "backups").iterdir())


@pytest.fixture
def run(make_search):
    """A finished search, with a backup of the whole of it."""
    search = make_search(trials=6)
    search.run()
    found = RunDir(search.store.path.parent)
    Backups(found).take()
    return found


EDITS = {
    "a parameter": "UPDATE trial_params SET param_value = param_value + 2 WHERE param_id = 1",
    "what it may be": "UPDATE trial_params SET distribution_json = "
    "replace(distribution_json, '\"low\": 2', '\"low\": 0') WHERE param_name = 'growth_rate'",
    "a value": "UPDATE trial_values SET value = value * 0.9 WHERE trial_value_id = 1",
    "a value's kind": "UPDATE trial_values SET value_type = 'INF_POS' WHERE trial_value_id = 1",
    "a state": "UPDATE trials SET state = 'FAIL' WHERE trial_id = 2",
    "an ended trial open": "UPDATE trials SET state = 'RUNNING' WHERE trial_id = 2",
    "a number": "UPDATE trials SET number = 17 WHERE trial_id = 6",
    "its study": "UPDATE trials SET study_id = 2 WHERE trial_id = 6",
    "a job": "UPDATE trial_user_attributes SET value_json = "
    "replace(value_json, '\"seed\": ', '\"seed\": 1') WHERE key = 'job'",
    "an attribute's name": "UPDATE trial_user_attributes SET key = 'scores' WHERE key = 'score'",
    "a trial": "DELETE FROM trials WHERE trial_id = 6",
    "a score": "DELETE FROM trial_user_attributes WHERE trial_id = 6 AND key = 'score'",
    "a study's name": "UPDATE studies SET study_name = 'searches' WHERE study_id = 1",
    "a direction": "UPDATE study_directions SET direction = 'MAXIMIZE' WHERE objective = 0",
    "the time spent": "UPDATE study_user_attributes SET value_json = "
    "replace(value_json, '{\"value\": ', '{\"value\": 1') WHERE study_id = 1 AND key = 'seconds'",
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found_and_the_newest_backup_named(run, edit):
    execute(run.database, EDITS[edit])
    newest = run.path / "backups" / str(max(numbers(run))) / "study.db"
    with pytest.raises(DamagedError) as error:
        _ = StudyStore(run, read_only=True).seconds
    assert f"its newest backup is {newest}, which dnsearch run --restore takes" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_backup_is_taken_at_each_start_and_every_ten_minutes(make_search, monkeypatch):
    clock = iter(range(0, 10**6, 200))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    monkeypatch.setattr(Backups.__init__, "__defaults__", (lambda: next(clock),))
    search = make_search(trials=12, clock=lambda: 0.0)
    run = RunDir(search.store.path.parent)
    assert numbers(run) == [1]
    search.run()
    assert EVERY_SECONDS == 600
    assert numbers(run)[-1] >= 4
    assert len(numbers(run)) == KEPT
    kept = [len(records(run.path / "backups" / str(number))) for number in numbers(run)]
    assert kept == sorted(set(kept))


def test_the_same_storage_is_backed_up_once(run):
    before = numbers(run)
    Backups(run).take()
    make = Backups(run)
    make.take()
    assert numbers(run) == before


def test_a_damaged_storage_is_not_backed_up(run):
    before = numbers(run)
    content = bytearray(run.database.read_bytes())
    content[8192:12288] = bytes(4096)
    run.database.write_bytes(content)
    with pytest.raises(DamagedError):
        Backups(run).take()
    assert numbers(run) == before


def test_restored(run):
    whole = records(run.path)
    good = run.database.read_bytes()
    damaged = good[:9000]
    run.database.write_bytes(damaged)
    told = restore(run)
    assert records(run.path) == whole
    kept = run.path / "study-damaged-1.db"
    assert kept.read_bytes() == damaged
    assert str(kept) in told
    assert "can be read, so no backup was taken" in restore(run)


def test_restored_from_the_newest_backup_that_can_be_read(run):
    execute(run.database, EDITS["a value"])
    newest = run.path / "backups" / str(max(numbers(run)))
    (newest / "study.db").write_bytes(b"not a database, not at all")
    told = restore(run)
    assert f"backups/{max(numbers(run)) - 1}/study.db" in told


def test_no_backup_to_restore(run):
    shutil.rmtree(run.path / "backups")
    run.database.write_bytes(b"not a database, not at all")
    with pytest.raises(DamagedError, match="there is no backup of it that can be read"):
        restore(run)
    assert run.database.read_bytes() == b"not a database, not at all"


def test_run_restore_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = RunDir(shutil.copytree(TODAY, tmp_path / "reports" / "today"))
    shutil.copy(TODAY / "study.toml", "today.toml")
    whole = records(run.path)
    Backups(run).take()
    run.database.write_bytes(run.database.read_bytes()[:5000])
    command = ["run", "today.toml", "--trials", str(len(whole)), "--quiet"]
    for words, code in ((command, 2), ([*command, "--restore"], 0)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == code
    assert "which dnsearch run --restore takes" in capsys.readouterr().err
    assert records(run.path) == whole


def test_todays_run_is_read_by_every_later_version():
    found = read_results(RunDir(TODAY))
    assert [round(each.error, 5) for each in found.measured] == [
        0.29082, 0.35791, 0.33855, 0.40408, 0.3128,
    ]  # fmt: skip
    assert schema_of(TODAY / "study.db") == 2


def test_an_older_run_is_upgraded_after_a_backup(tmp_path):
    run = RunDir(shutil.copytree(EXAMPLE, tmp_path / "example"))
    before = [(each.job, each.score, each.values) for each in records(EXAMPLE)]
    assert schema_of(run.database) == 0
    StudyStore(run).recover()
    assert schema_of(run.database) == SCHEMA
    assert [(each.job, each.score, each.values) for each in records(run.path)] == before
    assert schema_of(run.path / "backups" / "1" / "study.db") == 0
    ours, theirs = read_results(run), read_results(RunDir(EXAMPLE))
    assert (ours.seconds, ours.confirmed) == (theirs.seconds, theirs.confirmed)
    execute(run.database, EDITS["a parameter"])
    with pytest.raises(DamagedError, match="does not match its checksum"):
        records(run.path)


def test_a_storage_of_a_newer_dnsearch_is_refused_and_left_alone(run):
    execute(run.database, f"PRAGMA user_version = {SCHEMA + 1}")
    before = run.database.read_bytes()
    for read_only in (True, False):
        told = rf"newer dnsearch \(schema {SCHEMA + 1}, this one knows {SCHEMA}\); update dnsearch"
        with pytest.raises(RunError, match=told) as error:
            StudyStore(run, read_only=read_only)
        assert "\n" not in str(error.value)
    with pytest.raises(RunError, match="newer dnsearch"):
        restore(run)
    assert run.database.read_bytes() == before


def test_a_storage_that_is_a_link_is_not_written_through(run, tmp_path):
    other = RunDir(tmp_path / "other")
    other.path.mkdir()
    other.database.symlink_to(run.database)
    before = run.database.read_bytes()
    assert len(records(other.path)) == 6
    with pytest.raises(RunError, match=r"study\.db: is a link to .*only into its own folder"):
        StudyStore(other)
    assert run.database.read_bytes() == before
