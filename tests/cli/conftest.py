"""The command line as a person meets it: what is typed, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from dnsearch.cli import main
from dnsearch.rundir import RunDir
from tests.cache import make_cache

SMALL = """
[data]
image_size = 8
train_images = 2000
[space]
growth_rate = [4, 6]
block_config = [[1], [1, 2]]
bn_size = [0]
[training]
rungs = [2]
[search]
trials = 1
workers = 1
device = "cpu"
"""


class Typed(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The user's cache of decoded images is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNSEARCH_CACHE", make_cache(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def dnsearch(capsys, tmp_path, monkeypatch) -> Callable[..., Typed]:
    """Types a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: object) -> Typed:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Typed(ended.value.code, out, err)

    return typed


@pytest.fixture
def refused(dnsearch) -> Callable[..., str]:
    """Types a command that must be refused in one line, leaving everything as it was."""

    def typed(*arguments: object, code: int = 2) -> str:
        before = snapshot()
        ended, out, err = dnsearch(*arguments)
        assert (ended, out) == (code, "")
        if err.startswith("decoding "):  # told where it takes long, as on a busy machine
            err = err.partition("\n")[2]
        assert err.startswith("dnsearch: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert snapshot() == before
        return err.removeprefix("dnsearch: ").rstrip("\n")

    return typed


def snapshot(folder: Path = Path()) -> dict[str, bytes | None]:
    """All files below a folder with what is in them; the lock's file aside, which holds nothing."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != "run.lock"
    }


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> RunDir:
    """A run with one small network, trained once for all tests."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.toml").write_text(SMALL)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder / "small.toml"), "--to", str(folder / "reports")])
    assert ended.value.code == 0
    return RunDir(folder / "reports" / "small")
