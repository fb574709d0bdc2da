"""The report of a search while it goes on: how often it is written, what it says, what it may not
disturb."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnsearch.cli import pages
from dnsearch.cli.pages import FIRST_SECONDS, SHARE, Refresher, write_page
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results
from dnsearch.search.standing import Observer
from tests.invented_runs import invent

TOP = SimpleNamespace(finished=(SimpleNamespace(values=[0.1, 1.0]),))
LOWER = SimpleNamespace(finished=(SimpleNamespace(values=None),))
NOTHING = SimpleNamespace(finished=())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refresher(clock, monkeypatch):
    """Writing takes 5 s of its clock; ``written`` notes when."""
    found = Refresher(RunDir(Path("nowhere")), lambda _: None, clock)
    found.written = []

    def write():
        found.written.append(clock.now)
        clock.now += 5.0

    monkeypatch.setattr(found, "_write", write)
    return found


def test_writing_takes_a_small_share_of_a_search(refresher, clock):
    for _ in range(100_000):
        clock.now += 1.0
        refresher(TOP)
    assert refresher.written[0] == FIRST_SECONDS
    assert len(refresher.written) > 100
    assert 5.0 * len(refresher.written) / clock.now <= SHARE


def test_it_is_written_only_where_a_network_was_trained_to_the_top_rung(refresher, clock):
    clock.now = FIRST_SECONDS
    refresher(NOTHING)
    refresher(LOWER)
    assert refresher.written == []
    refresher(TOP)
    clock.now += 1e6
    refresher(NOTHING)
    assert len(refresher.written) == 1


def test_one_that_came_too_early_is_told_later(refresher, clock):
    refresher(TOP)
    clock.now = FIRST_SECONDS
    refresher(NOTHING)
    assert len(refresher.written) == 1


def searched_with(run_name, tmp_path, monkeypatch, progress_of=None):
    """A search whose report is written after each training run; what the pages said."""
    monkeypatch.setattr(pages, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(pages, "SHARE", 1e9)
    run, told, said = RunDir(tmp_path / run_name), [], []
    refresh = Refresher(run, told.append)

    def show(progress):
        refresh(progress)
        if progress.finished and run.report.is_file():
            said.append((run.report.read_text("utf-8"), (run.path / "answers.json").exists()))

    invent(run_name, tmp_path, show=show)
    return run, told, said


def test_the_page_says_that_the_run_goes_on_until_it_has_ended(tmp_path, monkeypatch):
    run, told, said = searched_with("a", tmp_path, monkeypatch)
    assert told == []
    assert len(said) == 10
    for number, (page, answered) in enumerate(said, start=1):
        banner = re.search(r'<aside class="under-way".*?</aside>', page, re.S)
        assert banner
        assert f"after {number} of at most 10 trials." in banner[0]
        assert 'href="?reload"' in banner[0]
        assert not answered  # so that the last page does not tell of changes within a session
    last = run.report.read_text("utf-8")
    assert 'class="under-way"' not in last
    assert "has changed" not in last
    assert re.search(r"Written by dnsearch \S+, <time datetime=\"20\d\d-\d\d-\d\dT", last)


def test_a_search_finds_the_same_with_its_report_and_without(tmp_path, monkeypatch):
    run, *_ = searched_with("a", tmp_path, monkeypatch)
    other = invent("b", tmp_path)
    runs = [[(c.key, c.error) for c in read_results(each).measured] for each in (run, other)]
    assert runs[0] == runs[1]


def test_a_report_that_cannot_be_written_ends_no_search(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("of the report")

    monkeypatch.setattr("dnsearch.report.page.write_report", broken)
    monkeypatch.setattr(pages, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(pages, "SHARE", 1e9)
    run, told = RunDir(tmp_path / "a"), []
    invent("a", tmp_path, show=Refresher(run, told.append), report=False)
    assert Observer(run).look().trained == 10
    assert told == [
        "the report was not written, the search goes on: ZeroDivisionError: of the report"
    ]


def test_ctrl_c_while_it_is_written_ends_the_sitting(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dnsearch.report.page.write_report", interrupt)
    monkeypatch.setattr(pages, "FIRST_SECONDS", 0.0)
    run = RunDir(tmp_path / "a")
    invent("a", tmp_path, show=Refresher(run, lambda _: None), report=False)
    assert run.end_reason() == "interrupted"
    assert Observer(run).look().trained == 1


def test_a_page_written_from_another_shell_says_so_too(tmp_path):
    run = invent("a", tmp_path)
    with run.lock():
        page = write_page(read_results(run), run).read_text("utf-8")
    assert 'class="under-way"' in page
    assert 'class="under-way"' not in write_page(read_results(run), run).read_text("utf-8")
