"""``dnsearch scale`` as it is typed: what it prints and writes, and what it refuses."""

import json
import re
from pathlib import Path

import pytest

from dnsearch.arch.checkpoint import read_config
from dnsearch.cli.pages import write_page
from dnsearch.cost.device import Latency
from dnsearch.cost.formula import cost_of
from dnsearch.files import read_json
from dnsearch.rundir import RunDir
from dnsearch.search import results as stored
from tests.scaling.planted import scaling_results


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Folders of runs whose results are invented; what is read of them is looked up by name."""
    known = {}
    monkeypatch.setattr(stored, "read_results", lambda run: known[run.name])

    def make(name, *arguments, **options):
        folder = tmp_path / "reports" / name
        folder.mkdir(parents=True)
        (folder / "study.db").touch()
        known[name] = scaling_results(*arguments, name=name, **options)

    return make


def test_answer_and_files(dnsearch, runs):
    runs("flowers", 60, partial=True, noise=0.01)
    code, out, err = dnsearch("scale", "flowers", "--times", "2, 4x")
    assert (code, err) == (0, "")
    assert "At 4x the MACs the predicted error is " in out
    assert "At 8x" not in out
    assert max(map(len, out.splitlines()[:-1])) <= 98
    values = json.loads(Path("reports/flowers/scaling.json").read_text())
    assert [each["trusted"] for each in values["next"]] == [True, False]
    for times, each in zip((2, 4), values["next"], strict=True):
        config = Path(f"reports/flowers/scaling/x{times}.json")
        assert read_config(config).to_dict() == each["arch"]
    config = Path("reports/flowers/scaling/x2.json")  # the largest that is trusted
    assert out.splitlines()[-1] == (
        f"train it:  dnsearch train {config} --study reports/flowers/study.toml --epochs 3 "
        "--name flowers-x2"
    )


def test_several_runs_write_into_the_first(dnsearch, runs):
    runs("one", 12)
    runs("two", 12, seed=1)
    code, out, _ = dnsearch("scale", "one", "two", "one", "--times", "4", "--cost", "params")
    assert code == 0
    assert "At 4x the params" in out
    assert Path("reports/one/scaling/x4.json").is_file()
    assert not Path("reports/two/scaling.json").exists()


def test_the_page_of_a_run_is_written_again_with_its_section(dnsearch, runs):
    """As it was asked, with the other run; and with the reason where that is gone."""
    runs("one", 12)
    runs("two", 12, seed=1)
    assert dnsearch("scale", "one", "two", "--times", "3", "--cost", "params").code == 0
    before = without_time(Path("reports/one/report.html").read_text())
    assert "3x the params" in before
    assert write_again("one") == before
    Path("reports/two").rename("reports/three")
    after = write_again("one")
    assert "the run two, which was fitted with it, is not at reports/two; put it back" in after
    assert "3x the params" not in after


def test_scaling_json_of_another_shape_does_no_harm(dnsearch, runs):
    runs("one", 12)
    Path("reports/one/scaling.json").write_text('["of", "another", "program"]')
    page = write_again("one")
    assert "reports/one/scaling.json: must be a JSON object, got list" in page
    assert dnsearch("scale", "one", "--times", "2").code == 0  # which writes it anew
    assert "must be a JSON object" not in write_again("one")


def write_again(name):
    """The run's page, written from what its folder holds."""
    run = RunDir.find(name)
    return without_time(write_page(stored.read_results(run), run).read_text())


def without_time(page):
    """The page but for when it was written."""
    return re.sub(r"<time.*?</time>", "", page)


def test_a_refusal_to_extrapolate_is_an_answer(dnsearch, runs):
    runs("short", 12, span=(1e6, 3e6))
    code, out, _ = dnsearch("scale", "short")
    assert code == 0
    assert "larger networks is not predicted: MACs span a factor of " in out
    assert "To settle it, train " in out
    assert "train it:" not in out
    last = out.splitlines()[-1]
    assert last.startswith("settle it: dnsearch run ")
    assert last.removeprefix("settle it: ") in write_again("short").replace("&#39;", "'")


def test_what_is_trusted_less_far_than_was_asked_says_how_to_ask(dnsearch, runs):
    runs("flowers", 60, partial=True, noise=0.01)
    out = dnsearch("scale", "flowers", "--times", "500").out
    last = out.splitlines()[-1]
    assert re.fullmatch(r"ask: {7}dnsearch scale flowers --cost macs --times [\d.]+", last)
    again = dnsearch(*last.split()[2:]).out
    assert again.splitlines()[-1].startswith("train it:  dnsearch train ")


def test_bad_input_is_one_line(refused, runs):
    runs("few", 3)
    runs("other", 12, environment={"device_kind": "cuda", "activation_bytes": 4})
    runs("fine", 12)
    assert refused("scale").startswith("missing argument 'RUN...'")
    assert refused("scale", "fin") == "there is no run 'fin'; did you mean 'fine'?"
    assert refused("scale", "few").startswith("few: 3 architectures trained in full are too few")
    assert "they differ in environment.device_kind" in refused("scale", "fine", "other")
    assert refused("scale", "fine", "--times", "4,much") == (
        "--times must be numbers above 0, up to 1000, joined by commas, got 'much'; write 2,4"
    )
    assert "--times" in refused("scale", "fine", "--times", "0")
    assert "--cost" in refused("scale", "fine", "--cost", "latency")


def test_a_real_run_with_one_network_is_too_small(refused, trained: RunDir):
    assert "1 architecture trained in full is too few" in refused("scale", str(trained.path))


def test_latency_is_measured_where_it_is_asked_for(dnsearch, runs, monkeypatch):
    def known(archs, shape, setting, device):
        costs = [cost_of(arch, *shape[1:]) for arch in archs]
        return [Latency(0.5 + 1e-6 * c.activations + 2e-8 * c.macs, False) for c in costs]

    monkeypatch.setattr("dnsearch.cost.device.latencies_of", known)
    runs("flowers", 40, noise=0.01)
    assert "Latency was not measured: --latency does" in dnsearch("scale", "flowers").out
    done = dnsearch("scale", "flowers", "--latency", "--times", "4")
    assert done.code == 0
    assert "a forward pass in" in done.out.replace("\n" + 11 * " ", " ")
    (larger,) = json.loads(Path("reports/flowers/scaling.json").read_text())["next"]
    true = 0.5 + 1e-6 * larger["activations"] + 2e-8 * larger["macs"]
    assert larger["latency_ms"]["low"] <= true <= larger["latency_ms"]["high"]
    assert larger["latency_ms"]["value"] == pytest.approx(true, rel=0.1)
    assert "a forward pass in" in write_again("flowers")  # though nothing is measured again


def test_json_is_all_that_is_printed(dnsearch, runs):
    runs("one", 12)
    code, out, err = dnsearch("scale", "one", "--times", "2", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["networks"] == ["reports/one/scaling/x2.json"]
    written = read_json(Path("reports/one/scaling.json"))
    assert {name: told[name] for name in written} == written


def test_a_design_that_was_never_asked_has_the_networks_its_page_names(dnsearch, runs):
    runs("one", 12)
    write_again("one")
    assert not Path("reports/one/scaling").exists()  # a search that nobody asked
    assert dnsearch("scale", "one", "--times", "2,4").code == 0
    Path("reports/one/scaling/x2.json").unlink()
    write_again("one")
    assert sorted(path.name for path in Path("reports/one/scaling").iterdir()) == [
        "x2.json",
        "x4.json",
    ]
    assert dnsearch("scale", "one", "--times", "3").code == 0
    assert [path.name for path in Path("reports/one/scaling").iterdir()] == ["x3.json"]
