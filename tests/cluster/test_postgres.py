"""The results of runs in a PostgreSQL server, which is killed, started again, and spoilt."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import traceback
from collections import Counter
from pathlib import Path

import optuna
import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from dnsearch.cli import main
from dnsearch.cli.runs import runs_in
from dnsearch.errors import ConnectionLost, DamagedError, RunError
from dnsearch.postgres import Place, connect
from dnsearch.rundir import RunDir
from dnsearch.search import patience
from dnsearch.search.evaluators.base import SEARCH
from dnsearch.search.results import read_results
from dnsearch.search.store import StudyStore
from tests.cli.conftest import SMALL, snapshot
from tests.fakes import FakeEvaluator, Search, fake_score


@contextlib.contextmanager
def sitting(run, **options):
    """A search of invented trainings whose results are where the run's are."""
    search = Search(run.path, **options)
    try:
        yield search
    finally:
        search.store.close()


def execute(server, address, query, *values):
    with contextlib.closing(server.connect(address.rpartition("/")[2])) as connection:
        found = connection.execute(query, values)
        return found.fetchall() if found.description else found.rowcount


def trials(server, address):
    """By the server itself: number and state of every trial, and whether it has a score."""
    return execute(
        server,
        address,
        "SELECT study_name, number, state::text, EXISTS (SELECT 1 FROM trial_user_attributes a "
        "WHERE a.trial_id = t.trial_id AND key = 'score') FROM trials t JOIN studies USING "
        "(study_id) ORDER BY study_name, number",
    )


def test_a_run_in_a_server_is_the_run_in_a_file(make_run, make_search):
    options = {"sampler": "known-cost", "trials": 8}
    file = make_search("file", **options)
    file.run()
    run = make_run()
    with sitting(run, **options | {"trials": 4}) as search:
        search.run()
    with sitting(run, **options) as search:
        assert len(search.records) == 4
        assert search.run() == "all trials finished"
        assert search.story == file.story
        assert [record.values for record in search.records] == [r.values for r in file.records]
    assert not run.database.exists()
    assert StudyStore(run, read_only=True).records() == search.records


def test_runs_in_one_server_know_nothing_of_each_other(server, address, make_run):
    one, other = make_run("one"), make_run("other")
    for run, sampled in ((one, 5), (other, 3)):
        with sitting(run, trials=sampled) as search:
            search.run()
    assert len(StudyStore(one, read_only=True).records()) == 5
    assert len(StudyStore(other, read_only=True).records()) == 3
    names = {name for name, *_ in trials(server, address)}
    assert names == {f"{run.place.run}/search" for run in (one, other)}
    assert re.fullmatch(r"one-[0-9a-f]{6}", one.place.run)


def storage_method():
    """Of Optuna's storage: whose transaction is being committed."""
    stack = traceback.extract_stack()
    own = [frame.name for frame in stack if frame.filename.endswith("_rdb/storage.py")]
    return next(name for name in own if name != "_create_scoped_session")


@pytest.mark.parametrize("came_through", [True, False])
def test_lost_at_any_commit(server, address, make_run, make_search, monkeypatch, came_through):
    """Every second commit of each kind breaks the connection, before or after the server has it."""
    whole = make_search("whole", trials=6)
    whole.run()
    seen, lost, heard = Counter(), Counter(), []
    with sitting(make_run(), trials=6) as search:
        storage = search.store.storage.optuna
        storage.patience.sleep, storage.patience.note = (lambda _: None), heard.append
        commit = storage.engine.dialect.do_commit

        def cut(connection):
            method = storage_method()
            seen[method] += 1
            if seen[method] % 2:
                return commit(connection)
            if came_through:
                commit(connection)
            lost[method] += 1
            client = connection.dbapi_connection
            execute(server, address, "SELECT pg_terminate_backend(%s)", client.info.backend_pid)
            return client.execute("SELECT 1")  # raises, as the client hears of it

        monkeypatch.setattr(storage.engine.dialect, "do_commit", cut)
        assert search.run() == "all trials finished"
        monkeypatch.undo()
        assert search.story == whole.story
        assert len(search.study.get_trials()) == len(whole.study.get_trials())
    writing = "_create_new_trial", "_set_trial_param", "set_trial_user_attr"
    assert all(lost[method] > 1 for method in (*writing, "set_trial_state_values"))
    assert ["is back" in line for line in heard] == [False, True] * (len(heard) // 2)
    told = [state for *_, state, scored in trials(server, address) if scored]
    assert told == ["COMPLETE"] * 6


def test_killed_and_started_again_in_the_middle(server, address, tmp_path, monkeypatch):
    """The command itself, with workers; by its own lines the search waits and goes on."""
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(SMALL.replace("[4, 6]", "[2, 3, 4, 5]"))
    command = [sys.executable, "-m", "dnsearch", "run", "s.toml", "--trials", "6"]
    process = subprocess.Popen(
        [*command, "--storage", address], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=os.environ | {"DNSEARCH_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.lstrip().startswith("2/6"):
            server.kill()
        if "the connection is lost" in line:
            server.start()
    text = "".join(lines)
    assert process.wait() == 0, text
    waited = re.findall(r"note: \S+: the connection is lost: .*; trying again for up to 5", text)
    assert len(waited) == 1
    assert text.count("is back; going on\n") == 1
    found = trials(server, address)
    assert sum(scored for *_, scored in found) == 6
    assert [number for _, number, *_ in found] == list(range(len(found)))
    assert len(read_results(RunDir.find("s")).measured) == 6
    assert server.password not in text


def test_out_of_reach_for_too_long(server, address, make_run, monkeypatch):
    monkeypatch.setattr(patience, "SECONDS", 0.5)
    run = make_run()

    def score(job):
        if len(search.records) == 2:
            server.kill()
        return fake_score(job)

    try:
        with sitting(run, trials=4, evaluator=FakeEvaluator(score=score)) as search:
            heard = []
            search.store.storage.optuna.patience.note = heard.append
            with pytest.raises(ConnectionLost, match=r"the same command goes on") as ended:
                search.run()
            assert "\n" not in str(ended.value)
            with pytest.raises(ConnectionLost):
                search.store.note_seconds(1.0)
            assert len(heard) == 1  # it has given up, and does not wait again
        with pytest.raises(ConnectionLost, match=r"cannot be reached: .*connection to server"):
            StudyStore(run)
    finally:
        server.start()
    with sitting(run, trials=4) as search:
        assert len(search.records) == 2
        assert search.run() == "all trials finished"
        assert len({record.job.arch.key for record in search.records}) == 4


def test_only_one_coordinator_writes(make_run, tmp_path):
    """Also with a copy of the folder, as on another machine."""
    run = make_run()
    with sitting(run, trials=1) as search:
        search.run()
        shutil.copytree(run.path, tmp_path / "copy")
        told = rf"{run.place.run}\): in use by dnsearch process {os.getpid()} on .*; wait for it"
        with pytest.raises(RunError, match=told):
            StudyStore(RunDir(tmp_path / "copy"))
        assert len(StudyStore(RunDir(tmp_path / "copy"), read_only=True).records()) == 1
    StudyStore(RunDir(tmp_path / "copy")).close()


def test_whoever_took_over_is_not_written_over(server, address, make_run, tmp_path):
    """Both are cut off, and another coordinator is the first to come back."""
    run = make_run()
    with sitting(run, trials=3) as search:
        shutil.copytree(run.path, tmp_path / "copy")
        storage = search.store.storage

        def score(job):
            execute(
                server, address, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = %s", storage._name,
            )  # fmt: skip
            others.append(StudyStore(RunDir(tmp_path / "copy")))
            return fake_score(job)

        others = []
        search.evaluator.score = score
        with pytest.raises(RunError, match="in use by dnsearch process"):
            search.run()
    others[0].recover()
    others[0].close()
    assert [state for *_, state, _ in trials(server, address)] == ["FAIL"]


def test_a_connection_that_only_the_server_takes_for_alive(make_run):
    """As after a network that was away: its lock is our own."""
    with sitting(make_run(), trials=3) as search:
        alive = search.store.storage.optuna.engine.raw_connection()
        alive.detach()
        assert search.run() == "all trials finished"
        with pytest.raises(Exception, match=r"terminating connection|closed"):
            alive.cursor().execute("SELECT 1")


def test_readers_only_read(make_run):
    run = make_run()
    with sitting(run, trials=1) as search:
        search.run()
    store = StudyStore(run, read_only=True)
    with pytest.raises(RunError, match="read-only transaction"), store.guarded():
        store.note_seconds(1.0)


EDITS = {
    "a score": "UPDATE trial_user_attributes SET value_json = replace(value_json, '\"rung\": 3', "
    "'\"rung\": 4') WHERE key = 'score' AND trial_id = 1",
    "a state": "UPDATE trials SET state = 'FAIL' WHERE trial_id = 1",
    "a trial": "UPDATE trials SET study_id = 2 WHERE trial_id = 1",
    "the scores of two runs": "UPDATE trials SET study_id = CASE study_id WHEN 1 THEN 3 ELSE 1 END",
    "the time of two runs": "UPDATE study_user_attributes SET value_json = o.value_json FROM "
    "study_user_attributes o WHERE study_user_attributes.key = 'seconds' AND o.key = 'seconds' "
    "AND study_user_attributes.study_id = 1 AND o.study_id = 3",
    "a study": "DELETE FROM studies WHERE study_id = 1",
    "a name": "UPDATE studies SET study_name = study_name || 'es' WHERE study_id = 2",
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_was_changed_is_told(server, address, make_run, edit):
    runs = make_run("one"), make_run("other")
    for run in runs:
        with sitting(run, trials=2) as search:
            search.run()
            search.store.note_seconds(float(len(str(run.path))))
    assert execute(server, address, "SELECT study_id FROM studies ORDER BY 1") == [
        (1,), (2,), (3,), (4,),
    ]  # fmt: skip
    query = EDITS[edit]
    if query.startswith("DELETE"):
        query = f"SET session_replication_role = replica; {query}"
    execute(server, address, query)

    def read():
        store = StudyStore(runs[0], read_only=True)
        store.require_sound()
        return store.seconds

    with pytest.raises(DamagedError) as told:
        read()
    assert runs[0].place.run in str(told.value)
    assert "\n" not in str(told.value)


def test_a_newer_schema_and_another_optuna(server, address, make_run):
    run = make_run()
    with sitting(run, trials=1) as search:
        search.run()
    execute(
        server, address, "UPDATE study_user_attributes SET value_json = '3' WHERE key = 'schema'"
    )
    for read_only in (True, False):
        with pytest.raises(RunError, match=r"newer dnsearch \(schema 3, this one knows 2\)"):
            StudyStore(run, read_only=read_only)
    for version, told in (
        ("v3.0.0.a", "optuna storage upgrade --storage postgres"),
        ("v9", "updating optuna"),
    ):
        execute(server, address, "UPDATE alembic_version SET version_num = %s", version)
        for read_only in (True, False):
            with pytest.raises(RunError, match=rf"cannot be used as Optuna storage: .*{told}"):
                StudyStore(run, read_only=read_only)


def test_results_that_have_moved(server, address, make_run):
    run = make_run()
    with sitting(run, trials=2) as search:
        search.run()
    elsewhere = server.make_database(f"{address.rpartition('/')[2]}_empty")
    run.note_place(run.place._replace(address=elsewhere))
    for read_only in (True, False):
        with pytest.raises(DamagedError, match=r"has no|cannot be used as Optuna storage"):
            StudyStore(run, read_only=read_only)
    run.note_place(run.place._replace(address=address))
    with sitting(run, trials=3) as search:
        assert search.run() == "all trials finished"


def test_failed_candidates_get_another_chance(make_run):
    def unlucky(job):
        return (
            fake_score(job).failed("out of memory") if len(search.records) == 1 else fake_score(job)
        )

    run = make_run()
    with sitting(run, trials=3) as search:
        search.evaluator.score = unlucky
        search.run()
        assert [bool(record.score.failure) for record in search.records] == [False, True, False]
    with sitting(run, trials=3) as search:
        search.store.set_failures_aside()
        (again,) = search.store.set_aside()
        assert len(search.records) == 2
    with sitting(run, trials=3) as search:
        search.run()
        assert search.records[-1].job.arch == again.arch


def test_optunas_own_tools_see_it(server, address, make_run):
    run = make_run()
    with sitting(run, trials=3, costs=("macs", "params")) as search:
        search.run()
    study = optuna.load_study(study_name=f"{run.place.run}/search", storage=address)
    assert study.metric_names == ["error", "macs", "params"]
    assert [trial.values for trial in study.trials] == [list(r.values) for r in search.records]


def test_two_begin_at_once_in_an_empty_database(make_run):
    """Whoever makes Optuna's tables."""
    failed = []

    def begin(run):
        try:
            StudyStore(run).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=begin, args=[make_run(f"run{n}")]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_role_that_may_not_make_tables(server, address, make_run, tmp_path, monkeypatch):
    execute(server, address, f"CREATE ROLE guest{server.port} LOGIN PASSWORD 'guest'")
    monkeypatch.setenv("PGPASSWORD", "guest")
    guest = address.replace(f"{server.user}@", f"guest{server.port}@")
    run = make_run()
    run.note_place(run.place._replace(address=guest))
    try:
        with pytest.raises(RunError, match="permission denied for schema public; ask who keeps"):
            StudyStore(run)
    finally:
        execute(server, address, f"DROP ROLE guest{server.port}")


@pytest.fixture
def typed(capsys, tmp_path, monkeypatch):
    """Types a command in a folder with a small study; its exit code and all that it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DNSEARCH_CACHE", str(tmp_path / "cache"))
    Path("small.toml").write_text(SMALL)

    def type_(*arguments):
        monkeypatch.setattr(sys, "argv", ["dnsearch", *arguments])
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        return ended.value.code, "".join(capsys.readouterr())

    return type_


def test_every_verb_finds_it_again(typed, address):
    code, told = typed("run", "small.toml", "--storage", address)
    assert code == 0, told
    place = RunDir.find("small").place
    assert f"note: results go to {address} ({place.run})\n" in told
    for command in (
        ["run", "small.toml", "--trials", "2"],
        ["report", "small"],
        ["status", "small"],
        ["list"],
        ["count", "small:least-error"],
        ["export", "small", "--to", "network"],
        ["confirm", "small", "--top", "1", "--sample", "0", "--seeds", "1"],
    ):
        code, told = typed(*command)
        assert code in (0, 1) if command[0] == "confirm" else code == 0, told
    assert not RunDir.find("small").database.exists()
    (listed,) = runs_in(Path("reports"))
    assert (listed.done, listed.problem) == (2, "")
    code, told = typed("run", "small.toml", "--restore")
    assert (code, told.count("\n")) == (2, 1)
    assert "--restore: the results of this run are in a server" in told


def test_list_does_not_wait_for_a_server_that_is_gone(make_run, address):
    runs = [make_run(f"run{n}") for n in range(3)]
    for run in runs:
        with sitting(run, trials=1) as search:
            search.run()
        (run.path / "study.toml").write_text('[search]\nsampler = "tpe"\ntrials = 3\n')
        dead = re.sub(r":\d+/", ":9/", address)
        run.note_place(run.place._replace(address=dead))
    found = runs_in(runs[0].path.parent)
    assert [each.problem.partition(":9/")[2].partition(": ")[2][:18] for each in found] == [
        "cannot be reached:"
    ] * 3


def test_no_password_anywhere(typed, server, address, tmp_path, monkeypatch):
    """Whatever goes right or wrong; also one that was typed where none may be."""
    canary = server.password
    spoilt = address.replace("@", f":{canary}@")
    told = ""
    for command in (
        ["run", "small.toml", "--storage", address, "--debug"],
        ["report", "small"],
        ["status", "small", "--json"],
        ["list", "--json"],
        ["run", "small.toml", "--storage", spoilt, "--debug"],
        ["run", "small.toml", f"--storage={spoilt}", "--debug"],
        ["run", "small.toml", "--storage", f"{address}?password={canary}", "--debug"],
        ["run", "small.toml", "--storage", spoilt.replace(canary, f"{canary}/?#@{canary}")],
        ["run", "small.toml", "--storage", spoilt.replace("postgresql", "mysql"), "--debug"],
        ["run", "small.toml", f"--storrage={spoilt}", "--debug"],
        ["run", spoilt, "--debug"],
        ["status", spoilt, "--debug"],
        ["run", "small.toml", "--name", "x", "--storage", f"{address}none", "--debug"],
        ["run", "small.toml", "--name", "x", "--storage", re.sub(r":\d+/", ":9/", address)],
        ["run", "spoilt.toml", "--debug"],
    ):
        Path("spoilt.toml").write_text(f'[search]\nstorage = "{spoilt}"\n')
        told += typed(*command)[1]
        Path("spoilt.toml").unlink()
    monkeypatch.setattr(
        "dnsearch.search.session.Engine.run", lambda *_: 1 / 0
    )  # a defect's traceback
    told += typed("run", "small.toml", "--trials", "2", "--debug")[1]
    monkeypatch.setattr(sys, "argv", ["dnsearch", "run", "small.toml", "--storage", spoilt])
    from dnsearch.cli.ending import stopped

    told += stopped(2)
    store = StudyStore(RunDir.find("small"), read_only=True)
    storage = store.storage
    told += f"{storage} {storage.optuna.engine.url} {storage.optuna.engine!r} {vars(storage)}"
    told += f"{vars(storage.optuna)} {store.logs[SEARCH].study._storage!r}"
    assert "Traceback" in told
    assert "ZeroDivisionError" in told
    assert "must not hold a password" in told
    assert canary not in told
    files = snapshot()
    assert "reports/small/storage.json" in files
    assert not [name for name, content in files.items() if canary.encode() in (content or b"")]


def test_the_password_from_a_file(server, address, tmp_path, monkeypatch):
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(
        RunError, match=r"no password supplied; as to the password, give it by PGPA"
    ):
        connect(address, "test")
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{server.port}:*:{server.user}:{server.password}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    connect(address, "test").close()


def test_a_service_file_says_all(server, address, tmp_path, monkeypatch):
    monkeypatch.delenv("PGPASSWORD")
    file = tmp_path / "services"
    file.write_text(
        f"[lab]\nhost=127.0.0.1\nport={server.port}\nuser={server.user}\n"
        f"dbname={address.rpartition('/')[2]}\npassword={server.password}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    run = RunDir(tmp_path / "run")
    run.note_place(Place("postgresql+psycopg://?service=lab", "run-abc"))
    StudyStore(run).close()
    assert server.password not in (run.path / "storage.json").read_text()


@pytest.mark.parametrize("number", range(1, 6))
def test_begins_at_any_commit(server, address, make_run, monkeypatch, number):
    """A connection that is lost as the studies are made; the commit itself had come through. The
    first is of opening the storage, which does not wait."""
    commit = PGDialect_psycopg.do_commit
    count = iter(range(10_000))

    def cut(self, connection):
        commit(self, connection)
        client = connection.dbapi_connection
        if "process" in client.info.get_parameters()["application_name"] and next(count) == number:
            execute(server, address, "SELECT pg_terminate_backend(%s)", client.info.backend_pid)
            client.execute("SELECT 1")

    monkeypatch.setattr(PGDialect_psycopg, "do_commit", cut)
    heard = []
    store = StudyStore(make_run(), note=heard.append)
    monkeypatch.undo()
    store.require_sound()
    store.close()
    assert len(heard) == 2
    names = execute(server, address, "SELECT study_name FROM studies ORDER BY study_id")
    assert [name.partition("/")[2] for (name,) in names] == ["search", "references"]
