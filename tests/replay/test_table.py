"""A run's trainings as a table: what is read off curves, what is left out, and every bad table."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnsearch.analysis.candidates import Candidate, State
from dnsearch.arch import ArchConfig
from dnsearch.config import StudyConfig, load_study, to_toml
from dnsearch.cost.formula import cost_of
from dnsearch.errors import RunError
from dnsearch.files import write_json, write_text
from dnsearch.replay import files
from dnsearch.replay.comparison import compare
from dnsearch.replay.files import load_table, read_table, write_table
from dnsearch.replay.measures import COLUMNS
from dnsearch.replay.run import problem_of
from dnsearch.replay.table import FIGURES, Table
from dnsearch.search.results import Results
from dnsearch.training.score import CurvePoint, Score
from tests.fakes import FakeEvaluator

ARCHS = tuple(
    ArchConfig(growth_rate=k, block_config=(1, 2), stem="cifar", in_channels=1, num_classes=10)
    for k in (4, 8, 12)
)
RUNGS = (1, 3, 9)
IMAGES = 8000
DATA = {
    "shape": [1, 28, 28],
    "classes": [f"class {i}" for i in range(10)],
    "images": {"train": IMAGES, "validation": 4000},
}


def curve(*errors):
    """Epoch by epoch; losses in a fixed proportion to the error."""
    return [CurvePoint(n, 3 * e, e, 2 * e) for n, e in enumerate(errors, start=1)]


def halving(epochs, start=0.8):
    return curve(*(start / 2**n for n in range(epochs)))


def trial(arch=ARCHS[0], seed=1, rung=9, points=None, failure="", seconds=90.0, images=IMAGES):
    """A training of this many epochs; it ended with the last of its points, unless it failed."""
    points = halving(rung) if points is None else points
    ended = points[-1:] if not failure else []
    figures = {name: getattr(last, name) for last in ended for name in FIGURES}
    return Candidate(
        arch=arch,
        cost=cost_of(arch, 28, 28),
        state=State.FAILED if failure else State.FINISHED,
        number=0,
        rung=rung,
        seed=seed,
        images=images,
        seconds=seconds,
        failure=failure,
        curve=tuple(points),
        **figures,
    )


def table_of(*trials, rungs=RUNGS, **changes):
    results = Results(
        name="hand-made",
        typed="hand-made",
        study=StudyConfig.model_validate({"training": {"rungs": rungs}}),
        environment={},
        data=DATA,
        measured=trials,
        presets=[],
        importance={},
        seconds=100.0,
    )
    return Table.of(replace(results, **changes))


def rows_of(table):
    rows = table.trainings.astype(object).where(table.trainings.notna(), None)
    return [tuple(row) for row in rows[["rung", "error", "seconds", "failure"]].to_numpy()]


def same(one, other):
    pd.testing.assert_frame_equal(one.trainings, other.trainings, check_dtype=False)
    fields = set(vars(one)) - {"trainings", "scores", "truth"}
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def test_rungs_are_read_off_the_curve():
    table = table_of(trial())
    assert rows_of(table) == [
        (1, 0.8, 10.0, ""),
        (3, 0.2, 30.0, ""),
        (9, 0.8 / 256, 90.0, ""),
    ]
    assert table.shape == (1, 28, 28)
    assert (table.classes, table.images, table.rungs) == (10, 8000, RUNGS)


def test_a_training_stopped_early_has_its_rungs_alone():
    table = table_of(trial(rung=3, seconds=30.0), trial(ARCHS[1]))
    assert rows_of(table)[:2] == [(1, 0.8, 10.0, ""), (3, 0.2, 30.0, "")]
    assert list(table.truth.index) == [ARCHS[1].key]
    assert sorted(table.scores[ARCHS[0].key][1]) == [1, 3]


def test_promotions_of_one_training_are_one_training():
    lower, middle, top = trial(rung=1, seconds=9.0), trial(rung=3, seconds=27.0), trial()
    alone = table_of(top)
    for order in ([lower, middle, top], [top, lower, middle]):
        assert same(table_of(*order), alone)


def test_a_promotion_whose_worker_died_keeps_what_was_scored_before():
    died = trial(points=[], failure="its worker process died", seconds=math.nan)
    table = table_of(trial(rung=3, seconds=30.0), died)
    assert rows_of(table) == [
        (1, 0.8, 10.0, ""),
        (3, 0.2, 30.0, ""),
        (9, None, None, "its worker process died"),
    ]


@pytest.mark.parametrize("failure", ["", "diverged"])
def test_trainings_on_part_of_the_images_are_left_out(failure):
    part = trial(seed=2, images=IMAGES // 4, failure=failure)
    assert same(table_of(trial(), part, trial(ARCHS[1])), table_of(trial(), trial(ARCHS[1])))
    with pytest.raises(RunError, match="has no trained candidates yet"):
        table_of(part)


def test_a_training_that_diverged_has_the_rungs_before():
    table = table_of(trial(points=halving(4), failure="diverged", seconds=50.0), trial(seed=2))
    assert rows_of(table)[:3] == [
        (1, 0.8, 10.0, ""),
        (3, 0.2, 30.0, ""),
        (9, None, 50.0, "diverged"),
    ]
    assert table.truth.loc[ARCHS[0].key, "seeds"] == 1
    failed = table.scores[ARCHS[0].key][1][9]
    assert (failed.failure, failed.error, failed.seconds) == ("diverged", None, 50.0)
    assert [point.epoch for point in failed.curve] == [1, 3]


def test_a_score_without_a_curve_counts_at_its_own_rung():
    assert rows_of(table_of(replace(trial(points=[]), error=0.1))) == [(9, 0.1, 90.0, "")]


def test_every_rung_of_the_study_is_read_off_the_curve():
    assert set(table_of(trial(), rungs=(1, 3, 8, 9)).trainings["rung"]) == {1, 3, 8, 9}


def test_truth_is_the_mean_over_seeds_with_exact_costs():
    worse = trial(seed=2, points=curve(*[0.5] * 9))
    truth = table_of(trial(), worse, trial(ARCHS[1])).truth
    assert truth.loc[ARCHS[0].key, "error"] == pytest.approx((0.8 / 256 + 0.5) / 2)
    assert truth["seeds"].tolist() == [2, 1]
    for arch in ARCHS[:2]:
        cost = cost_of(arch, 28, 28)
        found = truth.loc[arch.key, ["params", "macs", "activations"]]
        assert found.tolist() == [cost.params, cost.macs, cost.activations]


def test_replicates_stand_in_the_order_of_truth_with_gaps_as_nan():
    table = table_of(
        trial(ARCHS[2], rung=3), trial(), trial(seed=2, points=halving(9, 0.4)), trial(ARCHS[1])
    )
    assert table.truth.index.tolist() == [ARCHS[0].key, ARCHS[1].key]
    errors = table.replicates("error")
    assert errors.shape == (2, 2, 3)
    assert errors[0] == pytest.approx(np.array([[0.8, 0.2, 0.8 / 256], [0.4, 0.1, 0.4 / 256]]))
    assert np.isnan(errors[1, 1]).all()
    assert table.replicates("train_loss")[0, 1, 1] == pytest.approx(0.3)


def test_scores_hold_the_curve_of_the_recorded_rungs():
    score = table_of(trial(points=curve(0.5, 0.5, 0.25))).scores[ARCHS[0].key][1][3]
    points = (CurvePoint(1, 1.5, 0.5, 1.0), CurvePoint(3, 0.75, 0.25, 0.5))
    assert score == Score(3, 1, 0.25, 0.5, 0.75, points, seconds=30.0)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_an_error_that_is_no_number_is_a_failed_training(wrong):
    points = [*halving(8), CurvePoint(9, 1.0, wrong, 1.0)]
    table = table_of(trial(points=points), trial(ARCHS[1]))
    assert table.truth.index.tolist() == [ARCHS[1].key]
    assert table.scores[ARCHS[0].key][1][9].failure == "its error is not a finite number"


def test_a_loss_that_is_no_number_is_missing_alone():
    points = [*halving(8), CurvePoint(9, 1.0, 0.1, math.nan)]
    score = table_of(trial(points=points)).scores[ARCHS[0].key][1][9]
    assert (score.error, score.loss, score.failure) == (0.1, None, None)


def test_one_architecture_with_one_seed_is_a_table():
    table = table_of(trial())
    assert len(table.truth) == 1
    assert table.replicates("error").shape == (1, 1, 3)


def test_nothing_recorded_is_one_line():
    with pytest.raises(RunError, match=r"^hand-made: has no trained candidates yet; dnsearch run"):
        table_of()


def test_nothing_at_the_top_rung_is_one_line():
    failed = trial(ARCHS[1], points=[], failure="out of memory")
    table = table_of(trial(rung=3), failed)
    with pytest.raises(RunError, match=r"^hand-made: no training reached the top rung of 9 epochs"):
        _ = table.truth


def test_an_architecture_that_is_not_told_is_one_line():
    table = table_of(trial())
    with pytest.raises(RunError, match=f"does not say what architecture {ARCHS[0].key} is"):
        replace(table, archs={})


def test_written_and_loaded_it_is_the_same(tmp_path):
    failed = trial(ARCHS[1], points=halving(2), failure="diverged", seconds=math.nan)
    table = table_of(trial(), trial(seed=2**32 - 1), failed)
    write_table(table, tmp_path / "t.parquet")
    assert same(load_table(tmp_path / "t.parquet"), table)


def measuring(error):
    """A study of this error whose space holds the first two of ``ARCHS``."""
    space = {"growth_rate": [4, 8], "block_config": [[1], [2]], "num_init_features": [64]}
    return StudyConfig.model_validate({"objectives": {"error": error}, "space": space})


@pytest.mark.parametrize(("error", "least"), [("top1", 0.7), ("top5", 0.48), ("balanced", 0.9)])
def test_its_reference_error_is_that_of_the_run(tmp_path, error, least):
    """Of 1,000 images 300 are of the class commonest in training, 520 of the first five."""
    held = [300, 50, 50, 50, 70, 96, 96, 96, 96, 96]
    train = [900, 800, 700, 600, 500, *[400] * 5]
    study = measuring(error)
    data = DATA | {"class_counts": {"train": train, "validation": held}}
    table = table_of(trial(), study=study, data=data)
    write_table(table, tmp_path / "t.parquet")
    for each in (table, load_table(tmp_path / "t.parquet")):
        reference = {"error": pytest.approx(least), "macs": problem_of(each).reference["macs"]}
        assert problem_of(each).reference == reference
        found = compare(each, pd.DataFrame(columns=list(COLUMNS)), ["random"], [0])
        assert found.reference == reference


@pytest.mark.parametrize(("error", "least"), [("top1", 0.9), ("top5", 0.5), ("balanced", 0.9)])
def test_a_table_that_does_not_tell_its_classes_counts_them_as_equally_common(error, least):
    table = table_of(trial(), study=measuring(error))
    older = Table(**{n: v for n, v in vars(table).items() if n != "baseline_error"})
    assert problem_of(older).reference["error"] == least


def test_a_file_is_readable_without_dnsearch_and_names_no_folder(tmp_path):
    study = StudyConfig.model_validate(
        {"data": {"format": "cifar10", "path": "/home/me/cifar.tar"}}
    )
    write_table(table_of(trial(), study=study), tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert json.loads(frame["arch"][0]) == ARCHS[0].to_dict()
    assert b"/home/me" not in (tmp_path / "t.parquet").read_bytes()
    assert load_table(tmp_path / "t.parquet").study.data.path == Path("cifar.tar")


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    write_text(tmp_path / "file", "")
    with pytest.raises(RunError, match="cannot be written"):
        write_table(table_of(trial()), tmp_path / "file" / "t.parquet")


def broken_files(tmp_path):
    path = tmp_path / "t.parquet"
    yield path
    path.write_bytes(b"")
    yield path
    path.write_bytes(b"PAR1" + bytes(100))
    yield path
    pd.DataFrame({"a": [1]}).to_parquet(path)
    yield path
    write_table(table_of(trial()), path)
    path.write_bytes(path.read_bytes()[:-100])
    yield path


def test_every_broken_file_is_one_line(tmp_path):
    for path in broken_files(tmp_path):
        with pytest.raises(RunError, match=r"t\.parquet: is no table that dnsearch wrote"):
            load_table(path)


def test_bench_names_are_looked_up_among_the_bundled(tmp_path, monkeypatch):
    write_table(table_of(trial()), tmp_path / "fashion14.parquet")
    monkeypatch.setattr(files, "_bench_folder", lambda: tmp_path)
    assert read_table("bench:fashion14").name == "hand-made"
    with pytest.raises(RunError, match="no benchmark 'fashoin14'; did you mean 'fashion14'"):
        read_table("bench:fashoin14")
    with pytest.raises(RunError, match="no benchmark ''; known are fashion14"):
        read_table("bench:")
    (tmp_path / "fashion14.parquet").unlink()
    with pytest.raises(RunError, match="no benchmark 'fashion14'; none comes with this"):
        read_table("bench:fashion14")


def test_every_bundled_table_can_be_read():
    for path in (Path(__file__).parents[2] / "studies" / "densenet-bench").glob("*.parquet"):
        table = read_table(f"bench:{path.stem}")
        assert table.name == path.stem
        assert len(table.truth)


def test_a_run_is_read_by_its_path(make_search, tmp_path):
    def with_curve(job):
        points = tuple(CurvePoint(n, 1.0, 0.1 * job.seed % 1 / n, 1.0) for n in range(1, 4))
        return Score(job.rung, job.seed, points[-1].error, 1.0, 1.0, points, seconds=6.0)

    search = make_search(evaluator=FakeEvaluator(score=with_curve), trials=2)
    search.run()
    run = search.store.path.parent
    write_text(
        run / "study.toml", to_toml(StudyConfig.model_validate({"training": {"rungs": [1, 3]}}))
    )
    write_json(run / "data.json", DATA | {"shape": [1, 8, 8]})
    write_json(run / "environment.json", {"activation_bytes": 4})
    table = read_table(str(run))
    assert table.study == load_study(run / "study.toml")
    assert len(table.truth) == 2
    for record in search.records:
        at_one = table.scores[record.job.arch.key][record.job.seed][1]
        assert at_one.error == record.score.curve[0].error
        assert at_one.seconds == pytest.approx(2.0)
    with pytest.raises(RunError, match="there is no run 'nothing'"):
        read_table("nothing")
