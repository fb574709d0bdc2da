import io

from rich.console import Console

from dnsearch.cli import decoding
from dnsearch.data.progress import Decoding


def of(done, seconds, total=40_000):
    return Decoding("birds (folder), train", done, total, seconds, (3, 64, 64))


def lines(*told):
    file = io.StringIO()
    shown = decoding.Lines(Console(file=file, width=40))
    for each in told:
        shown.tell(each)
    return file.getvalue().splitlines()


def test_an_estimate_comes_first_and_a_line_now_and_then():
    told = [(0, 0.0), (100, 0.5), (400, 1.0), (800, 2.0), (13_000, 31.5), (40_000, 99.0)]
    first, later = lines(*(of(*each) for each in told))
    what, estimate = first.split(": ")
    assert what == "decoding 40,000 images of birds (folder), train, to 3x64x64 (491 MB)"
    assert estimate == "about 1 min 40 s, once"
    assert later == "decoded 13,000 of 40,000, about 1 min 05 s left"


def test_a_moment_is_not_worth_a_line():
    assert lines(of(0, 0.0), of(30_000, 0.9), of(40_000, 1.3)) == []


def test_the_next_split_has_an_estimate_of_its_own():
    told = lines(of(0, 0.0), of(400, 1.2), of(40_000, 9.0), of(0, 0.0, 8), of(4, 1.5, 8))
    assert [line.split(" of ")[0] for line in told] == [
        "decoding 40,000 images",
        "decoding 8 images",
    ]


def test_a_bar_goes_away_at_the_end():
    file = io.StringIO()
    bar = decoding.Bar(Console(file=file, width=120, force_terminal=True))
    for each in (of(0, 0.0), of(400, 1.0), of(40_000, 100.0)):
        bar.tell(each)
        bar.live.refresh()
    bar.end()
    assert "40,000 images of birds" in file.getvalue()
    assert "about 1 min 39 s left" in file.getvalue()
    assert not bar.live.is_started


def test_what_is_decoded_is_shown_on_stderr_alone(monkeypatch, capsys):
    from dnsearch.data.progress import tell

    for quiet in (True, False):
        with decoding.decoding_shown(quiet):
            tell(of(400, 1.0))
        tell(of(400, 1.0))
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("decoding 40,000 images") is not quiet
