"""``dnsearch run``: studies, names, folders and runs that are refused."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from dnsearch.cli.ending import typed
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results

from .conftest import SMALL, snapshot


@pytest.fixture
def study(dnsearch) -> Path:
    Path("small.toml").write_text(SMALL)
    return Path("small.toml")


@pytest.fixture
def run(study, trained) -> RunDir:
    """The trained run in the present folder, to be spoilt."""
    shutil.copytree(trained.path, "reports/small")
    return RunDir(Path("reports/small"))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["none.toml"], r"none.toml: there is no such study file; dnsearch init writes one .*"),
        (["."], r".: must be a readable study file: Is a directory"),
        (["small.toml", "--time", "soon"], r"--time must be a number of seconds .* got 'soon'"),
        (["small.toml", "--trials", "0"], r"invalid value for '--trials': 0 .*"),
        (["small.toml", "--to", "small.toml"], r"small.toml/small: cannot be written: .*"),
        (["small.toml", "--time", "0s"], r"--time must be greater than 0, got '0s'"),
        (["small.toml", "--device", "tpu"], r"--device must be auto, cpu, cuda or .*, got 'tpu'"),
        (["small.toml", "--workers", "5000"], r"--workers must be at most 1024, got 5000"),
    ],
)
def test_refused(refused, study, typed, told):
    assert re.fullmatch(told, refused("run", *typed))


def test_an_interruption_is_no_success(dnsearch, run, monkeypatch):
    """Lest ``dnsearch run x && dnsearch confirm x`` go on after Ctrl-C; what was found is shown."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dnsearch.search.session.Engine.run", interrupt)
        code, out, err = dnsearch("run", "small.toml", "--trials", 2)
    assert code == 130
    assert "interrupted: 1 candidate trained" in out
    assert err.splitlines()[-1] == f"dnsearch: stopped by Ctrl-C; to go on:  {typed()}"
    with monkeypatch.context() as patch:
        patch.setattr("dnsearch.cli.run.override", interrupt)
        code, _, err = dnsearch("run", "small.toml")
    assert (code, err.strip()) == (130, f"dnsearch: stopped by Ctrl-C; to go on:  {typed()}")


def test_a_budget_that_ended_is_a_success(dnsearch, run):
    assert dnsearch("run", "small.toml").code == 0
    assert dnsearch("run", "small.toml", "--trials", 9, "--time", "0.001 s").code == 0


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "-x", "ä", "x y", "x\n", "a" * 101])
def test_names_are_checked_before_they_are_paths(refused, study, name):
    assert f"got {name!r}; choose another with --name" in refused("run", study, f"--name={name}")


def test_name_of_the_file_is_checked_too(refused, study):
    long = "a" * 101
    study.rename(f"{long}.toml")
    assert f"got {long!r}; choose another with --name" in refused("run", f"{long}.toml")


def test_any_name_of_a_file_gives_a_run_its_name(dnsearch, study):
    study.rename("päck ä.toml")
    assert dnsearch("run", "päck ä.toml").code == 0
    assert Path("reports/pack-a/study.toml").is_file()


def test_a_storage_of_a_newer_optuna(refused, run):
    with sqlite3.connect(run.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9.a'")
    connection.close()
    for verb in ("report", "run", "confirm"):
        told = refused(verb, "small.toml" if verb == "run" else "small")
        assert "study.db: cannot be used as Optuna storage: The runtime optuna version" in told


def test_run_where_a_file_lies(refused, study):
    Path("reports").mkdir()
    Path("reports/small").write_text("mine")
    assert refused("run", study) == "reports/small: cannot be written: Not a directory"


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("[space]\ngrowht_rate = 3", r"x.toml: space.growht_rate is no known key; did you mean .*"),
        (
            "[limits]\nmax_macs = 100",
            r"no point of the space has macs <= 100; the smallest has \S+; raise limits.max_macs.*",
        ),
        (
            "[space]\nblock_config = [1, 1, 1, 1, 1, 1]",
            r"space.block_config or data.image_size: input size must be at least 32x32 for 6 "
            r"blocks after the cifar stem, got '28x28'; take larger images or fewer blocks",
        ),
        ('[data]\nformat = "npz"', r"data.path must be set for format 'npz'"),
        ('[data]\npath = "."', r"data.path must not be set for format 'fashion-mnist-16k'.*"),
        (
            '[data]\nformat = "cifar10"\npath = "none"',
            r"data.path must be a file or folder that exists, got '.*none'",
        ),
        ('[data]\nformat = "npz"\npath = "x.toml"', r".*x.toml: must be a readable .npz file: .*"),
        ('[data]\nformat = "folder"\npath = "."', r".*: must hold .*sub-folder.*"),
        (
            "[data]\ntrain_images = 3",
            r"data.train_images must be between 10 \(one a class\) and 8000 .* got 3",
        ),
        ('[search]\ndevice = "cuda:99"', r"search.device must be a device of this machine.*"),
        pytest.param(
            '[search]\nstart = ["densenet121"]',
            r"search.start\[0\]: input size must be at least 29x29 .*",
        ),
        pytest.param(
            '[limits]\nmax_macs = 4e5\n[search]\nstart = ["densenet-40-12"]',
            r"search.start\[0\] must have macs <= limits.max_macs = 400000, got \d+",
        ),
    ],
)
def test_study_refused(refused, section, told):
    Path("x.toml").write_text(section)
    assert re.fullmatch(told, refused("run", "x.toml", "--trials", "1"))


def test_changed_study(refused, run):
    text = SMALL.replace("[4, 6]", "[4]").replace("rungs = [2]", "rungs = [3]")
    Path("small.toml").write_text(text)
    assert refused("run", "small.toml") == (
        "reports/small: was run with another study (space.growth_rate: [4, 6] -> [4]; "
        "training.rungs: [2] -> [3]); change it back, or give this one another --name"
    )


def test_finished_run_is_not_run_again(dnsearch, run, study):
    database = run.database.read_bytes()
    code, out, _ = dnsearch("run", study)
    assert code == 0
    assert re.search(r"\b1 candidates? trained", out)
    assert len(database) == len(run.database.read_bytes())


def test_budgets_may_change(dnsearch, run, study):
    code, out, _ = dnsearch("run", study, "--trials", 2)
    assert code == 0
    assert "2 candidates trained" in out


def test_where_images_are_kept_may_change(dnsearch, run, study):
    """Workers find the same, whatever they are told."""
    assert dnsearch("run", study, "--trials", 2, "--name", "other").code == 0
    study.write_text(SMALL.replace("[data]", '[data]\nkeep = "disk"'))
    code, out, err = dnsearch("run", study, "--trials", 2)
    assert code == 0
    note = "are read from the disk batch by batch, ahead of each step ("
    assert note in out + err
    wanted, found = (read_results(RunDir(Path("reports", name))) for name in ("other", "small"))
    assert [each.error for each in found.measured] == [each.error for each in wanted.measured]


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("data.json", "{", r"reports/small/data.json: must be valid JSON: .*"),
        ("data.json", "[]", r"reports/small/data.json: must be a JSON object, got list"),
        ("data.json", None, r"reports/small/data.json: cannot be read: No such file .*"),
        (
            "data.json",
            '{"fingerprint": "0"}',
            r"reports/small: the images changed since it was run .*give this study another --name",
        ),
        ("study.toml", "x", r"reports/small/study.toml: must be valid TOML: .*"),
        ("study.db", "no data base", r"reports/small/study.db: cannot be used as Optuna storage.*"),
        pytest.param("data.json", "{}", r"reports/small/data.json: .*fingerprint.*"),
        pytest.param("study.toml", None, r"reports/small.*study.toml.*"),
    ],
)
def test_damaged_run(refused, run, study, file, content, told):
    if content is None:
        (run.path / file).unlink()
    else:
        (run.path / file).write_text(content)
    assert re.fullmatch(told, refused("run", study))


def test_environment_is_written_again(dnsearch, run, study):
    (run.path / "environment.json").unlink()
    assert dnsearch("run", study).code == 0
    assert run.read_json("environment.json")["python"]


def test_second_coordinator(dnsearch, run, study):
    with run.lock():
        before = snapshot()
        code, _, err = dnsearch("run", study)
        assert snapshot() == before
    assert code == 2
    assert re.fullmatch(
        r"dnsearch: reports/small: in use by process \d+ on \S+ since \S+; wait for it .*\n",
        err,
    )


def test_scaling_trains_a_grid_of_its_own_beside_the_search(dnsearch, tmp_path):
    space = "growth_rate = [1, 4, 16]\nblock_config = [[1, 2], [1, 2]]\nbn_size = [0]"
    study = f"[data]\nimage_size = 8\ntrain_images = 200\n[space]\n{space}\n"
    (tmp_path / "wide.toml").write_text(f"{study}[training]\nrungs = [1]\n[search]\nworkers = 2\n")
    done = dnsearch("run", "wide.toml", "--scaling", "--trials", 9)
    assert done.code == 0
    assert "scaling, 2 workers" in done.out
    assert "on part of the images" in done.out
    assert "dnsearch scale wide-scaling" in done.out
    assert (tmp_path / "reports/wide-scaling/report.html").is_file()

    narrow = space.replace("[1, 4, 16]", "[4]")
    (tmp_path / "narrow.toml").write_text(study.replace(space, narrow))
    refused = dnsearch("run", "narrow.toml", "--scaling")
    assert refused.code == 2
    assert "a scaling design takes networks over 16 times in MACs" in refused.err
    assert not (tmp_path / "reports/narrow-scaling").exists()  # its study may be mended


def test_a_run_stays_in_the_storage_where_it_began(refused, run):
    told = refused("run", "small.toml", "--storage", "postgresql://me@db/runs")
    assert told.startswith("reports/small: has its results in study.db, and a run stays where it ")
    told = refused("run", "small.toml", "--storage", "postgresql://me:sesame@db/runs")
    assert told.startswith("--storage must not hold a password; give it by PGPASSWORD, ~/.pgpass ")
