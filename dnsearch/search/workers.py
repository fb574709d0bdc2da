"""Who trains: processes of this machine or, on a cluster, its nodes (``study.cluster.engine``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from dnsearch.config import StudyConfig
from dnsearch.data import PreparedData
from dnsearch.rundir import RunDir
from dnsearch.search.devices import Plan, plan_workers
from dnsearch.search.evaluators.base import Evaluator
from dnsearch.search.evaluators.local import LocalEvaluator
from dnsearch.search.evaluators.worker import WorkerSettings
from dnsearch.search.latency import latency_setting


class Workers(Protocol):
    """Where trainings may run. One of these serves one search, or one confirmation."""

    def plan(self, study: StudyConfig, alone: bool = False) -> Plan:
        """The devices there are; one alone where latency counts. Raises a DnsearchError where there
        are none of the kind that is asked for."""
        ...

    def evaluator(
        self,
        study: StudyConfig,
        data: PreparedData,
        run: RunDir,
        plan: Plan,
        test: bool = False,
    ) -> contextlib.AbstractContextManager[Evaluator]:
        """Trains on the devices of ``plan`` until its end; ``test``: to measure on the test images,
        and not latency, instead."""
        ...


class LocalWorkers:
    """Worker processes of this machine."""

    def plan(self, study: StudyConfig, alone: bool = False) -> Plan:
        """See ``Workers``."""
        return plan_workers(study.search, alone)

    @contextlib.contextmanager
    def evaluator(
        self,
        study: StudyConfig,
        data: PreparedData,
        run: RunDir,
        plan: Plan,
        test: bool = False,
    ) -> Iterator[Evaluator]:
        """See ``Workers``."""
        settings = settings_of(study, data, plan, test)
        evaluator = LocalEvaluator(run, settings, list(plan.devices), study.search.timeout)
        try:
            yield evaluator
        finally:
            evaluator.close()


def workers_of(study: StudyConfig) -> Workers:
    """Those that the study names."""
    match study.cluster.engine:
        case "ray":
            from dnsearch.search.cluster import RayWorkers

            return RayWorkers()
        case "slurm":
            from dnsearch.search.slurm import SlurmWorkers

            return SlurmWorkers()
    return LocalWorkers()


def settings_of(study: StudyConfig, data: PreparedData, plan: Plan, test: bool) -> WorkerSettings:
    """What every worker of a search, or of a confirmation (``test``), needs."""
    timed = study.measures_latency and not test
    return WorkerSettings(
        data=study.data,
        fingerprint=data.fingerprint,
        recipe=study.training,
        threads=plan.threads,
        latency=latency_setting(study, plan) if timed else None,
        test=test,
        zero_cost=study.search.zero_cost and not test,
        error=study.objectives.error,
        most_latency_ms=study.limits.max_latency_ms,
    )
