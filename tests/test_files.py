"""Files of ours, read only as they were written, and files of others, left alone."""

import json
import os
import random
import subprocess
import zipfile
from pathlib import Path

import pytest

from dnsearch.config import SIGN, DataConfig, load_study, parse_study, recorded
from dnsearch.data import prepare
from dnsearch.errors import ConfigError, DamagedError, DataError, RunError
from dnsearch.files import (
    SCHEMA,
    is_stream,
    read_json,
    require_as_listed,
    require_ours,
    require_sound_zip,
    sha256,
    write_json,
    write_text,
)
from dnsearch.rundir import PAGE_SIGN, RunDir
from dnsearch.text import as_cell
from tests.invented_runs import invent

VALUE = {"error": 0.125, "runs": [1, None, "θ"], "by key": {"b": True, "a": -3e-05}}


def test_any_changed_byte_of_json_is_found_or_harmless(tmp_path):
    file, chance = tmp_path / "a.json", random.Random(0)
    write_json(file, VALUE)
    content = file.read_bytes()
    told = []
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        try:
            assert read_json(file) == VALUE
        except DamagedError as error:
            told.append(str(error))
    assert len(told) > len(content) / 2
    assert not any("\n" in each for each in told)


def test_json_written_by_hand_or_before_checksums(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(VALUE))
    assert read_json(tmp_path / "a.json") == VALUE


def test_json_of_a_newer_version(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("dnsearch.files.SCHEMA", SCHEMA + 1)
        write_json(tmp_path / "a.json", VALUE)
    told = rf"a\.json: was written by a newer dnsearch \(schema {SCHEMA + 1}, .*; update dnsearch"
    with pytest.raises(RunError, match=told):
        read_json(tmp_path / "a.json")


def test_json_that_is_too_large_or_too_deep(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(DamagedError, match=r"a\.json: must be valid JSON"):
        read_json(tmp_path / "a.json")
    monkeypatch.setattr("dnsearch.files.MOST_BYTES", 2**20)
    (tmp_path / "a.json").write_text(" " * (2**20 + 1))
    with pytest.raises(DamagedError, match=r"a\.json: must have at most 1 MB"):
        read_json(tmp_path / "a.json")


def test_a_file_that_a_manifest_lists_otherwise(tmp_path):
    file = tmp_path / "w.bin"
    file.write_bytes(b"weights")
    require_as_listed(file)
    write_json(tmp_path / "manifest.json", {"files": {"w.bin": {"sha256": sha256(file)}}})
    require_as_listed(file)
    file.write_bytes(b"weighty")
    with pytest.raises(DamagedError, match=r"w\.bin: was changed or damaged, as manifest\.json"):
        require_as_listed(file)
    (tmp_path / "manifest.json").write_text('{"name": "of another program"}')
    require_as_listed(file)


def test_a_zip_whose_content_was_changed(tmp_path):
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data", b"0123456789")
    require_sound_zip(file)
    file.write_bytes(file.read_bytes().replace(b"345", b"346"))
    with pytest.raises(ValueError, match="data does not match its CRC-32"):
        require_sound_zip(file)


def test_only_ours_is_replaced(tmp_path):
    page = tmp_path / "report.html"
    require_ours(page, PAGE_SIGN)
    page.write_text("<title>my thesis</title>")
    with pytest.raises(RunError, match=r"report\.html: is not dnsearch's and would be overwritten"):
        require_ours(page, PAGE_SIGN)


@pytest.mark.parametrize("name", ["study.toml", "report.html"])
def test_a_folder_with_files_of_the_users_own_is_no_run(tmp_path, name):
    own = tmp_path / "run" / name
    own.parent.mkdir()
    own.write_text("[data]\n# mine")
    with pytest.raises(RunError, match=rf"{name}: is not dnsearch's"):
        invent("run", tmp_path, trials=1)
    assert own.read_text() == "[data]\n# mine"
    assert not RunDir(own.parent).database.exists()


def test_a_run_that_was_killed_while_it_was_set_up_goes_on(tmp_path):
    run = invent("run", tmp_path, trials=1)
    run.database.unlink()
    invent("run", tmp_path, trials=2)


def test_the_study_of_a_run_is_read_as_it_was_written(tmp_path):
    study, file = parse_study("[search]\ntrials = 40"), tmp_path / "study.toml"
    file.write_text(recorded(study))
    assert file.read_text().startswith(SIGN)
    (tmp_path / "study.db").touch()
    assert load_study(file) == study
    file.write_text(recorded(study).replace("trials = 40", "trials = 48"))
    with pytest.raises(ConfigError, match=r"study\.toml: must be as its checksum has it"):
        load_study(file)
    file.write_text(SIGN[:9])
    with pytest.raises(ConfigError, match=r"study\.toml: must be as its checksum has it"):
        load_study(file)
    file.write_text(recorded(study).replace("trials = 40", "trials = 48"))
    (tmp_path / "study.db").unlink()  # a copy, to start another study from
    assert load_study(file).search.trials == 48


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1"])
def test_no_cell_is_a_formula(text):
    assert as_cell(text) == f"'{text}"
    assert as_cell(f"a{text}") == f"a{text}"


def test_a_pipe_is_read_to_its_end_or_given_up(tmp_path, monkeypatch):
    """One that nobody writes into would be waited for as long as nobody does."""
    pipe = tmp_path / "study.toml"
    os.mkfifo(pipe)
    slowly = 'exec > "$0"; echo "[search]"; sleep 0.1; echo trials = 7'
    writer = subprocess.Popen(["bash", "-c", slowly, pipe])
    assert load_study(pipe).search.trials == 7
    writer.wait()
    both = os.open(pipe, os.O_RDWR)
    os.write(both, b"[search]\ntrials = 5")
    there = os.open(pipe, os.O_RDONLY)
    os.close(both)  # as where a shell opened it, and the writer has left
    assert load_study(f"/proc/self/fd/{there}").search.trials == 5
    os.close(there)
    monkeypatch.setattr("dnsearch.files.PIPE_SECONDS", 0.01)
    with pytest.raises(ConfigError, match=r"study\.toml: .*nothing was written into this pipe"):
        load_study(pipe)
    with pytest.raises(RunError, match=r"study\.toml: .*nothing was written into this pipe"):
        read_json(pipe)


def test_a_file_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("dnsearch.files.MOST_BYTES", 2**20)
    with pytest.raises(ConfigError, match=r"/dev/zero: must be .* must have at most 1 MB"):
        load_study("/dev/zero")


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_pipes_among_images_are_refused_at_once(tmp_path, kind):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            os.mkfifo(tmp_path / name / f"{number}.png")
    os.mkfifo(tmp_path / "x.npz")
    path = tmp_path / "x.npz" if kind == "npz" else tmp_path
    with pytest.raises(DataError, match="is no regular file"):
        prepare(DataConfig(format=kind, path=path), cache=tmp_path / "cache")


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_pipe_is_written_into_and_stays(tmp_path, through_a_link):
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "pipe"
    if through_a_link:
        path = tmp_path / "link"
        path.symlink_to("pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE) as reader:
        write_text(path, "told")
        written = path.is_fifo()  # else the reader waits for ever
        if not written:
            reader.kill()
        assert written
        assert reader.communicate(timeout=60)[0] == b"told"
    assert (tmp_path / "pipe").is_fifo()
    assert path.is_symlink() == through_a_link
    assert len(list(tmp_path.iterdir())) == 1 + through_a_link


def test_what_is_open_goes_on_where_it_is(tmp_path):
    """As where a shell has put a file behind /dev/fd/N, with something in it already."""
    file = os.open(tmp_path / "told.txt", os.O_WRONLY | os.O_CREAT)
    os.write(file, b"first ")
    write_text(Path(f"/dev/fd/{file}"), "second ")
    os.write(file, b"third")
    os.close(file)
    assert (tmp_path / "told.txt").read_bytes() == b"first second third"


@pytest.mark.parametrize(
    ("path", "streams"),
    [
        ("/dev/null", True),
        ("/dev/stdout", True),  # also where that leads to a file
        ("/dev/fd/1", True),
        ("/proc/self/fd/1", True),
        ("/dev/shm/reports/candidates.csv", False),
        ("reports/candidates.csv", False),
    ],
)
def test_devices_are_streams(path, streams):
    """They are not written to here: who may would replace them if this were wrong."""
    assert is_stream(Path(path)) == streams
