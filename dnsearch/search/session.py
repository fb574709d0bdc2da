"""One session of a search: from a study and a folder to trained candidates in its storage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from dnsearch.analysis.baseline import baseline
from dnsearch.analysis.reference import reference_point
from dnsearch.config import SIGN, StudyConfig, changed_keys, load_study, recorded
from dnsearch.data import PreparedData
from dnsearch.errors import RunError
from dnsearch.files import require_ours, write_json, write_text
from dnsearch.rundir import PAGE_SIGN, RunDir, environment
from dnsearch.search.devices import Plan
from dnsearch.search.engine import INTERRUPTED, Engine, Progress
from dnsearch.search.evaluators.base import Running
from dnsearch.search.latency import require_same_latencies
from dnsearch.search.outset import Outset
from dnsearch.search.problem import Problem
from dnsearch.search.proposer import Proposer
from dnsearch.search.restore import restore
from dnsearch.search.server import place_for, prepare
from dnsearch.search.stopping import stopping_rule
from dnsearch.search.store import Record, StudyStore
from dnsearch.search.weights import Keeper
from dnsearch.search.workers import Workers, workers_of
from dnsearch.training.measured import effective_images


@dataclass(frozen=True)
class Opened:
    """A search ready to go, for whoever wants to tell of it before it starts. ``study`` has its
    rungs sized. ``feasible``: how many points are within the limits, in words. ``notes``: what is
    doubtful about the images, and what slows the search down on this machine."""

    run: RunDir
    study: StudyConfig
    data: PreparedData
    plan: Plan
    space_size: int
    feasible: str
    records: tuple[Record, ...]
    notes: tuple[str, ...]

    @property
    def done(self) -> int:
        """Candidates that earlier sessions finished."""
        return len(self.records)


def search(
    study: StudyConfig,
    run: RunDir,
    opened: Callable[[Opened], None],
    show: Callable[[Progress], None],
    workers: Workers | None = None,
    retry_failed: bool = False,
    restored: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> str:
    """Searches, or goes on searching, until a budget is spent; returns why it ended.
    ``retry_failed``: candidates whose training failed before are tried again, first. ``restored``:
    a damaged storage is first replaced by its newest backup. ``workers`` are those of the study's
    ``cluster.engine`` unless given. ``note`` hears when the connection to a server that has the
    results is lost, and is back.

    Everything that can be wrong with the study is found before the folder is touched. Ctrl-C ends
    the session; calling again goes on. Raises a DnsearchError for what a user can mend.
    """
    workers = workers or workers_of(study)
    outset = Outset.of(study, run, workers.plan)
    study, data, plan = outset.study, outset.data, outset.plan
    described = data.describe()
    least = baseline(described, study.objectives.error).error
    problem = Problem(
        outset.points,
        outset.model,
        study.objectives.costs,
        study.training.rungs,
        study.objectives.axis,
        reference_point(study, data.shape, data.num_classes, baseline_error=least),
        data.counts["train"],
        aim=study.objectives.aim,
    )
    place = place_for(run, study.search.storage)
    if place is not None:
        prepare(place)
    with run.lock():
        told = (restore(run),) if restored else ()
        _require_same_study(run, study, data, plan)
        place = place_for(run, study.search.storage)
        _record(run, outset)  # before the storage: what has one has all of these
        if place is not None:
            run.note_place(place)
            told = (*told, f"results go to {place}")
        with (
            contextlib.closing(StudyStore(run, problem.objectives, note=note)) as store,
            store.guarded(),
            workers.evaluator(study.keeping(outset.kept.of_workers), data, run, plan) as evaluator,
        ):
            if retry_failed:
                store.set_failures_aside()
            store.recover()
            run.ended_file.unlink(missing_ok=True)
            proposer = Proposer(store, problem, study.search, outset.start)
            keeper = Keeper(run, study)
            validation = described["class_counts"]["validation"]
            images = effective_images(study.objectives.error, validation)
            enough = stopping_rule(store, problem, study.search, images)
            engine = Engine(store, proposer, evaluator, problem, study.search, enough=enough)
            notes = (*told, *data.notes, *plan.notes(), *plan.compile_kernels(study.training))
            notes = (*notes, *outset.latency_notes(), *outset.kept.notes())
            records = tuple(store.records())
            counts = outset.space.size, outset.within.number
            opened(Opened(run, study, data, plan, *counts, records, notes))

            def tell(progress: Progress) -> None:
                if progress.finished:
                    keeper.tidy(store.records(), _keys_of(evaluator.running()))
                show(progress)

            try:
                reason = engine.run(tell)
            except KeyboardInterrupt:
                reason = INTERRUPTED
            finally:
                keeper.tidy(store.records(), _keys_of(evaluator.running()))
            run.note_end(reason)
            return reason


def _keys_of(running: list[Running]) -> set[str]:
    return {each.job.arch.key for each in running}


def _require_same_study(run: RunDir, study: StudyConfig, data: PreparedData, plan: Plan) -> None:
    """Raises RunError where the folder holds results that this session's would not go with."""
    if run.training_file.is_file():
        raise RunError(f"{run.path}: holds the training of one network; choose another --name")
    require_ours(run.report, PAGE_SIGN)
    if not run.is_search:
        require_ours(run.study_file, SIGN)
        return
    if not run.study_file.is_file():
        raise RunError(
            f"{run.study_file}: is missing beside the results of a run; give this study another "
            "--name, or put the file back"
        )
    changed = changed_keys(load_study(run.study_file), study)
    if changed:
        raise RunError(
            f"{run.path}: was run with another study ({'; '.join(changed)}); "
            "change it back, or give this one another --name"
        )
    require_same_images(run, data)
    file = run.path / "environment.json"
    known = run.read_json(file.name) if file.is_file() else {}
    kind = known.get("device_kind", plan.kind)
    if kind != plan.kind:
        raise RunError(
            f"{run.path}: was run on {kind}, and this would go on with {plan.kind}, whose scores "
            "and latencies differ; set search.device, or give this study another --name"
        )
    if study.measures_latency:
        require_same_latencies(run, plan, known)


def require_same_images(run: RunDir, data: PreparedData) -> None:
    """Raises RunError where the run was made with other images."""
    before = run.read_json("data.json", "fingerprint")["fingerprint"]
    if before != data.fingerprint:
        raise RunError(
            f"{run.path}: the images changed since it was run (fingerprint {before}, "
            f"now {data.fingerprint}); give this study another --name"
        )


def _record(run: RunDir, outset: Outset) -> None:
    """Writes what is run, on what, and where."""
    study, plan = outset.study, outset.plan
    write_text(run.study_file, recorded(study))
    write_json(run.path / "data.json", outset.data.describe())
    if outset.latencies is not None:
        write_json(run.latency_file, outset.latencies.record())
    machine = {
        "device_kind": plan.kind,
        "devices": list(plan.devices),
        "threads_a_worker": plan.threads,
        "activation_bytes": plan.activation_bytes(study.training),
    }
    write_json(run.path / "environment.json", environment() | machine)
