"""A run's folder: names, the lock, and files that are whole or not there."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dnsearch import machine
from dnsearch.errors import RunError
from dnsearch.files import atomic, atomic_folder, write_json, write_text
from dnsearch.rundir import RunDir, check_name, environment, name_like


@pytest.mark.parametrize("name", ["a", "quickstart", "2026-11-23_x.y", "A" * 100])
def test_good_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("quickstart", "quickstart"),
        ("a-", "a-"),
        ("päck ä", "pack-a"),
        ("ö x", "o-x"),
        ("e\u0301te\u0301", "ete"),  # as macOS keeps it
        ("Straße 5", "Stra-e-5"),
        ("_draft", "draft"),
        ("(1)", "1"),
        ("日本", "run"),
        ("", "run"),
    ],
)
def test_a_name_like_a_text(text, name):
    assert check_name(name_like(text)) == name


@pytest.mark.parametrize(
    "name",
    ["", "..", "../x", "a/b", "a\\b", "/a", ".hidden", "-x", "_x", "ä", "x y", "x\n", "A" * 101],
)
def test_bad_names(name, tmp_path):
    with pytest.raises(RunError, match=r"^a run's name must be .*got .*choose another with --name"):
        RunDir.named(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_atomic_leaves_the_old_file_when_interrupted(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")

    def write():
        with atomic(file) as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_atomic_replaces_the_file_and_makes_its_folder(tmp_path):
    file = tmp_path / "a" / "b.txt"
    for text in ("one", "two"):
        write_text(file, text)
        assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_atomic_keeps_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    write_text(tmp_path / "ours", "")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "ours")}
    assert len(modes) == 1


@pytest.mark.parametrize("name", ["file/x.txt", "folder", "n" * 256])
def test_atomic_names_the_file_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match=rf"{re.escape(str(tmp_path / name))}: cannot be written: "):
        write_text(tmp_path / name, "text")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"θ": [1, 0.5, None]})
    assert RunDir(tmp_path).read_json("a.json", "θ") == {"θ": [1, 0.5, None]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", r"a.json: must be valid JSON: .*"),
        (b"\xff", r"a.json: must be valid JSON: .*"),
        (b"3", r"a.json: must be a JSON object, got int"),
        (b'{"a": 1}', r"a.json: must have the key 'b'.*"),
        (None, r"a.json: cannot be read: No such file or directory"),
    ],
)
def test_bad_json(tmp_path, content, told):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RunError, match=told):
        RunDir(tmp_path).read_json("a.json", "a", "b")


def test_find(tmp_path):
    for name in ("one", "two"):
        write_text(tmp_path / "reports" / name / "study.db", "")
    reports = tmp_path / "reports"
    assert RunDir.find("one", reports).name == "one"
    assert RunDir.find(str(reports / "two"), reports).name == "two"
    with pytest.raises(RunError, match=r"there is no run 'onne'; did you mean 'one'\?"):
        RunDir.find("onne", reports)
    with pytest.raises(RunError, match=r"there is no run 'x\\x00'; known are one, two"):
        RunDir.find("x\0", reports)
    with pytest.raises(RunError, match=r"there are no runs in .*none/ yet"):
        RunDir.find("one", tmp_path / "none")


def test_lock_names_its_holder(tmp_path):
    run = RunDir(tmp_path / "x")
    with (
        run.lock(),
        pytest.raises(
            RunError, match=rf"x: in use by process {os.getpid()} on \S+ since \S+; wait"
        ),
        run.lock(),
    ):
        pass
    assert os.listdir(run.path) == ["run.lock"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"process": 3}', None])
def test_lock_of_an_unknown_holder(tmp_path, content):
    run = RunDir(tmp_path)
    with run.lock():
        holder = run.path / "holder.json"
        holder.unlink()
        if content is not None:
            holder.write_text(content)
        with pytest.raises(RunError, match="in use by another process; wait"), run.lock():
            pass


def test_lock_is_given_back(tmp_path):
    run = RunDir(tmp_path / "x")
    with pytest.raises(ZeroDivisionError), run.lock():
        raise ZeroDivisionError
    with run.lock():
        pass


def test_lock_below_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(RunError, match=r"file/x: cannot be written: "),
        RunDir(tmp_path / "file" / "x").lock(),
    ):
        pass


def test_environment_names_versions():
    known = environment()
    assert known["packages"].keys() >= {"torch", "optuna", "numpy"}
    assert known["cpu_cores"] >= 1


def test_a_dead_holders_lock_is_not_even_tried(tmp_path, monkeypatch):
    """Lest asking keep the run from being started again at that moment."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    holder = {"process": ended.pid, "host": platform.node(), "since": "2026-01-01T00:00:00+00:00"}
    write_json(tmp_path / "holder.json", holder)
    monkeypatch.setattr("filelock.FileLock", None)
    assert RunDir(tmp_path).holder() is None


def holder_json(run, **changed):
    """A lock that a process left which is no more, unless it is changed."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    told = {"process": ended.pid, "since": "2026-01-01T00:00:00+00:00"}
    told |= {"host": platform.node(), "boot": machine.boot(), **changed}
    write_json(run.path / "holder.json", told)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"process": os.getpid()},  # whose number it was: the system's lock says that it is free
        {"boot": "another", "process": os.getpid()},  # this machine was started anew
        {"host": "container-7"},  # one on this machine
    ],
)
def test_what_a_dead_process_of_this_machine_held_is_taken_over(tmp_path, monkeypatch, changed):
    monkeypatch.setattr(machine, "boot", lambda: "now")
    run = RunDir(tmp_path)
    holder_json(run, **{"boot": "now", **changed})
    assert run.holder() is None
    with run.lock():
        assert run.read_json("holder.json")["process"] == os.getpid()
    assert not (tmp_path / "holder.json").exists()


@pytest.mark.parametrize("boot", ["another", ""])
def test_what_another_machine_holds_is_not_taken_over(tmp_path, boot):
    """Its file system may keep locks for each machine apart, so that the lock itself is free."""
    run = RunDir(tmp_path)
    holder_json(run, host="node-7", boot=boot)
    assert run.holder().host == "node-7"
    told = r"in use by process \d+ on node-7 since 2026\S+, another machine, .*; wait .* or remove "
    with pytest.raises(RunError, match=rf"{told}\S+holder\.json if it was killed$"), run.lock():
        pass
    (tmp_path / "holder.json").unlink()  # as it says
    with run.lock():
        pass


HOLDS = """
import sys, time
from pathlib import Path
from dnsearch.rundir import RunDir
with RunDir(Path(sys.argv[1])).lock():
    print("has it", flush=True)
    time.sleep(600)
"""


def test_of_two_processes_one_has_the_run_until_it_is_killed(tmp_path):
    run = RunDir(tmp_path)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDS, tmp_path],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [each.stdout.readline() for each in both]  # nothing of the one that was refused
    assert sorted(said) == ["", "has it\n"]
    has, refused = both if said[0] else both[::-1]
    told = rf"in use by (process {has.pid} on|another process)"  # it may not have noted itself yet
    assert re.search(told, refused.communicate()[1])
    with pytest.raises(RunError, match=f"process {has.pid} on {platform.node()}"), run.lock():
        pass
    assert run.holder().process == has.pid
    has.kill()
    has.communicate()
    assert (tmp_path / "holder.json").exists()
    assert run.holder() is None
    with run.lock():
        pass


def left(path, mark):
    """A file and a folder that a process with this mark has left beside a path; their names."""
    file, folder = (
        path.with_name(f".{path.name}.{mark}-{token}.unfinished") for token in ("ab12", "cd34")
    )
    file.write_text("half")
    folder.mkdir()
    (folder / "file").write_text("half")
    return {file.name, folder.name}


def test_what_a_killed_process_left_goes_when_its_file_is_written_again(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file, here = tmp_path / "a.txt", machine.mark().partition("-")[0]
    mine, others = left(file, machine.mark()), left(file, "0123abcd-1")
    left(file, f"{here}-{ended.pid}")
    write_text(file, "whole")
    assert {each.name for each in tmp_path.iterdir()} == {"a.txt", *mine, *others}
    for name in others:  # nothing is known of another machine's processes
        os.utime(tmp_path / name, (0, 0))
    write_text(file, "whole")
    assert {each.name for each in tmp_path.iterdir()} == {"a.txt", *mine}


WRITER = """
import sys
from pathlib import Path
from dnsearch.files import atomic
with atomic(Path(sys.argv[1])) as aside:
    aside.write_text("whole")
    print("writing", flush=True)
    sys.stdin.readline()
"""


def test_locking_a_run_removes_what_was_left_and_spares_what_is_being_written(tmp_path):
    """`dnsearch report` writes into a run without its lock, so also while a search begins."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = machine.mark().partition("-")[0]
    (tmp_path / "figures").mkdir()
    for file in (tmp_path / "study.db", tmp_path / "figures" / "a.b.svg"):
        left(file, f"{here}-{ended.pid}")
    others = left(tmp_path / "old.txt", "0123abcd-1")
    for name in others:
        os.utime(tmp_path / name, (0, 0))
    report = tmp_path / "report.html"
    command = [sys.executable, "-c", WRITER, str(report)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as writer:
        assert writer.stdout.readline() == "writing\n"
        with RunDir(tmp_path).lock():
            (being_written,) = tmp_path.rglob(".*.unfinished")
        assert being_written.name.startswith(".report.html.")
        writer.communicate("\n")
    assert writer.returncode == 0
    assert report.read_text() == "whole"
    assert [*tmp_path.rglob(".*.unfinished")] == []


@pytest.mark.parametrize("target", ["export", "."])
def test_a_folder_is_there_whole_or_not_at_all(tmp_path, monkeypatch, target):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(FileNotFoundError), atomic_folder(Path(target)) as folder:
        shutil.copytree(tmp_path / "nowhere", folder / "half")
    assert [*tmp_path.rglob("*")] == [tmp_path / "work"]
    with atomic_folder(Path(target)) as folder:
        (folder / "file").write_text("whole")
    assert (tmp_path / "work" / target / "file").read_text() == "whole"
    assert [*tmp_path.rglob(".*")] == []


def test_a_thousand_folders_deep(tmp_path, monkeypatch, request):
    remove = ["rm", "-rf", str(tmp_path / "a")]  # pytest's own way calls itself, too
    request.addfinalizer(lambda: subprocess.run(remove, check=True))
    monkeypatch.chdir(tmp_path)
    deep = Path(*["a"] * 1500)
    write_text(deep / "x.txt", "x")
    assert (deep / "x.txt").read_text() == "x"
    with pytest.raises(RunError, match="cannot be written: File name too long"):
        write_text(Path(*["a"] * 3000) / "x.txt", "x")


def test_the_training_of_one_network_is_no_search(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "training.json").write_text("{}")
    with pytest.raises(RunError, match=r"net: is the training of one network, .* is in .*network"):
        RunDir.find("net", tmp_path)
