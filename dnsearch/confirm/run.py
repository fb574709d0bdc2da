"""Training some candidates of a search again, in full and with fresh seeds, on the test images.

The search's own errors decided which networks it recommends, so they are biased low for those
(selection bias); these training runs are independent of them. They are a study of their own in the
run's storage.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dnsearch.analysis import picks
from dnsearch.analysis.candidates import Candidate, figures, finished
from dnsearch.analysis.pareto import Axis
from dnsearch.arch.config import ArchConfig
from dnsearch.arch.space import Points
from dnsearch.config import StudyConfig
from dnsearch.confirm.published import cost_model
from dnsearch.confirm.rates import Planned, at_rates, rate_jobs
from dnsearch.data import (
    LabelledImages,
    PreparedData,
    check_test,
    has_test,
    prepare,
    prepare_test,
)
from dnsearch.data.assemble import fingerprint
from dnsearch.errors import DataError, RunError
from dnsearch.rundir import RunDir, confusion_file
from dnsearch.search.confirmed import best_run
from dnsearch.search.devices import Plan
from dnsearch.search.engine import INTERRUPTED, Engine, Progress
from dnsearch.search.evaluators.base import CONFIRM, RATES, Job
from dnsearch.search.feasible import CostModel
from dnsearch.search.problem import Problem
from dnsearch.search.results import Results
from dnsearch.search.session import require_same_images
from dnsearch.search.store import Record, StudyStore
from dnsearch.search.workers import Workers, workers_of
from dnsearch.seeds import derived_seed

CONFIRM_LENGTH = 3
"""Times the top rung: what short trainings are worth, only longer ones can tell."""

CONFIRM_SEEDS = 1
"""Sets the seeds apart from those of the search."""

FOLDER = "confirm"
"""Within the run's: weights of training runs under way, and of each network the best."""


@dataclass(frozen=True)
class Request:
    """How much to confirm: ``top`` candidates of the front, a ``sample`` of the others, each with
    this many ``seeds`` for so many ``epochs``; ``rates``: some of them and published networks at
    other learning rates, too (``confirm.rates``)."""

    top: int
    sample: int
    seeds: int
    epochs: int
    rates: bool = False


@dataclass(frozen=True)
class Opened:
    """A confirmation ready to go, for whoever shows it. ``todo`` of ``jobs`` are still to do, which
    should take so many ``seconds``; None where the search's own durations are unknown. ``rates``:
    what of it compares learning rates."""

    request: Request
    data: PreparedData
    plan: Plan
    archs: int
    jobs: int
    todo: int
    seconds: float | None
    notes: tuple[str, ...]
    rates: Planned | None = None


def confirm(
    run: RunDir,
    results: Results,
    request: Request,
    opened: Callable[[Opened], None],
    show: Callable[[Progress], None],
    workers: Workers | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> str:
    """Trains what is not trained yet of the request, or failed; returns why it ended.

    ``results`` are the run's, with the workers and device to use in its study. Ctrl-C ends it;
    calling again goes on. The same request asks for the same trainings, unless the search went on
    in between. ``note``: as ``search`` has it. Raises a DnsearchError for what a user can mend.
    """
    study = _in_full(results.study, request.epochs)
    data = prepare(study.data)
    if not has_test(study.data):
        raise DataError(f"{data.name}: must have test images to confirm on; give it a test split")
    tests = check_test(study.data)
    if tests.reason is not None:
        raise DataError(f"cannot confirm without test images: {tests.reason}")
    workers = workers or workers_of(study)
    plan = workers.plan(study)
    images = plan.kept(study.data.keep, data)
    kept = study.keeping(images.of_workers)
    archs, asked = chosen(results, request.top, request.sample), None
    if request.rates:
        asked = at_rates(results)
        archs += [arch for arch in asked.candidates if arch not in archs]
    problem = Problem(
        Points.of(study.space.build(data.shape[0], data.num_classes), archs),
        CostModel.of(study, data.shape, plan.activation_bytes(study.training)),
        known_costs(study),
        study.training.rungs,
        study.objectives.axis,
        {},
        data.counts["train"],
        error="test_error",
    )
    folder = RunDir(run.path / FOLDER)
    with run.lock():
        require_same_images(run, data)
        names = (CONFIRM, RATES) if asked else (CONFIRM,)
        with (
            contextlib.closing(StudyStore(run, problem.objectives, names, note=note)) as store,
            store.guarded(),
            workers.evaluator(kept, data, folder, plan, test=True) as evaluator,
        ):
            _require_same_tests(run, store, data, prepare_test(study.data))
            store.recover()
            jobs = list(_jobs(archs, request, study.search.seed))
            planned = None
            if asked:
                more = rate_jobs(asked, study, request.epochs, request.seeds)
                planned = Planned.of(asked, study.training, len(more))
                jobs += more
            wanted = set(map(_identity, jobs))
            sound = [record for record in store.records() if record.score.failure is None]
            before = [record for record in sound if _identity(record.job) in wanted]
            done = {_identity(record.job) for record in before}
            left = [job for job in jobs if _identity(job) not in done]
            seconds = expected_seconds(results, left, len(plan.devices))
            notes = (*plan.notes(), *plan.compile_kernels(study.training)) if left else ()
            notes = (*tests.notes, *notes, *images.notes())
            counts = len(archs), len(jobs), len(left)
            opened(Opened(request, data, plan, *counts, seconds, notes, planned))
            trials = {"trials": len(done) + len(left), "time": None}
            budget = study.search.model_copy(update=trials)
            queue = _Queue(store, left)
            engine = Engine(store, queue, evaluator, problem, budget, before=before)

            def tell(progress: Progress) -> None:
                if progress.finished:
                    _tidy(folder, store.records(), progress.finished)
                show(progress)

            try:
                reason = engine.run(tell)
            except KeyboardInterrupt:
                return INTERRUPTED
        return reason


def _tidy(folder: RunDir, records: Sequence[Record], finished: Sequence[Record]) -> None:
    """Of the networks that these finished training runs are of, keeps the weights of
    ``confirmed.best_run`` of their confirmations alone, none of those that compare learning rates;
    the scores of all ``records`` are stored."""
    confirmations = [record for record in records if record.job.study == CONFIRM]
    for key in {record.job.arch.key for record in finished}:
        best = best_run(confirmations, key)
        kept = None if best is None else best.job.seed
        for seed in {record.job.seed for record in records if record.job.arch.key == key} - {kept}:
            weights = folder.checkpoint(key, seed)
            for file in (weights, confusion_file(weights), confusion_file(weights, "test")):
                file.unlink(missing_ok=True)


def _identity(job: Job) -> tuple[str, str, int]:
    """What tells a training from all others of its length: seeds are derived from the rest."""
    return job.study, job.arch.key, job.seed


def _require_same_tests(
    run: RunDir, store: StudyStore, data: PreparedData, tests: LabelledImages
) -> None:
    """Raises RunError where earlier trainings were measured on other test images."""
    now = fingerprint(data.classes, tests)
    study = store.logs[CONFIRM].study
    before = study.user_attrs.get("test_images")
    if before is None:
        study.set_user_attr("test_images", now)
    elif before != now:
        raise RunError(
            f"{run.path}: the test images changed since it was confirmed (fingerprint {before}, "
            f"now {now}); put the old ones back, or search anew under another --name"
        )


def known_costs(study: StudyConfig) -> tuple[str, ...]:
    """The objectives' costs without latency, which the search has measured."""
    return tuple(cost for cost in study.objectives.costs if cost != "latency_ms")


def chosen(results: Results, top: int, sample: int) -> list[ArchConfig]:
    """``top`` members of the front, and a ``sample`` of other candidates that is spread over cost.

    Those recommended come first, then others evenly along the front; a small one is filled up with
    the front of the rest. Raises RunError where nothing was trained.
    """
    costs, axis = results.study.objectives.costs, results.study.objectives.axis
    best = _front_members(results.searched, costs, top, axis)
    if not best:
        raise RunError(f"{results.name}: no candidate is finished yet, so there is none to confirm")
    trained = [each for each in results.candidates if math.isfinite(each.error)]
    by_cost = np.argsort(figures(trained, costs[0]), kind="stable")
    others = [key for key in dict.fromkeys(trained[i].key for i in by_cost) if key not in best]
    rng = np.random.default_rng(derived_seed(results.study.search.seed, CONFIRM_SEEDS))
    strata = np.array_split(np.array(others), sample) if sample else []
    drawn = [str(rng.choice(stratum)) for stratum in strata if len(stratum)]
    archs = results.archs
    return [archs[key] for key in (*best, *drawn)]


def _front_members(
    candidates: Sequence[Candidate], costs: Sequence[str], top: int, axis: Axis
) -> list[str]:
    members: list[str] = []
    left = finished(candidates)
    while left and len(members) < top:
        front = [each.key for each in picks.front(left, costs)]
        if not front:  # what is left has a cost that was not measured
            break
        members += _thinned(front, picks.recommend(left, costs, axis=axis), top - len(members))
        left = [each for each in left if each.key not in {*front, *members}]
    return members


def _thinned(front: list[str], recommended: Mapping[str, Candidate], most: int) -> list[str]:
    """At most so many keys of a front, cheapest first: the recommended ones, then evenly."""
    kept = list(dict.fromkeys(each.key for each in recommended.values()))[:most]
    rest = [key for key in front if key not in kept]
    spread = np.linspace(0, len(rest) - 1, min(most - len(kept), len(rest))).round().astype(int)
    return kept + [rest[i] for i in dict.fromkeys(spread)]


def _jobs(archs: Sequence[ArchConfig], request: Request, seed: int) -> Iterator[Job]:
    """All with their first seed, then all with the next: whatever is done is a whole comparison."""
    for number in range(request.seeds):
        for arch in archs:
            own = derived_seed(seed, CONFIRM_SEEDS, int(arch.key, 16), request.epochs, number)
            yield Job(-1, arch, request.epochs, own, CONFIRM)


def _in_full(study: StudyConfig, epochs: int) -> StudyConfig:
    """The study with trainings of this length alone, and time for them."""
    longer = max(1.0, epochs / study.training.rungs[-1])
    training = study.training.model_copy(update={"rungs": (epochs,)})
    search = study.search.model_copy(update={"timeout": study.search.timeout * longer})
    return study.model_copy(update={"training": training, "search": search})


def expected_seconds(results: Results, jobs: Sequence[Job], workers: int) -> float | None:
    """Wall-clock seconds of these jobs, by what an epoch of each took in the search, and of others
    in proportion to their MACs; None where it is known of none."""
    pace: dict[str, float] = {}
    for candidate in results.candidates:
        if candidate.curve and math.isfinite(candidate.seconds):
            pace[candidate.key] = candidate.seconds / len(candidate.curve)
    if not jobs or not pace:
        return None if jobs else 0.0
    unknown = {job.arch for job in jobs if job.arch.key not in pace}
    if unknown:
        macs = {c.key: c.cost.macs for c in results.candidates if c.key in pace}
        each, model = sum(pace.values()) / sum(macs.values()), cost_model(results)
        pace |= {arch.key: each * model.cost(arch).macs for arch in unknown}
    seconds = [pace[job.arch.key] * job.rung for job in jobs]
    return max(sum(seconds) / workers, max(seconds))


def default_request(results: Results) -> Request:
    """What ``dnsearch confirm`` takes where nothing else is said."""
    return Request(
        top=8, sample=8, seeds=3, epochs=CONFIRM_LENGTH * results.study.training.rungs[-1]
    )


def expected_duration(results: Results, request: Request) -> float | None:
    """Seconds that confirming a run as requested should take on the machine it was searched on."""
    jobs = _jobs(chosen(results, request.top, request.sample), request, 0)
    return expected_seconds(results, list(jobs), len(results.environment.get("devices", [""])))


class _Queue:
    """What a proposer is to the engine: jobs in a fixed order, noted in the storage as they go."""

    def __init__(self, store: StudyStore, jobs: Sequence[Job]) -> None:
        self._store, self._jobs = store, iter(jobs)

    def propose(self) -> Job | None:
        job = next(self._jobs, None)
        if job is None:
            return None
        with self._store.transaction():
            trial = self._store.logs[job.study].study.ask()
            job = replace(job, trial=trial.number)
            self._store.accept(trial, job)
        return job
