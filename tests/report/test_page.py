"""The written files: complete, self-contained, escaped, the same numbers everywhere."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import subprocess
import sys
import tomllib

import numpy as np
import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from dnsearch.analysis.predictions import Predictions
from dnsearch.config import StudyConfig, to_toml
from dnsearch.confirm.findings import confirmed
from dnsearch.cost.formula import Cost
from dnsearch.errors import RunError
from dnsearch.report.answer import answer, export_command
from dnsearch.report.columns import COLUMNS
from dnsearch.report.digest import digest
from dnsearch.report.html import unpacked
from dnsearch.report.page import candidates_csv, render, write_report
from dnsearch.report.summary import summary
from dnsearch.report.table import candidate_table, shortened
from dnsearch.search.results import Results
from tests.confirm import invented

from . import synthetic
from .conftest import STATES
from .reader import Reader


def read(results: Results) -> Reader:
    reader = Reader(render(digest(results)))
    assert not reader.open
    return reader


def test_every_state_renders_and_is_well_formed(any_state):
    page = read(any_state)
    assert page.references == []
    assert page.handlers == []
    assert len(page.ids) == len(set(page.ids))
    assert any_state.name in page.text
    assert answer(digest(any_state)) in page.text


def test_every_state_writes_its_files(any_state, tmp_path):
    path = write_report(any_state, tmp_path)
    assert path == tmp_path / "report.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "candidates.csv",
        "report.html",
        "summary.json",
    ]
    told = json.loads(
        (tmp_path / "summary.json").read_text("utf-8"),
        parse_constant=lambda name: pytest.fail(name),
    )
    assert told["counts"]["candidates"] == len(any_state.candidates)


def test_plotly_is_inlined_once_and_nothing_is_loaded():
    page = render(digest(STATES["usual"]()))
    (script,) = re.findall('id="plotly">([^<]+)<', page)
    assert unpacked(script) == get_plotlyjs()
    rest = page.replace(script, "").replace('"http://www.w3.org/2000/svg"', "")  # a name
    assert not re.search(r"""(src|href(?!="#)|action)\s*=|@import|url\(|https?:|fetch\(""", rest)
    assert 'id="plotly"></script>' in render(digest(STATES["empty"]()))


def test_figures_appear_with_the_candidates():
    usual = read(STATES["usual"]())
    costs = ["multiply-adds of one image", "parameters", "activations of one image"]
    costs += ["training memory", "latency"]
    assert len(usual.figures) == len(costs) + 3
    assert all(f"{cost}" in usual.text for cost in costs)
    assert len(read(STATES["three costs"]()).figures) == len(costs) + 3
    assert read(STATES["empty"]()).figures == []
    traces = {trace.get("name"): trace for trace in usual.figures[0]["data"]}
    assert {"knee", "least error", "least cost", "Pareto front"} <= set(traces)
    assert "2 training runs failed and are not drawn" in usual.text


@pytest.mark.parametrize(
    ("kinds", "told"),
    [(8, ""), (9, "1 more kind of failure stands in"), (10, "2 more kinds of failure stand in")],
)
def test_kinds_of_failure_beyond_the_eighth_agree_with_their_number(kinds, told):
    results = synthetic.results(12, failed=kinds)
    for place in range(kinds):
        results = synthetic.changed(results, place, failure=f"reason {'abcdefghij'[place]}")
    text = read(results).text
    assert told in text
    assert ("more kind" in text) == bool(told)


def test_a_big_run_stays_small_and_few_traces():
    page = render(digest(synthetic.results(2000, failed=10, reason="x" * 3000)))
    reader = Reader(page)
    assert max(len(figure["data"]) for figure in reader.figures) < 20
    assert len(page) < 6e6


def test_all_text_is_escaped():
    evil = "<script>alert(1)</script>"
    page = read(
        synthetic.results(
            8,
            failed=1,
            reason="</script><img src=x onerror=alert(1)>",
            name=evil,
            data=synthetic.DATA | {"name": "<i>data</i>", "classes": [evil, "b"]},
            environment={"<u>": {"a": "</pre><b>"}},
        )
    )
    assert not {"img", "i", "u", "b"} & set(page.tags)
    assert page.references == page.handlers == []
    assert page.tags.count("script") == 3  # plotly, data, our own
    assert page.text.count(evil) >= 3


def test_the_answer_is_the_least_error_beside_the_baseline():
    found = digest(STATES["usual"]())
    best = min(found.finished, key=lambda network: network.error)
    text = answer(found)
    assert text.startswith(f"Take {best.name}: {100 * best.error:.2f} % validation error (")
    assert "Guessing has an error of 90.00 %." in text
    assert found.picks["knee"] is not best


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("empty", "No candidate has finished yet"),
        ("all failed", "All 4 candidates failed"),
        ("none fit", "No candidate is finished within all limits"),
        ("no latencies", "No candidate has all its costs measured"),
    ],
)
def test_the_answer_where_there_is_no_network(state, words):
    assert answer(digest(STATES[state]())).startswith(words)


def test_one_network_that_wins_everything_has_one_card():
    page = read(STATES["one"]())
    assert page.tags.count("article") == 1
    assert "dnsearch export quickstart --to quickstart-network" in page.text
    assert "--pick" not in page.text


def test_export_command_is_safe_to_paste():
    assert export_command("quickstart", "knee") == (
        "dnsearch export quickstart --pick knee --to quickstart-knee"
    )
    assert "'a b;c'" in export_command("a b;c", "knee")


@pytest.mark.parametrize("run", ["other/runs/mine", "../mine", "/tmp/mine/", "mine"])
def test_an_export_goes_beside_nobody_elses_files(run):
    assert export_command(run).endswith(" --to mine-network")


def test_summary_tells_what_the_table_holds():
    results = STATES["three costs"]()
    told, known = summary(digest(results)), {each.key: each for each in results.candidates}
    assert told["objectives"] == ["error", "macs", "params", "latency_ms"]
    assert list(told["reference_point"]) == told["objectives"]
    assert told["hypervolume_axis"] == "log"
    counts = {"candidates": 20, "finished": 18, "screened": 0, "partial": 0}
    counts |= {"failed": 0, "unfit": 2}
    assert told["counts"] == counts
    assert list(told["picks"]) == ["least-error", "knee", "least-cost"]
    assert told["baseline"] == {"error": 0.9, "answer": ""}
    for record in (*told["front"], *told["picks"].values()):
        candidate = known[record["key"]]
        error = candidate.error
        assert record["error"] == error
        assert record["macs"] == candidate.cost.macs
        assert record["error_standard_error"] == pytest.approx(
            (error * (1 - error) / synthetic.VALIDATION_IMAGES) ** 0.5
        )
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_predictions_stand_on_the_cards_and_correct_the_least_error():
    """Of three candidates, the one with the least measured error is predicted to be the second."""
    measured = synthetic.results(3, seed=1)
    draws = np.array([[0.2, 0.17, 0.16], [0.2, 0.18, 0.16], [0.2, 0.165, 0.16], [0.2, 0.15, 0.16]])
    for place, error in enumerate((0.20, 0.15, 0.16)):
        cost = Cost(100, (1 + place) * 100_000, 100, 100)
        measured = synthetic.changed(measured, place, error=error, cost=cost)
    keys = tuple(candidate.key for candidate in measured.candidates)
    predictions = Predictions(keys, draws, 0.03, 4000, 9)
    found = dataclasses.replace(measured, predict=lambda: predictions)
    told, names = digest(found), [candidate.name for candidate in measured.candidates]
    assert [member.name for member in told.front] == names  # .2, .1675 and .16 at rising costs
    assert told.picks["least-error"].name == names[2]
    assert told.sureness is not None
    chance, loss, among = told.sureness
    assert (chance, among) == (0.75, 3)
    assert loss == pytest.approx(0.01 / 4)
    page = render(told)
    assert "with probability 0.75; expected to miss the best of them by 0." in page
    assert "predicted validation error" in page
    unpredicted = render(digest(measured)).partition("Validation error against")[0]
    assert "predicted validation error" not in unpredicted
    assert "predicted errors are the measured ones" in unpredicted


def test_two_trials_of_the_same_number_are_two_cards():
    """Known designs are numbered in a study of their own."""
    found = synthetic.results(12)
    for place in range(12):
        found = synthetic.changed(found, place, number=0)
    picks = digest(found).picks
    assert len({network.key for network in picks.values()}) > 1
    assert read(found).tags.count("article") == 1 + ("as-good" in picks)


def test_csv_round_trip():
    results = STATES["usual"]()
    read_back = pd.read_csv(io.StringIO(candidates_csv(digest(results))), dtype={"key": str})
    assert list(read_back.columns) == [*COLUMNS, "front"]
    for name in ("error", "macs", "seconds", "growth_rate", "depth"):
        wanted = [candidate.figure(name) for candidate in results.networks]
        np.testing.assert_array_equal(read_back[name], wanted)
    assert list(read_back["key"]) == [candidate.key for candidate in results.networks]
    assert list(read_back["state"]) == [candidate.state.value for candidate in results.networks]
    assert read_back["block_config"][0].count("-") == 2
    curves = [[vars(point) for point in each.curve] for each in results.networks]
    assert [json.loads(curve) for curve in read_back["curve"]] == curves


def test_table_is_best_first_with_units_in_its_headers():
    found = candidate_table(digest(STATES["usual"]()))
    labels = [column.label for column in found.columns]
    assert labels[:5] == ["key", "architecture", "state", "predicted (%)", "on new images (%)"]
    assert "MACs (M)" in labels
    assert "params (k)" in labels
    errors = [row.cells[3].sort for row in found.rows]
    assert errors[:-2] == sorted(errors[:-2])
    assert errors[-2:] == [None, None]
    assert [row.cells[3].text for row in found.rows[-2:]] == ["–", "–"]


def test_table_leaves_out_columns_that_say_nothing():
    labels = [column.label for column in candidate_table(digest(STATES["one"]())).columns]
    assert "state" not in labels
    assert "reason" not in labels
    labels = [column.label for column in candidate_table(digest(STATES["no latencies"]())).columns]
    assert "latency (ms)" not in labels


def test_long_reasons_are_shortened_to_one_line():
    assert shortened("out of memory") == "out of memory"
    assert shortened("first\nsecond") == "first"
    assert len(shortened("x" * 500)) == 60
    assert shortened("") == ""


def test_settings_read_back_as_the_same_study():
    study = StudyConfig.model_validate(
        {
            "limits": {"max_macs": 50_000_000},
            "search": {"start": ["densenet-bc-100-12", {"growth_rate": 12}]},
        }
    )
    assert StudyConfig.model_validate(tomllib.loads(to_toml(study))) == study


def test_a_report_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(RunError, match=r"report\.html: cannot be written"):
        write_report(STATES["one"](), tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("modules", ["report.page, dnsearch.analysis.picks", "report.replay"])
def test_reports_need_neither_torch_nor_optuna(modules):
    code = (
        f"import sys, dnsearch.{modules}\n"
        "print([name for name in ('torch', 'optuna', 'fvcore') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_digest_does_without_plotly():
    code = "import sys, dnsearch.report.digest\nprint('plotly' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def after_confirm() -> Results:
    """Twelve networks that the search trained for 9 epochs and `dnsearch confirm` for 27."""
    errors = [0.3 / (1 + place / 4) for place in range(12)]
    runs = [
        invented.fresh(place, seed, 0.8 * error + 0.001 * seed)
        for place, error in enumerate(errors)
        for seed in (1, 2, 3)
    ]
    searched = [invented.candidate(*each) for each in enumerate(errors)]
    return invented.results(searched, runs, data=synthetic.DATA)


def test_once_confirmed_the_page_says_which_error_is_whose():
    results = after_confirm()
    found = digest(results)
    assert found.error_name == "test error"
    page = Reader(render(found, confirmed(results)))
    assert f"{100 * found.answer.predicted_error:.2f} % predicted test error" in page.text
    assert "In the search errors are measured on 4,000 validation images" in page.text
    assert "In the search each network was trained once, with one seed" in page.text
    assert f"measured validation error{100 * found.answer.error:.2f} %" in page.text
    assert not re.search(r"measured\s*\d", page.text)


def test_failures_that_differ_in_figures_alone_are_told_as_one():
    """As the terminal counts them."""
    results = synthetic.results(6, failed=3)
    for place, free in enumerate((640, 12)):
        reason = f"out of memory: 812 MB asked for, {free} MB free"
        results = synthetic.changed(results, place, failure=reason)
    results = synthetic.changed(results, 2, failure="diverged")
    text = " ".join(read(results).text.split())
    assert "2× out of memory: 812 MB asked for, 640 MB free 1× diverged" in text
