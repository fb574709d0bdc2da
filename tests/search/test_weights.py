from dataclasses import replace

from dnsearch.config import parse_study
from dnsearch.rundir import RunDir
from dnsearch.search import weights
from dnsearch.search.weights import Keeper
from tests.fakes import FakeEvaluator, fake_score


def lucky(job):
    """A score by luck alone."""
    return replace(fake_score(job), error=(job.seed % 997) / 1000)


def test_weights_stay_for_the_front_and_for_promotions(make_search, tmp_path):
    evaluator = FakeEvaluator(score=lucky)
    search = make_search(evaluator=evaluator, sampler="mo-asha", rungs=(1, 3), trials=36)
    search.run()
    run = RunDir(tmp_path / "run")
    for record in search.records:
        run.checkpoint(record.job.arch.key, record.job.seed).parent.mkdir(
            parents=True, exist_ok=True
        )
    Keeper(run, parse_study("")).tidy(search.records)
    left = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    tops = [record for record in search.records if record.job.rung == 3]
    screened = {r.job.arch.key for r in search.records} - {r.job.arch.key for r in tops}
    front = {
        a.job.arch.key
        for a in tops
        if not any(
            b.values != a.values
            and b.values[0] <= 0.85 * a.values[0]
            and b.values[1] <= a.values[1]
            for b in tops
        )
    }
    assert left == screened | front
    assert screened
    assert len(front) < len(tops)


def test_what_was_too_slow_at_a_lower_rung_needs_no_weights(make_search, tmp_path):
    def timed(job):
        return replace(fake_score(job), latency_ms=float(job.arch.depth))

    search = make_search(
        evaluator=FakeEvaluator(score=timed), sampler="mo-asha", rungs=(1, 3), trials=12,
        limits={"max_latency_ms": 6.0},
    )  # fmt: skip
    search.run()
    run = RunDir(tmp_path / "run")
    for record in search.records:
        run.checkpoint(record.job.arch.key, 0).parent.mkdir(parents=True, exist_ok=True)
    Keeper(run, parse_study("")).tidy(search.records)
    left = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    slow = {record.job.arch.key for record in search.records if not record.feasible}
    screened = {record.job.arch.key for record in search.records if record.values is None}
    assert slow
    assert screened - slow
    assert left & screened == screened - slow


def test_weights_that_are_gone_are_not_looked_for_again(make_search, tmp_path, monkeypatch):
    search = make_search(evaluator=FakeEvaluator(score=lucky), trials=20)
    search.run()
    run, looked = RunDir(tmp_path / "run"), []
    for record in search.records:
        run.checkpoint(record.job.arch.key, 0).parent.mkdir(parents=True, exist_ok=True)
    keeper, remove = Keeper(run, parse_study("")), weights.shutil.rmtree

    def removing(path, **options):
        looked.append(path)
        remove(path, **options)

    monkeypatch.setattr(weights.shutil, "rmtree", removing)
    keeper.tidy(search.records)
    assert looked
    looked.clear()
    keeper.tidy(search.records)
    assert not looked
