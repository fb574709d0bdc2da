"""The first screen of a scaling design's report: what a larger budget buys in one sentence, or why
that cannot be said and the command that settles it, and how far to trust it."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, NamedTuple

from dnsearch.analysis.metrics import METRICS, dimension_label, format_value
from dnsearch.report.forecast import larger_figures, percent, percent_ends
from dnsearch.report.headline import Trust
from dnsearch.report.scaling_reasons import (
    first_run,
    settling,
    share,
    what_settles,
    why_refused,
    why_unknown,
)
from dnsearch.rundir import RunDir
from dnsearch.scaling.extrapolation import NEAR, TRUSTED_BEYOND, LawStudy
from dnsearch.scaling.heldout import HeldOut
from dnsearch.text import counted, listed

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.scaling.networks import Larger
    from dnsearch.scaling.study import Scaling


class ScalingHeadline(NamedTuple):
    """What the first screen says. beside: names and texts. command: what to type next, in a word
    (``label``) for the command line, which ``does`` something, and what ``then``; empty for
    nothing. first: what to do before: a clause, empty for nothing."""

    sentence: str
    beside: list[tuple[str, str]]
    trust: list[Trust]
    command: str = ""
    does: str = ""
    then: str = ""
    label: str = ""
    first: str = ""


def headline(scaling: Scaling | str, place: RunDir | None = None) -> ScalingHeadline:
    """Of the findings, or of the sentence why there are none. ``place``: in which the networks'
    configs were written, by default the first run."""
    if isinstance(scaling, str):
        return ScalingHeadline(scaling, [], [])
    study = scaling.laws[scaling.cost]
    trusted = [larger for larger in scaling.next if larger.trusted and larger.error is not None]
    beside = [("best here", _best(scaling)), *(_next(scaling, each) for each in scaling.next)]
    if trusted and study.verdict.trusted:
        largest = max(trusted, key=lambda larger: larger.times)
        return ScalingHeadline(
            _gain(scaling, study, largest),
            beside,
            _trust(scaling, study),
            _train(scaling, largest, place),
            f"Trains it for {counted(scaling.epochs, 'epoch')}, as those here were",
            label="train it",
        )
    refusal = study.verdict.refusal
    if refusal is None:  # trusted, but not as far as was asked
        sentence = (
            f"{_unsaid(scaling)}: predictions are trusted up to {study.reach:.2g} times "
            f"{format_value(scaling.cost, scaling.largest)}."
        )
        does = "Says what they buy"
        ask = _ask(scaling, study)
        return ScalingHeadline(sentence, beside, _trust(scaling, study), ask, does, label="ask")
    takes = settling(scaling, refusal)
    first = f", in {takes.prepared}" if takes.changes else ""
    does = f"To settle it, {what_settles(refusal.advice)}{first}: {takes.price}. Then"
    return ScalingHeadline(
        f"{_unsaid(scaling)}: {why_refused(refusal)}.",
        beside,
        _trust(scaling, study),
        takes.command,
        does,
        takes.then,
        label="settle it",
        first=takes.prepared,
    )


def _unsaid(scaling: Scaling) -> str:
    return f"What more {METRICS[scaling.cost].short} buy cannot be said yet"


def _gain(scaling: Scaling, study: LawStudy, larger: Larger) -> str:
    """What the largest trusted budget buys over the largest that was fitted."""
    assert study.averaged is not None
    assert larger.error is not None
    now = float(study.averaged.predict([scaling.largest]).mean.value[0])
    error, name = larger.error, scaling.full[0].error_name
    return (
        f"{larger.times:g} times the {METRICS[scaling.cost].short} bring the {name} from "
        f"{share(now)} to {share(error.value)} ({percent_ends(error)}, 90 % sure): train "
        f"{larger.arch.describe()}."
    )


def _best(scaling: Scaling) -> str:
    basis, cost = scaling.basis, scaling.cost
    return (
        f"{basis.best.name} at {format_value(cost, basis.best.figure(cost))}: "
        f"{format_value('error', basis.best_error)}, the least of {basis.networks}"
    )


def _next(scaling: Scaling, larger: Larger) -> tuple[str, str]:
    """A budget, and the network to train with it."""
    what = f"{larger.arch.describe()}; {larger_figures(scaling, larger)}"
    label = f"{larger.times:g} x {METRICS[scaling.cost].short}"
    if larger.error is None:
        return label, what
    trusted = "" if larger.trusted else ", not to be trusted"
    return label, f"{percent(larger.error)}{trusted}: {what}"


def _train(scaling: Scaling, larger: Larger, place: RunDir | None) -> str:
    """As `dnsearch scale` prints it; the config is written with the page."""
    folder = first_run(scaling)
    file = (place or folder).larger(larger.times)
    words = ["dnsearch", "train", file, "--study", folder.study_file, "--epochs", scaling.epochs]
    return shlex.join(map(str, [*words, "--name", f"{folder.name}-{file.stem}"]))


def _ask(scaling: Scaling, study: LawStudy) -> str:
    """The command that asks as far as predictions are trusted."""
    reach = math.floor(10 * study.reach) / 10
    words = ["dnsearch", "scale", *scaling.names, "--cost", scaling.cost, "--times", f"{reach:g}"]
    return shlex.join(words)


def _trust(scaling: Scaling, study: LawStudy) -> list[Trust]:
    told = []
    if study.held_out is not None:
        told.append(_checked(study.held_out, scaling))
    if study.averaged is not None:
        told.append(_band(study, scaling))
    told += [_seeds(study), _shape(scaling)]
    return told


def _checked(held_out: HeldOut, scaling: Scaling) -> Trust:
    own, constant, line = (
        held_out.error_of(predicted)
        for predicted in (held_out.law, held_out.constant, held_out.line)
    )
    return Trust(
        own < min(constant, line),
        f"the largest networks, predicted from the smaller ones, were {share(own)} off; a constant "
        f"would be {share(constant)}, a straight line {share(line)}",
    )


def _band(study: LawStudy, scaling: Scaling) -> Trust:
    assert study.averaged is not None
    mean = study.averaged.predict([TRUSTED_BEYOND * scaling.largest]).mean
    width = float(mean.high[0] / mean.value[0]) - 1
    return Trust(
        width <= NEAR,
        f"at {TRUSTED_BEYOND:g} times the {METRICS[scaling.cost].short} the error is known to "
        f"within {share(width)} (90 %; at most {share(NEAR, 0)} is trusted)",
    )


def _seeds(study: LawStudy) -> Trust:
    if study.verdict.one_seed:
        return Trust(False, "one seed each: how much a seed moves an error is not known")
    return Trust(True, "networks have two seeds or more, so that seed noise is part of the bands")


def _shape(scaling: Scaling) -> Trust:
    """Whether it is known how the best networks grow."""
    unknown = {n: growth for n, growth in scaling.growth.items() if not growth.is_known}
    if not unknown:
        return Trust(True, "how growth rate, layers and bottleneck should grow was estimated")
    names = listed([dimension_label(name) for name in unknown])
    reason = why_unknown(next(iter(unknown.values())))
    return Trust(
        False,
        f"how the {names} should grow is not known: {reason}; the networks named take what the "
        "largest good ones here have",
    )
