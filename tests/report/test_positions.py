"""Whatever a run holds, its front and where its networks stand are the same in the table, the
picture, JSON and CSV: random runs with replicates, failures, promotions and confirmations."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dnsearch.analysis.candidates import State
from dnsearch.analysis.predictions import Predictions
from dnsearch.report.answer import answer
from dnsearch.report.digest import digest
from dnsearch.report.page import candidates_csv
from dnsearch.report.series import front_series
from dnsearch.report.summary import summary
from dnsearch.report.table import candidate_table
from dnsearch.search.evaluators.base import CONFIRM, Job
from dnsearch.search.store import Record
from dnsearch.training.score import Score

from . import synthetic

COSTS = [("macs",), ("macs", "params"), ("latency_ms",), ("params", "latency_ms", "activations")]
CASES = [(seed, costs) for seed in range(12) for costs in COSTS]


def random_run(seed, costs):
    """Up to 30 networks of one to three seeds; some failed, over a limit or stopped early, some
    without a latency; half of the runs predicted, half of those confirmed."""
    rng = np.random.default_rng(seed)
    found = synthetic.results(int(rng.integers(1, 31)), costs=costs, seed=seed)
    runs = []
    for candidate in found.measured:
        for replicate in range(int(rng.integers(1, 4))):
            luck = float(np.exp(rng.normal(0, 0.1)))
            error = round(candidate.error * luck * 4000) / 4000 * float(rng.random() > 0.03)
            latency = candidate.latency_ms if rng.random() > 0.1 else np.nan
            run = replace(candidate, seed=replicate, error=error, latency_ms=latency)
            kind = rng.choice(["done"] * 7 + ["failed", "unfit", "screened"])
            if kind == "failed":
                run = synthetic.failed_as(run, "diverged")
            elif kind != "done":
                run = replace(run, state=State(kind), rung=1 if kind == "screened" else run.rung)
            runs.append(replace(run, number=len(runs)))
    known = list(dict.fromkeys(run.key for run in runs if run.counts))
    more = {}
    if seed % 2 and known:
        means = [np.mean([r.error for r in runs if r.counts and r.key == key]) for key in known]
        noise = rng.normal(0, 0.05, (400, len(known)))
        draws = (np.array(means) + 1e-4) * np.exp(noise + rng.normal(0, 0.05, len(known)))
        predictions = Predictions(tuple(known), draws, 0.05, 4000, 9)
        more["predict"] = lambda: predictions
    if seed % 4 > 1 and known:
        archs = {run.key: run.arch for run in runs}
        some = rng.choice(known, max(1, len(known) // 2), replace=False)
        more["confirmed"] = tuple(confirmed(archs[key], s, rng) for key in some for s in range(2))
    return replace(found, measured=runs, **more)


def confirmed(arch, seed, rng):
    error = float(rng.uniform(0.04, 0.2))
    score = Score(27, seed, error, 1.0, 1.0, test_error=error, test_loss=1.0, test_images=2000)
    return Record(Job(seed, arch, 27, seed, CONFIRM), score, (error, 1.0), True, 1.0)


def dominates(one, other):
    return (one <= other).all() and (one < other).any()


@pytest.mark.parametrize(("seed", "costs"), CASES)
def test_one_front_and_one_position_everywhere(seed, costs):
    results = random_run(seed, costs)
    told = digest(results)
    table = pd.read_csv(io.StringIO(candidates_csv(told)), dtype={"key": str})
    done = table[table["state"] == "finished"]
    assert done["key"].is_unique
    position = done[["predicted_error", *costs]].to_numpy()
    complete = np.isfinite(position).all(axis=1)
    for row, front, known in zip(position, done["front"], complete, strict=True):
        rivals = [dominates(other, row) for other in position[complete]]
        assert front == (known and not any(rivals))
    assert not table[table["state"] != "finished"]["front"].any()

    on_front = set(done["key"][done["front"]])
    record = summary(told)
    assert {each["key"] for each in record["front"]} == on_front
    assert all(each["front"] for each in [*record["front"], *record["picks"].values()])
    shown = candidate_table(told)
    keys = {row.cells[0].text for row in shown.rows if row.front}
    assert keys == on_front
    assert {row.cells[0].text for row in shown.rows if row.picks} <= on_front

    rows = done.set_index("key")
    for cost in costs:
        series = front_series(told, cost)
        drawn = [each for each in told.finished if np.isfinite(each.figure(cost))]
        for place, network in enumerate(drawn):
            row = rows.loc[network.key]
            assert series.costs[place] == row[cost]
            assert series.errors[place] == max(row["predicted_error"], 0.5 / told.images)
            assert series.on_front[place] == row["front"]
        for place, names in series.picks.items():
            assert {told.picks[name].key for name in names} == {drawn[place].key}
        if len(costs) == 1:
            line = {tuple(point) for point in series.step}
            marks = np.stack([series.costs, series.errors], axis=1)[series.on_front]
            assert line == {tuple(point) for point in marks}


@pytest.mark.parametrize(("seed", "costs"), CASES[:12])
def test_the_answer_is_the_least_predicted_error_of_the_front(seed, costs):
    told = digest(random_run(seed, costs))
    better = [each for each in told.front if each.new_high < told.baseline.error]
    assert (told.answer is None) == (not better)
    if told.answer:
        assert told.answer.predicted_error == min(each.predicted_error for each in better)
        assert answer(told).startswith(f"Take {told.answer.name}: ")
