"""What a search starts from: all that is known of a study before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import CostArrays
from dnsearch.data import Kept, PreparedData, check_test, is_cheap_to_check, prepare
from dnsearch.rundir import RunDir
from dnsearch.search.boxes import Drawn
from dnsearch.search.design import require_span
from dnsearch.search.devices import Plan
from dnsearch.search.feasible import CostModel, require_within_limits, within_limits
from dnsearch.search.latency import LatencyTable, table_to_begin_with
from dnsearch.search.workers import LocalWorkers
from dnsearch.seeds import derived_seed


@dataclass(frozen=True)
class Outset:
    """A study on its images and on this machine; rungs that were left open are sized in ``study``.

    start: the designs of ``search.start``. within: the architectures within the limits, or a sample
    of them, and what each costs. kept: where workers keep the decoded images. latencies: by which
    latencies are predicted; None where none are asked for.
    """

    study: StudyConfig
    data: PreparedData
    plan: Plan
    space: SearchSpace
    start: list[ArchConfig]
    model: CostModel
    within: Drawn
    kept: Kept
    latencies: LatencyTable | None = None

    @classmethod
    def of(
        cls,
        study: StudyConfig,
        run: RunDir | None = None,
        plan_for: Callable[[StudyConfig, bool], Plan] | None = None,
    ) -> Outset:
        """For a run that may have been begun before. ``plan_for`` finds the devices, those of this
        machine unless given. Raises a DnsearchError for whatever a user can mend in study, images
        and limits."""
        data = _prepared(study)
        study.training.require_room(*data.shape[1:])
        study.training.require_images(len(data.train))
        study.objectives.require_classes(data.num_classes)
        study = study.sized(len(data.train))
        plan = (plan_for or LocalWorkers().plan)(study, study.measures_latency)
        channels, *_ = data.shape
        space = study.space.build(channels, data.num_classes)
        start = study.start_configs(space)
        latencies = table_to_begin_with(study, plan, run)
        saved = plan.activation_bytes(study.training)
        model = CostModel.of(study, data.shape, saved, latencies and latencies.model)
        require_within_limits(start, model)
        rng = np.random.default_rng(derived_seed(study.search.seed))
        within = within_limits(space, model, rng)
        costs = within.costs
        if study.search.workers is None:
            plan = plan.within_memory(int(costs.train_bytes.max()))
        if study.search.sampler == "scaling":
            require_span(costs.macs)
        images = plan.kept(study.data.keep, data)
        return cls(study, data, plan, space, start, model, within, images, latencies)

    @property
    def points(self) -> Points:
        """Architectures within the limits."""
        return self.within.points

    @property
    def costs(self) -> CostArrays:
        """What each of the points costs."""
        return self.within.costs

    def latency_notes(self) -> list[str]:
        """How latencies are predicted, and which networks are left out for it."""
        if self.latencies is None:
            return []
        model, bound = self.latencies.model, self.model.latency_bound_ms
        if model.is_guess:
            return [
                f"latencies ({model.setting}) are predicted by a guess, corrected by what this run "
                "measures; `dnsearch profile` with this study, in a quiet minute before a new run, "
                "measures this machine once for all runs"
            ]
        if bound is None:
            return []
        return [
            f"networks of which a latency above {bound:.3g} ms is predicted are left out: "
            f"limits.max_latency_ms and a margin of {100 * (model.margin - 1):.0f} %"
        ]


def _prepared(study: StudyConfig) -> PreparedData:
    """The images of a study. Where it takes no time to find out, their notes say whether the test
    split can be used later; one that cannot counts as none."""
    data = prepare(study.data)
    if not data.test_split or not is_cheap_to_check(study.data):
        return data
    found = check_test(study.data)
    if found.reason is None:
        return replace(data, notes=(*data.notes, *found.notes))
    note = f"no test split that can be used: {found.reason}"
    return replace(data, test_split=False, notes=(*data.notes, note))
