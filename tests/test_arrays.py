import numpy as np
import pytest

from dnsearch.arrays import is_mapped, mapped_from, release


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
    file = tmp_path / "a.bin"
    np.arange(100, dtype=np.uint8).tofile(file)
    mapped = np.memmap(file, np.uint8, "r", offset=10)[5:]
    assert is_mapped(mapped)
    assert mapped_from(mapped) == (str(file), 15)
    release(mapped)
    assert mapped[0] == 15
