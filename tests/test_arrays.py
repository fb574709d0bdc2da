import os

import numpy as np
import pytest

from dnsearch.arrays import is_mapped, load_mapped, mapped_from, release


@pytest.mark.parametrize(
    "array", [np.zeros(9, np.uint8), np.frombuffer(b"123456789", np.uint8), np.arange(9)[3:]]
)
def test_arrays_in_memory_are_no_mapped_files(array):
    """Whoever owns that memory: numpy, a bytes object, or a store that processes share."""
    assert not is_mapped(array)
    assert mapped_from(array) is None
    before = array.copy()
    release(array)
    assert np.array_equal(array, before)


def test_mapped_files_are_told_with_their_place(tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.arange(100, dtype=np.uint8))
    for mapped in (load_mapped(file)[5:], np.load(file, mmap_mode="c")[5:]):
        assert is_mapped(mapped)
        release(mapped)
        assert mapped[0] == 5
    _, start = mapped_from(load_mapped(file)[5:]) or (0, 0)
    assert start == file.read_bytes().index(bytes(range(5, 100)))
    assert mapped_from(np.load(file, mmap_mode="c")) is None  # of which NumPy keeps no open file


CUBE = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("array", [CUBE, np.asfortranarray(CUBE), np.zeros(3, "u1, <u4")])
def test_a_mapped_array_is_the_one_that_was_saved(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    mapped = load_mapped(tmp_path / "a.npy")
    assert mapped.dtype == array.dtype
    np.testing.assert_array_equal(mapped, array)
    mapped[:] = mapped[::-1].copy()  # in this process's copy
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


def test_its_file_is_open_until_the_last_view_of_it_is_gone(tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.arange(100, dtype=np.uint8))
    view = load_mapped(file)[5:]
    opened, start = mapped_from(view) or (0, 0)
    file.unlink()
    os.lseek(opened, start, os.SEEK_SET)
    assert os.read(opened, 3) == bytes([5, 6, 7])
    del view
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array", None])
def test_a_damaged_file_is_not_mapped(tmp_path, content):
    file = tmp_path / "a.npy"
    np.save(file, np.zeros(9))
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    with pytest.raises(ValueError, match=r"magic|header|empty file|too small"):
        load_mapped(file)
