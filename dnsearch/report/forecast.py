"""What a study of scaling laws says: sentences with intervals, and JSON for other programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dnsearch.analysis.frames import column, texts
from dnsearch.analysis.metrics import METRICS, duration, format_value
from dnsearch.analysis.trust import Interval
from dnsearch.report.digest import plain
from dnsearch.scaling.costlaw import CostLaw

if TYPE_CHECKING:  # they read Optuna's storage, which a report has no need of
    from dnsearch.scaling.extrapolation import HeldOut, LawStudy
    from dnsearch.scaling.study import Larger, Scaling

WIDE = 5.0
"""An interval whose ends are farther apart than this is not worth telling."""

WORDS = {
    "growth_rate": "growth rate",
    "layers": "number of layers",
    "bn_size": "bottleneck's width",
}


class Said(NamedTuple):
    """A sentence or two, and a word that stands before them on the command line."""

    label: str
    text: str


def told(scaling: Scaling) -> list[Said]:
    """The whole answer, the most important first."""
    said = [Said("from", f"{_basis(scaling)}.")]
    if not scaling.laws[scaling.cost].verdict.trusted:
        said.append(
            Said("refused", _refused(scaling.laws[scaling.cost], "larger networks would score"))
        )
    said += [Said("next", _expected(scaling, larger)) for larger in scaling.next]
    said.append(Said("worth", _worth(scaling)))
    said.append(Said("grow", _growth(scaling)))
    said += [Said("laws", _law(name, study)) for name, study in scaling.laws.items()]
    if scaling.data is not None and scaling.data.held_out is not None:
        said.append(Said("laws", f"images: {_held_out(scaling.data.held_out)}."))
    said += [Said("cost", text) for text in _costs(scaling)]
    said += [Said("note", _sentence(note)) for note in _notes(scaling)]
    return [Said(label, spaced(text)) for label, text in said]


def sentences(scaling: Scaling) -> list[str]:
    return [said.text for said in told(scaling)]


def spaced(text: str) -> str:
    """``9.8 %`` for ``9.8%``."""
    return re.sub(r"(?<=\d)%", " %", text)


def percent(interval: Interval) -> str:
    """``6.9 % (6.5 to 7.4)``; with one more digit where all is below 2 %."""
    digits = 1 if interval.high >= 0.02 else 2
    value, low, high = (f"{100 * end:.{digits}f}" for end in interval)
    return f"{value} % ({low} to {high})"


def _basis(scaling: Scaling) -> str:
    full, cost = scaling.full, scaling.cost
    parts = len(scaling.trainings) - len(full)
    sizes = column(full, cost)
    text = f"{len(full)} trainings of {len(set(full['key']))} networks"
    text += f", {parts} more on part of the images," if parts else ""
    least, most = (format_value(cost, float(end)) for end in (sizes.min(), sizes.max()))
    text += f" over {sizes.max() / sizes.min():.3g} times in {METRICS[cost].short}"
    text += f" ({least.removesuffix(' ' + METRICS[cost].short)} to {most})"
    fitted = scaling.trainings[scaling.trainings["fitted"]]
    text += f"; {len(set(fitted['key']))} near the front are fitted" * scaling.chosen
    of = np.unique(np.array(texts(full, "key")), return_inverse=True)[1]
    means = np.bincount(of, weights=column(full, "error")) / np.bincount(of)
    best = int(np.flatnonzero(of == means.argmin())[0])
    at = format_value(cost, float(sizes[best]))
    error = format_value("error", float(means.min()))
    text += f"; budgets are multiples of {format_value(cost, scaling.largest)}"
    return f"{text}. The best of these, {texts(full, 'name')[best]} at {at}, has {error}"


def _expected(scaling: Scaling, larger: Larger) -> str:
    cost = METRICS[scaling.cost].short
    shape, figures = larger.arch.describe(), format_value(scaling.cost, larger.cost.macs)
    if scaling.cost != "macs":
        figures = format_value(scaling.cost, getattr(larger.cost, scaling.cost))
    figures += f", {format_value('params', larger.cost.params)}" * (scaling.cost != "params")
    figures += f", {format_value('train_bytes', larger.cost.train_bytes)} in training"
    if larger.seconds is not None and larger.seconds.high < WIDE * larger.seconds.low:
        ends = " to ".join(duration(end) for end in larger.seconds[1:])
        figures += f", {scaling.epochs} epoch{'s' * (scaling.epochs != 1)} in "
        figures += duration(larger.seconds.value)
        figures += f" ({ends})"
    if larger.latency is not None and larger.latency.high < WIDE * larger.latency.low:
        ends = " to ".join(f"{end:.3g}" for end in larger.latency[1:])
        figures += f", a forward pass in {larger.latency.value:.3g} ms ({ends})"
    if larger.error is None or larger.training is None:
        return f"For {larger.times:g}x the {cost}: {shape}; {figures}."
    low, high = percent(larger.training).partition("(")[2].rstrip(")").split(" to ")
    return (
        f"At {larger.times:g}x the {cost} expect {percent(larger.error)}, one training {low} to "
        f"{high}: {shape}; {figures}."
    )


def _refused(study: LawStudy, what: str) -> str:
    verdict = study.verdict
    text = f"What {what} is not told: {verdict.reason}."
    return f"{text} To settle it, {verdict.settle}." if verdict.settle else text


def _worth(scaling: Scaling) -> str:
    if scaling.data is None:
        return "What more images are worth is not told: no network was trained on part of them."
    if scaling.worth is None:
        return _refused(scaling.data, "more images are worth")
    network, data = scaling.worth.network, scaling.worth.data
    first, second = (
        f"{end.value:.2g} points ({end.low:.2g} to {end.high:.2g})" for end in (data, network)
    )
    text = f"Twice the images are worth {first}, twice the {METRICS[scaling.cost].short} {second}"
    better = {"images": "images are worth more", "": "which is worth more cannot be told"}
    return f"{text}: {better.get(scaling.worth.better, 'a larger network is worth more')}."


def _growth(scaling: Scaling) -> str:
    """Exponents that can be told, then what cannot."""
    cost = METRICS[scaling.cost].short
    text, untold = "", {}
    for growth in scaling.growth.values():
        what, (_, low, high) = WORDS[growth.name], growth.exponent
        ends = f"({low:.2f} to {high:.2f})".replace("-0.00", "0.00")
        if growth.told:
            text += f", the best {what} as" if text else f"the best {what} grows as"
            text += f" {cost}^{growth.exponent.value:.2f} {ends}"
        elif low <= 0 <= high and "told from 0" in growth.reason:
            untold[f"its exponent {ends} may be 0"] = [what]
        else:
            untold.setdefault(growth.reason, []).append(what)
    parts = [
        f"how the {_listed(names)} should grow is not told: {why}" for why, names in untold.items()
    ]
    return " ".join(_sentence(part) for part in [text, *parts] if part)


def _law(name: str, study: LawStudy) -> str:
    """The curve, whether it is to be trusted, and what it said of the largest."""
    short = METRICS[name].short
    text = f"{short}: "
    if study.law is not None:
        alpha, floor = study.law.exponents[0], study.law.floor
        text += f"E {percent(floor)} + A {short}^-α, α {alpha.value:.2f} "
        text += f"({alpha.low:.2f} to {alpha.high:.2f}); "
    if study.held_out is not None:
        text += f"{_held_out(study.held_out)}; "
    return text + ("trusted." if study.verdict.trusted else f"not trusted, {study.verdict.reason}.")


def _held_out(held_out: HeldOut) -> str:
    own, constant, line = (
        f"{held_out.error_of(predicted):.1%}"
        for predicted in (held_out.law, held_out.constant, held_out.line)
    )
    return (
        f"what lay {held_out.rule}, predicted from the rest: off by {own}, a constant by "
        f"{constant}, a log-log line by {line}"
    )


def _costs(scaling: Scaling) -> list[str]:
    """What time follows; memory is known exactly."""
    found = []
    for law, what, unit, scale in (
        (scaling.seconds, "A training image", "μs", 1e6),
        (scaling.latency, "A forward pass", "ms", 1.0),
    ):
        if law is not None:
            found.append(f"{what} here takes {_cost_law(law, unit, scale)}.")
    if scaling.latency is None:
        found.append("Latency was not measured: --latency does, best on a quiet machine.")
    return [*found, "Training memory is known exactly, before any training."]


def _cost_law(law: CostLaw, unit: str, scale: float) -> str:
    c, a, m = (float(value) for value in law.coefficients)
    if law.form == "power":
        text = f"time in proportion to activations^{a:.2f} MACs^{m:.2f}"
    else:
        parts = ((c, ""), (1e3 * a, " per 1000 activations"), (1e6 * m, " per million MACs"))
        text = " + ".join(f"{scale * v:.3g} {unit}{per}" for v, per in parts if v > 0)
    return f"{text}; on the largest third, left out, that was off by {law.off:.0%}"


def _notes(scaling: Scaling) -> list[str]:
    notes = list(scaling.laws[scaling.cost].verdict.notes)
    if scaling.chosen:
        return [
            *notes,
            "expected is what networks of the better half score at that cost: the best of a size, "
            "and of many, is better",
            "of further networks about half will be near enough to the front to count",
        ]
    return [
        *notes,
        "all networks are fitted, not only those near the front: too few have a second seed, and "
        "choosing by the same errors that are fitted would flatter",
    ]


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


# For other programs


def record(scaling: Scaling) -> dict[str, Any]:
    """All figures as JSON types; what is not known is None."""
    return plain(_record(scaling))


def _record(scaling: Scaling) -> dict[str, Any]:
    return {
        "runs": list(scaling.runs),
        "answer": sentences(scaling),
        "cost": scaling.cost,
        "largest": scaling.largest,
        "only_near_front": scaling.chosen,
        "laws": {name: _law_record(study) for name, study in scaling.laws.items()},
        "data": None if scaling.data is None else _law_record(scaling.data),
        "worth_of_twice": None
        if scaling.worth is None
        else {
            "network_points": _interval(scaling.worth.network),
            "images_points": _interval(scaling.worth.data),
            "ratio": _interval(scaling.worth.ratio),
            "better": scaling.worth.better,
        },
        "growth": {
            name: {"exponent": _interval(g.exponent), "told": g.told, "reason": g.reason}
            for name, g in scaling.growth.items()
        },
        "seconds_per_image": _cost_record(scaling.seconds),
        "latency_ms": _cost_record(scaling.latency),
        "next": [_larger_record(larger) for larger in scaling.next],
    }


def _law_record(study: LawStudy) -> dict[str, Any]:
    law, held_out, verdict = study.law, study.held_out, study.verdict
    found: dict[str, Any] = {
        "trusted": verdict.trusted,
        "reason": verdict.reason,
        "settle": verdict.settle,
        "notes": list(verdict.notes),
    }
    if law is not None:
        found |= {
            "sizes": list(law.names),
            "floor": _interval(law.floor),
            "factors": [_interval(factor) for factor in law.factors],
            "exponents": [_interval(exponent) for exponent in law.exponents],
            "architectures": law.architectures,
            "trainings": law.trainings,
            "seed_sd": law.seed_sd,
            "scatter": law.scatter,
        }
    if held_out is not None:
        found["held_out"] = {
            "rule": held_out.rule,
            "sizes": held_out.sizes.tolist(),
            "found": held_out.found.tolist(),
            "law": held_out.law.tolist(),
            "constant": held_out.constant.tolist(),
            "line": held_out.line.tolist(),
        }
    return found


def _cost_record(law: CostLaw | None) -> dict[str, Any] | None:
    if law is None:
        return None
    return {"form": law.form, "coefficients": law.coefficients.tolist(), "off": law.off}


def _larger_record(larger: Larger) -> dict[str, Any]:
    return {
        "times": larger.times,
        "arch": larger.arch.to_dict(),
        "name": larger.arch.describe(),
        "key": larger.arch.key,
        **vars(larger.cost),
        "error": _interval(larger.error),
        "training_error": _interval(larger.training),
        "seconds": _interval(larger.seconds),
        "latency_ms": _interval(larger.latency),
    }


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval._asdict()
