"""The findings on larger budgets for other programs: JSON types alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dnsearch.analysis.metrics import METRICS
from dnsearch.analysis.trust import Interval
from dnsearch.report.forecast import sentences
from dnsearch.report.scaling_reasons import (
    caveats,
    what_settles,
    where_held_out,
    why_refused,
    why_unknown,
)
from dnsearch.report.summary import plain
from dnsearch.scaling.costlaw import CostLaw, TooFewMeasured
from dnsearch.scaling.extrapolation import LawStudy
from dnsearch.scaling.growth import Growth
from dnsearch.scaling.heldout import HeldOut
from dnsearch.scaling.law import Law, Worth
from dnsearch.scaling.verdict import Verdict

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.scaling.networks import Larger
    from dnsearch.scaling.study import Scaling


def scaling_record(scaling: Scaling) -> dict[str, Any]:
    """All figures; what is not known is None."""
    return plain(
        {
            "answer": sentences(scaling),
            "cost": scaling.cost,
            "largest": scaling.largest,
            "only_near_front": scaling.front.is_chosen,
            "laws": {name: _law_study(study) for name, study in scaling.laws.items()},
            "data": None if scaling.data is None else _law_study(scaling.data),
            "worth_of_twice": None if scaling.worth is None else _worth(scaling.worth),
            "growth": {name: _growth(growth) for name, growth in scaling.growth.items()},
            "seconds_per_image": _cost_law(scaling.seconds),
            "latency_ms": _cost_law(scaling.latency),
            "next": [_larger(larger) for larger in scaling.next],
        }
    )


def _law_study(study: LawStudy) -> dict[str, Any]:
    found = _verdict(study.verdict)
    if study.law is not None:
        found |= _law(study.law)
    if study.averaged is not None:
        found["reach"] = study.reach
    if study.held_out is not None:
        found["held_out"] = _held_out(study.held_out)
    return found


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """``reason`` and ``settle`` are sentences; the codes and figures behind them are in
    ``refusal`` and its ``advice``."""
    refusal = verdict.refusal
    found = {
        "trusted": verdict.trusted,
        "reason": "" if refusal is None else why_refused(refusal),
        "settle": "" if refusal is None else what_settles(refusal.advice),
        "notes": caveats(verdict),
        "refusal": None,
    }
    if refusal is not None:
        found["refusal"] = asdict(refusal) | {"reason": str(refusal.reason)}
    return found


def _law(law: Law) -> dict[str, Any]:
    return {
        "sizes": [METRICS[name].short for name in law.names],
        "floor": _interval(law.floor),
        "factors": [_interval(factor) for factor in law.factors],
        "exponents": [_interval(exponent) for exponent in law.exponents],
        "architectures": law.architectures,
        "trainings": law.trainings,
        "seed_sd": law.seed_sd,
        "scatter": law.scatter,
    }


def _held_out(held_out: HeldOut) -> dict[str, Any]:
    return {
        "rule": where_held_out(held_out),
        "sizes": held_out.sizes.tolist(),
        "found": held_out.found.tolist(),
        "law": held_out.law.tolist(),
        "constant": held_out.constant.tolist(),
        "line": held_out.line.tolist(),
    }


def _worth(worth: Worth) -> dict[str, Any]:
    return {
        "network_points": _interval(worth.network),
        "images_points": _interval(worth.data),
        "ratio": _interval(worth.ratio),
        "better": METRICS[worth.better].short if worth.better else "",
    }


def _growth(growth: Growth) -> dict[str, Any]:
    return {
        "exponent": _interval(growth.exponent),
        "told": growth.is_known,
        "reason": why_unknown(growth),
        "cause": None if growth.obstacle is None else str(growth.obstacle.cause),
    }


def _cost_law(law: CostLaw | TooFewMeasured) -> dict[str, Any] | None:
    if isinstance(law, TooFewMeasured):
        return None
    return {"form": law.form, "coefficients": law.coefficients.tolist(), "off": law.off}


def _larger(larger: Larger) -> dict[str, Any]:
    return {
        "times": larger.times,
        "arch": larger.arch.to_dict(),
        "name": larger.arch.describe(),
        "key": larger.arch.key,
        **vars(larger.cost),
        "error": _interval(larger.error),
        "training_error": _interval(larger.training_error),
        "trusted": larger.trusted,
        "seconds": _interval(larger.seconds),
        "latency_ms": _interval(larger.latency_ms),
    }


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval._asdict()
