"""``dnsearch compare``: networks and runs by the command, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dnsearch.analysis.candidates import State
from dnsearch.arch import DenseNet
from dnsearch.arch.checkpoint import save_network
from dnsearch.arch.presets import PRESETS
from dnsearch.cli.networks import find_network
from dnsearch.cost.formula import cost_of
from dnsearch.files import write_json
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results
from tests.invented_runs import STUDY, invent

UNTRAINED = (
    "no error is predicted of {}: no run here has trained it to the top rung on images of this "
    "shape"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Two seeds of one study, and a run on fewer images."""
    reports = tmp_path_factory.mktemp("made") / "reports"
    invent("a", reports)
    invent("b", reports, seed=1)
    invent("small", reports, study=STUDY.replace("600", "500"))
    return reports


@pytest.fixture
def reports(dnsearch, made) -> Path:
    shutil.copytree(made, "reports")
    return Path("reports")


@pytest.fixture
def compared(dnsearch, reports):
    def typed(*networks):
        code, out, err = dnsearch("compare", *networks, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return typed


def test_presets_by_cost(dnsearch):
    code, out, err = dnsearch("compare", "densenet121", "densenet169", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    first, second = found["networks"]
    assert first["cost"]["macs"] == 2_834_161_664  # published
    assert second["ratios"]["params"] == pytest.approx(14_149_480 / 7_978_856)
    assert (first["predicted"], found["error"], found["fronts"]) == (None, None, None)
    shown = dnsearch("compare", "densenet121", "densenet169").out
    assert "input 3x224x224" in shown
    assert re.search(r"B +14.1 M x1.77 +3.36 G x1.19 ", shown)
    assert max(map(len, shown.splitlines())) <= 80
    small = json.loads(
        dnsearch("compare", "densenet121", "densenet169", "--input", "1x64x32", "--json").out
    )
    arch = PRESETS["densenet121"].replace(in_channels=1)
    assert small["networks"][0]["cost"]["macs"] == cost_of(arch, 64, 32).macs


def test_networks_of_a_run_and_a_preset(compared, dnsearch):
    found = compared("a", "a:least-cost", "densenet-40-12")
    own = read_results(RunDir.find("a"))
    answer, cheap, preset = found["networks"]
    assert answer["key"] == own.pick("least-error").key
    assert cheap["key"] == own.pick("least-cost").key
    assert cheap["difference"]["low"] < cheap["difference"]["median"] < cheap["difference"]["high"]
    assert cheap["difference"]["median"] > 0  # as larger networks were invented to be better
    assert cheap["difference"]["smaller"] < 0.5
    assert preset["input"] == [1, 8, 8]
    assert preset["config"]["in_channels"] == 1
    assert preset["predicted"] is None
    assert found["error"] == "validation error"
    shown = dnsearch("compare", "a", "a:least-cost", "densenet-40-12").out
    assert re.search(r"B +\d+.\d\d % \(.*\) +\+.* (< 1|\d+) %", shown)
    assert f"note: {UNTRAINED.format('densenet-40-12')}\n" in shown
    assert "fronts" not in shown


def test_networks_on_images_of_other_channels_have_no_error_and_no_table_of_errors(dnsearch, made):
    typed = ("compare", "a", "a:knee", "--input", "3x8x8")
    shutil.copytree(made, "reports")
    shown, told = dnsearch(*typed).out, json.loads(dnsearch(*typed, "--json").out)
    assert told["notes"] == [UNTRAINED.format("a, a:knee").replace("trained it", "trained them")]
    assert "predicted validation error" not in shown
    assert "test error" not in shown


def test_a_network_that_stopped_at_a_lower_rung_was_trained_but_has_no_error(dnsearch):
    study = STUDY.replace("rungs = [2]", "rungs = [1, 2]").replace('"random"', '"mo-asha"')
    run = invent("a", Path("reports"), study=study.replace("trials = 10", "trials = 20"))
    states = {each.key: each.state for each in read_results(run).networks}
    key = next(key for key, state in states.items() if state is State.SCREENED)
    shown = dnsearch("compare", "a", f"a:{key}").out
    assert f"note: {UNTRAINED.format(f'a:{key}')}\n" in shown
    assert "predicted validation error" in shown


def test_two_runs_of_one_study(compared, dnsearch):
    found = compared("a", "b")["fronts"]
    assert [front["run"] for front in found["fronts"]] == ["a", "b"]
    assert [group["runs"] for group in found["groups"]] == [["a", "b"]]
    own = read_results(RunDir.find("a"))
    keys = {each["key"] for each in found["fronts"][0]["members"]}
    assert {own.pick("least-error").key, own.pick("least-cost").key} <= keys
    shown = dnsearch("compare", "a", "b").out
    assert "a and b are one study with 2 seeds: hypervolume" in shown
    assert "least predicted error within a cost" in shown


def test_a_training_of_a_run_with_a_space_in_its_name_gets_one_without(dnsearch, made):
    shutil.copytree(made / "a", "reports/a b")
    for network, folder in (("a b", "a-b-least-error"), ("a b:knee", "a-b-knee")):
        assert find_network(network).folder == folder


def test_a_run_by_its_name_and_its_path_is_one_run(compared, reports):
    for networks in (["a", "reports/a"], ["a", "a"]):
        found = compared(*networks)
        assert (len(found["networks"]), found["fronts"]) == (2, None)
    shutil.copytree(reports / "a", "copy")
    found = compared("reports/a", "a", "copy", "b")["fronts"]
    assert [front["run"] for front in found["fronts"]] == ["reports/a", "copy", "b"]
    (group,) = found["groups"]
    assert (group["runs"], group["repeated"]) == (["reports/a", "b"], ["copy"])


def test_a_few_runs_of_two_studies_cannot_tell(dnsearch, reports):
    invent("c", reports, trials=12)
    shown = dnsearch("compare", "a", "b", "c").out
    told = r"p = \S+: 2 and 1 run cannot tell a difference from noise \(the least p .* is 0.33; 4"
    assert re.search(told, shown)
    assert "one seed of each study" in dnsearch("compare", "a", "c").out


def test_runs_on_other_images_are_compared_by_cost_alone(compared, dnsearch):
    found = compared("a", "small")
    assert [each["predicted"] for each in found["networks"]] == [None, None]
    assert "cost alone" in found["notes"][0]
    assert found["fronts"]["not_compared"].startswith("the images of a (")
    assert "fronts: the images of a (" in dnsearch("compare", "a", "small").out


def test_a_training_and_an_export_with_their_test_errors(compared, reports):
    own = read_results(RunDir.find("a"))
    network = own.pick("least-error")
    folder = reports / "full"
    (folder / "network").mkdir(parents=True)
    save_network(DenseNet(network.arch), folder / "network")
    write_json(folder / "network" / "preprocessing.json", {"shape": own.data["shape"]})
    result = {"epochs": 20, "test": {"error": 0.25}, "images": dict(own.data)}
    write_json(folder / "result.json", result)
    Path("out").mkdir()
    save_network(DenseNet(network.arch), Path("out"))
    told = {"weights": {"test_error": 0.5, "epochs": 6}}
    write_json(Path("out/export.json"), told)
    found = compared("a:least-cost", folder, "out")["networks"]
    assert found[1]["tested"] == {"error": 0.25, "seeds": 1, "epochs": 20, "by": "dnsearch train"}
    assert found[1]["predicted"]["error"] == pytest.approx(network.predicted_error)
    assert found[2]["tested"]["error"] == 0.5
    assert {each["key"] for each in found[1:]} == {network.key}


def test_measured_here(dnsearch, reports):
    """Figures that depend on the machine are there, positive and said to be noisy or not."""
    code, out, _ = dnsearch(
        "compare", "a", "a:least-cost", "--measure", "--device", "cpu", "--json"
    )
    assert code == 0
    for each in json.loads(out)["networks"]:
        measured = each["measured"]
        assert measured["latency_ms"] > 0
        assert measured["latency_spread_ms"] >= 0
        assert measured["latency_noisy"] in (True, False)
        assert measured["peak_train_bytes"] is None or measured["peak_train_bytes"] >= 0


@pytest.mark.parametrize(
    ("networks", "told"),
    [
        (["densenet121"], r"networks must be two or more to be compared, got \['densenet121'\]"),
        (["densenet121"] * 27, r"networks must be at most 26, got 27"),
        (
            ["densenet121", "densenet122"],
            r"there is no run, preset or file 'densenet122'; did you mean 'densenet121'\?",
        ),
        (["a", "a:nope"], r"no candidate is called 'nope': .*"),
        (["a", "nope:knee"], r"there is no run 'nope'; .*"),
        (["a", "b", "--input", "8"], r"--input must be CHANNELSxHEIGHTxWIDTH, .*"),
        (
            ["a", "densenet264"],
            r"densenet264: input size must be at least 29x29 for 4 blocks after the imagenet stem, "
            r"got '8x8'; a larger --input, such as 1x29x29, sets that of all networks",
        ),
        (["a", "b", "--measure", "--device", "cuda:77"], r".*device must be a device of this .*"),
    ],
)
def test_refused(refused, reports, networks, told):
    assert re.fullmatch(told, refused("compare", *networks))


@pytest.mark.parametrize("verb", [["train"], ["count"], ["compare", "densenet121"]])
def test_a_mistyped_run_is_told_the_runs_here(refused, reports, verb):
    """Which are one list with the presets, as what was meant is not known."""
    told = "there is no run, preset or file 'smal'; did you mean 'small'?"
    assert refused(*verb, "smal") == told
    assert "known are a, b, densenet-100-12, " in refused(*verb, "nothing-like-it")


@pytest.mark.parametrize("verb", [["train"], ["count"], ["compare", "densenet121"]])
def test_a_training_by_its_name_says_where_its_network_is(refused, verb):
    write_json(Path("reports/full/training.json"), {})
    told = "reports/full: is the training of one network, not a search; its network is in "
    assert refused(*verb, "full") == f"{told}reports/full/network"


def test_a_page_beside_what_is_printed(dnsearch, reports):
    code, out, _ = dnsearch("compare", "a", "b", "--html", "there/compared.html")
    assert code == 0
    assert out.endswith("\nreport:    there/compared.html\n")
    page = Path("there/compared.html").read_text("utf-8")
    assert "a and b are one study with 2 seeds" in page
    told = dnsearch("compare", "a", "b", "--json", "--html", "again.html").out
    assert {"networks", "fronts"} <= json.loads(told).keys()
    assert Path("again.html").is_file()


def test_a_page_that_cannot_be_written(refused, reports):
    Path("folder").mkdir()
    assert "folder: cannot be written: " in refused("compare", "a", "b", "--html", "folder")


def test_a_run_on_other_images_leaves_the_others_comparable(compared, dnsearch):
    alone = compared("a", "a:least-cost")["networks"]
    for order in (("a", "a:least-cost", "small"), ("small", "a", "a:least-cost")):
        found = compared(*order)
        rows = {each["label"]: each for each in found["networks"]}
        assert found["differences_from"] == "a"
        for label, before in zip(("a", "a:least-cost"), alone, strict=True):
            assert rows[label]["predicted"] == before["predicted"]
            assert rows[label]["difference"] == before["difference"]
        assert (rows["small"]["predicted"], rows["small"]["difference"]) == (None, None)
        note = "no error is compared of small: the images of a ("
        assert found["notes"][0].startswith(note)
        assert "no error is predicted" not in " ".join(found["notes"])


def test_fronts_of_runs_on_the_same_images_are_compared_beside_another(compared):
    found = compared("a", "small", "b")
    assert [front["run"] for front in found["fronts"]["fronts"]] == ["a", "b"]
    assert [each["predicted"] is None for each in found["networks"]] == [False, True, False]
