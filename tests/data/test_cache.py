import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from dnsearch.cachedir import cache_root
from dnsearch.data import cache
from dnsearch.data.cache import Entry, cache_key, cached


def entry(fill=7):
    return Entry({"a": np.full((3, 4), fill, np.uint8), "b": np.arange(5)}, {"names": ["x", "y"]})


def must_not_build():
    raise AssertionError("was built although it is cached")


def test_is_built_once_and_mapped(tmp_path):
    first = cached(tmp_path / "key", entry)
    again = cached(tmp_path / "key", must_not_build)
    for found in (first, again):
        assert isinstance(found.arrays["a"], np.memmap)
        np.testing.assert_array_equal(found.arrays["a"], entry().arrays["a"])
        np.testing.assert_array_equal(found.arrays["b"], np.arange(5))
        assert found.facts == {"names": ["x", "y"]}


def test_nothing_is_left_aside(tmp_path):
    cached(tmp_path / "key", entry)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_writing_stays_in_the_process(tmp_path):
    cached(tmp_path / "key", entry).arrays["a"][:] = 0
    assert (cached(tmp_path / "key", must_not_build).arrays["a"] == 7).all()


@pytest.mark.parametrize("damaged", ["a.npy", "facts.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_damaged_entry_is_built_again(tmp_path, damaged, content):
    cached(tmp_path / "key", entry)
    path = tmp_path / "key" / damaged
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    assert (cached(tmp_path / "key", lambda: entry(8)).arrays["a"] == 8).all()
    assert (cached(tmp_path / "key", must_not_build).arrays["a"] == 8).all()


def test_unwritable_cache_works_from_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    found = cached(tmp_path / "file" / "key", entry)
    assert (found.arrays["a"] == 7).all()
    assert "not cached" in caplog.text


def test_full_disk_works_from_memory(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    assert (cached(tmp_path / "key", entry).arrays["a"] == 7).all()
    assert list(tmp_path.iterdir()) == []


def test_errors_of_building_pass_through(tmp_path):
    def fail():
        raise ValueError("bad picture")

    with pytest.raises(ValueError, match="bad picture"):
        cached(tmp_path / "key", fail)
    assert list(tmp_path.iterdir()) == []


def build_late(folder, barrier, fill):
    """In its own process: every process is building before the first one stores."""

    def build():
        barrier.wait(20)
        return entry(fill)

    found = cached(Path(folder), build).arrays["a"]
    assert (found == found[0, 0]).all()


def test_processes_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    arguments = [(str(tmp_path / "key"), barrier, fill) for fill in range(4)]
    processes = [context.Process(target=build_late, args=a) for a in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_key_changes_with_settings_and_files(tmp_path):
    file = tmp_path / "x"
    file.write_text("12")
    keys = {cache_key(["a"], (file,)), cache_key(["b"], (file,)), cache_key(["a"], ())}
    file.write_text("123")
    keys.add(cache_key(["a"], (file,)))
    assert len(keys) == 4
    assert cache_key(["a"], (file,)) in keys
    keys.add(cache_key(["a"], (tmp_path / "a broken link",)))
    assert len(keys) == 5


@pytest.fixture
def unchanged(tmp_path):
    """(name, content): writes a file whose size and time of change stay what they were."""

    def write(name, content):
        path = tmp_path / name
        before = path.stat() if path.exists() else None
        path.write_bytes(content)
        if before:
            assert path.stat().st_size == before.st_size
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return path

    return write


def test_key_tells_contents_of_the_same_size_and_time(unchanged):
    keys = [cache_key([], (unchanged("x", content),)) for content in (b"ab", b"ac", b"ab")]
    assert keys[0] == keys[2] != keys[1]


def test_key_of_a_large_file_tells_its_ends_and_its_labels(unchanged, monkeypatch):
    monkeypatch.setattr(cache, "WHOLE_BYTES", 100)
    monkeypatch.setattr(cache, "BLOCK", 10)
    content = bytearray(1000)
    key = cache_key([], (unchanged("x", content),), lambda: b"labels")
    for place in (0, 999):
        changed = content.copy()
        changed[place] = 1
        assert cache_key([], (unchanged("x", changed),), lambda: b"labels") != key
    assert cache_key([], (unchanged("x", content),), lambda: b"other") != key
    assert cache_key([], (unchanged("x", content),), lambda: b"labels") == key


def test_key_of_many_files_reads_some_of_them(unchanged, monkeypatch):
    monkeypatch.setattr(cache, "WHOLE_FILES", 4)
    files = tuple(unchanged(str(i), b"a") for i in range(10))
    key = cache_key([], files)
    keys = []
    for i in range(10):
        unchanged(str(i), b"b")
        keys.append(cache_key([], files))
        unchanged(str(i), b"a")
    assert 3 <= sum(other != key for other in keys) <= 4


def test_root(monkeypatch):
    monkeypatch.setenv("DNSEARCH_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/own")
    monkeypatch.delenv("DNSEARCH_CACHE")
    assert cache_root() == Path("/xdg/dnsearch")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_root() == Path("/home/someone/.cache/dnsearch")
