"""What a search starts from: all that is known of a study before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import CostArrays
from dnsearch.data import PreparedData, check_test, is_cheap_to_check, prepare
from dnsearch.search.design import require_span
from dnsearch.search.devices import Plan, plan_workers
from dnsearch.search.feasible import CostModel, feasible_points, require_within_limits
from dnsearch.seeds import derived_seed


@dataclass(frozen=True)
class Outset:
    """A study on its images and on this machine; rungs that were left open are sized in ``study``.

    start: the designs of ``search.start``. points, costs: the architectures within the limits, and
    what each costs.
    """

    study: StudyConfig
    data: PreparedData
    plan: Plan
    space: SearchSpace
    start: list[ArchConfig]
    model: CostModel
    points: Points
    costs: CostArrays

    @classmethod
    def of(cls, study: StudyConfig) -> Outset:
        """Raises a DnsearchError for whatever a user can mend in study, images and limits."""
        data = _prepared(study)
        study.training.require_room(*data.shape[1:])
        study.training.require_images(len(data.train))
        study.objectives.require_classes(data.num_classes)
        study = study.sized(len(data.train))
        plan = plan_workers(study.search, alone=study.measures_latency)
        channels, *_ = data.shape
        space = study.space.build(channels, data.num_classes)
        start = study.start_configs(space)
        model = CostModel.of(study, data.shape, plan.activation_bytes(study.training))
        require_within_limits(start, model)
        rng = np.random.default_rng(derived_seed(study.search.seed))
        points, costs = feasible_points(space, model, rng)
        if study.search.workers is None:
            plan = plan.within_memory(int(costs.train_bytes.max()))
        if study.search.sampler == "scaling":
            require_span(costs.macs)
        return cls(study, data, plan, space, start, model, points, costs)


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
