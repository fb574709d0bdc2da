"""What scaling laws say, in sentences: for the terminal, the report's page and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dnsearch.analysis.metrics import METRICS, dimension_label, duration, format_value
from dnsearch.analysis.trust import Interval
from dnsearch.report.scaling_reasons import (
    caveats,
    exponent,
    settling,
    share,
    what_it_takes,
    what_settles,
    where_held_out,
    why_refused,
    why_unknown,
)
from dnsearch.scaling.costlaw import CostLaw, TooFewMeasured
from dnsearch.scaling.extrapolation import LawStudy
from dnsearch.scaling.heldout import HeldOut
from dnsearch.text import agreeing, counted, listed, sentence

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.scaling.networks import Larger
    from dnsearch.scaling.study import Scaling

WIDE = 5.0
"""An interval whose ends are farther apart than this is not worth telling."""


class Said(NamedTuple):
    """A sentence or two, and a word that stands before them on the command line."""

    label: str
    text: str


def told(scaling: Scaling) -> list[Said]:
    """The whole answer, the most important first."""
    main = scaling.laws[scaling.cost]
    said = [Said("from", _basis(scaling))]
    if not main.verdict.trusted:
        what = "not predicted" if main.averaged is None else "predicted, but not to be trusted"
        said.append(
            Said("refused", _refused(scaling, main, f"The error of larger networks is {what}"))
        )
    said += [Said("next", _predicted(scaling, larger)) for larger in scaling.next]
    said += [Said("worth", _worth(scaling)), Said("grow", _growth(scaling))]
    said += [Said("laws", _law(name, study)) for name, study in scaling.laws.items()]
    if scaling.data is not None and scaling.data.held_out is not None:
        said.append(Said("laws", f"images: {_held_out(scaling.data.held_out)}."))
    said += [Said("cost", text) for text in _costs(scaling)]
    return said + [Said("note", sentence(note)) for note in _notes(scaling)]


def sentences(scaling: Scaling) -> list[str]:
    """The answer without its labels."""
    return [said.text for said in told(scaling)]


def percent(interval: Interval) -> str:
    """``6.9 % (6.5 to 7.4)``; with one more digit where all is below 2 %."""
    return f"{share(interval.value, _digits(interval))} ({percent_ends(interval)})"


def percent_ends(interval: Interval) -> str:
    """``6.5 to 7.4``, of percent."""
    low, high = (f"{100 * end:.{_digits(interval)}f}" for end in interval[1:])
    return f"{low} to {high}"


def _digits(interval: Interval) -> int:
    return 1 if interval.high >= 0.02 else 2


def _basis(scaling: Scaling) -> str:
    basis, cost = scaling.basis, scaling.cost
    unit = METRICS[cost].short
    least, most = (format_value(cost, end) for end in (basis.smallest, basis.largest))
    partial = f", and {basis.partial} more on part of the images," if basis.partial else ""
    fitted = f"the laws are fitted to the {basis.fitted} near the front; " * scaling.front.is_chosen
    return (
        f"{counted(basis.runs, 'training run')} of {counted(basis.networks, 'network')}{partial} "
        f"span a factor of {basis.largest / basis.smallest:.3g} in {unit} "
        f"({least.removesuffix(unit).rstrip()} to {most}); {fitted}budgets are multiples of "
        f"{format_value(cost, scaling.largest)}. The best of these networks, {basis.best.name} at "
        f"{format_value(cost, basis.best.figure(cost))}, has an error of "
        f"{format_value('error', basis.best_error)}."
    )


def _predicted(scaling: Scaling, larger: Larger) -> str:
    unit, rest = (
        METRICS[scaling.cost].short,
        f"{larger.arch.describe()}; {larger_figures(scaling, larger)}",
    )
    if larger.error is None or larger.training_error is None:
        return f"For {larger.times:g}x the {unit}: {rest}."
    return (
        f"At {larger.times:g}x the {unit} the predicted error is {percent(larger.error)}, that of "
        f"one training run {percent_ends(larger.training_error)} %"
        f"{'' if larger.trusted else ', not to be trusted'}: {rest}."
    )


def larger_figures(scaling: Scaling, larger: Larger) -> str:
    """What a network costs, and the time of training it where that is known well enough."""
    names = dict.fromkeys((scaling.cost, "params"))
    parts = [format_value(name, getattr(larger.cost, name)) for name in names]
    parts.append(f"{format_value('train_bytes', larger.cost.train_bytes)} in training")
    seconds, latency = larger.seconds, larger.latency_ms
    if seconds is not None and seconds.high < WIDE * seconds.low:
        value, low, high = map(duration, seconds)
        parts.append(f"{counted(scaling.epochs, 'epoch')} in {value} ({low} to {high})")
    if latency is not None and latency.high < WIDE * latency.low:
        value, low, high = (f"{end:.3g}" for end in latency)
        parts.append(f"a forward pass in {value} ms ({low} to {high})")
    return ", ".join(parts)


def _refused(scaling: Scaling, study: LawStudy, what: str) -> str:
    refusal = study.verdict.refusal
    if refusal is None:
        return ""
    takes = what_it_takes(settling(scaling, refusal))
    advice = what_settles(refusal.advice)
    return f"{what}: {why_refused(refusal)}. To settle it, {advice}, with {takes}."


def _worth(scaling: Scaling) -> str:
    what = "What more images are worth is not known"
    if scaling.data is None:
        return f"{what}: no network was trained on part of them."
    if scaling.worth is None:
        return _refused(scaling, scaling.data, what)
    data, network = (
        f"{gain.value:.2g} points ({gain.low:.2g} to {gain.high:.2g})"
        for gain in (scaling.worth.data, scaling.worth.network)
    )
    unit = METRICS[scaling.cost].short
    verdicts = {"images": "images are worth more", scaling.cost: "a larger network is worth more"}
    verdict = verdicts.get(scaling.worth.better, "which is worth more is not known")
    return f"Twice the images are worth {data}, twice the {unit} {network}: {verdict}."


def _growth(scaling: Scaling) -> str:
    """Exponents that are known, then why the others are not."""
    unit, known, others = METRICS[scaling.cost].short, [], dict[str, list[str]]()
    for name, growth in scaling.growth.items():
        if growth.is_known:
            power = f"{unit}^{growth.exponent.value:.2f} ({exponent(growth)})"
            grows = "as" if known else "grows as"
            known.append(f"the best {dimension_label(name)} {grows} {power}")
        else:
            others.setdefault(why_unknown(growth), []).append(dimension_label(name))
    unknown = [
        f"how the {listed(names)} should grow is not known: {why}" for why, names in others.items()
    ]
    if not (scaling.growth["growth_rate"].is_known and scaling.growth["layers"].is_known):
        unknown.append(
            "the networks named are the largest good ones, enlarged: search at their size before "
            "you train one in full"
        )
    return " ".join(map(sentence, filter(None, [", ".join(known), *unknown])))


def _law(name: str, study: LawStudy) -> str:
    """The curve, whether it is trusted, and what it said of the largest."""
    unit, parts = METRICS[name].short, []
    if study.law is not None:
        alpha = study.law.exponents[0]
        parts.append(
            f"E {percent(study.law.floor)} + A {unit}^-α, α {alpha.value:.2f} ({alpha.low:.2f} to "
            f"{alpha.high:.2f})"
        )
    if study.held_out is not None:
        parts.append(_held_out(study.held_out))
    refusal = study.verdict.refusal
    parts.append("trusted" if refusal is None else f"not trusted, {why_refused(refusal)}")
    return f"{unit}: {'; '.join(parts)}."


def _held_out(held_out: HeldOut) -> str:
    own, constant, line = (
        share(held_out.error_of(predicted))
        for predicted in (held_out.law, held_out.constant, held_out.line)
    )
    return (
        f"what lay {where_held_out(held_out)}, predicted from the rest: off by {own}, a constant "
        f"by {constant}, a log-log line by {line}"
    )


def _costs(scaling: Scaling) -> list[str]:
    """What time follows; memory is known exactly."""
    seconds, latency = scaling.seconds, scaling.latency
    if isinstance(seconds, TooFewMeasured):
        image = f"The time of training {_too_few(seconds)}"
    else:
        image = f"A training image here takes {_cost_law(seconds, 'μs', 1e6)}"
    if not isinstance(latency, TooFewMeasured):
        forward = f"A forward pass here takes {_cost_law(latency, 'ms', 1.0)}"
    elif latency.networks:
        forward = f"Latency {_too_few(latency)}"
    else:
        forward = "Latency was not measured: --latency does, best on a quiet machine"
    return [f"{image}.", f"{forward}.", "Training memory is known exactly, before any training."]


def _too_few(law: TooFewMeasured) -> str:
    networks, are = counted(law.networks, "network"), agreeing(law.networks, "is", "are")
    return f"was measured of {networks}, which {are} too few for a law (it takes {law.needed})"


def _cost_law(law: CostLaw, unit: str, scale: float) -> str:
    c, a, m = (float(value) for value in law.coefficients)
    if law.form == "power":
        text = f"time in proportion to activations^{a:.2f} MACs^{m:.2f}"
    else:
        parts = ((c, ""), (1e3 * a, " per 1000 activations"), (1e6 * m, " per million MACs"))
        text = " + ".join(f"{scale * v:.3g} {unit}{per}" for v, per in parts if v > 0)
    return f"{text}; on the largest third, left out, that was off by {share(law.off, 0)}"


def _notes(scaling: Scaling) -> list[str]:
    notes = caveats(scaling.laws[scaling.cost].verdict)
    if not scaling.front.is_chosen:
        return [
            *notes,
            "all networks are fitted, not only those near the front: too few have a second seed, "
            "and choosing networks by the errors that are fitted would bias the laws low "
            "(selection bias)",
        ]
    return [
        *notes,
        "the predicted error is that of networks in the better half at that cost; the best of many "
        "networks of one size is better",
        "about half of any further networks will be near enough to the front to be fitted",
    ]
