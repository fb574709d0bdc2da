"""What ``dnsearch confirm`` found in plain sentences, for the page and the terminal alike."""

from __future__ import annotations

import math

from dnsearch.analysis.confidence import LEVEL
from dnsearch.analysis.metrics import error_label
from dnsearch.analysis.trust import Interval
from dnsearch.confirm.certificate import Certificate, Signal, View
from dnsearch.confirm.findings import Caveat, Confirmed, ConfirmedNetwork, Note
from dnsearch.confirm.verdict import (
    APART,
    PROVEN_PAIRS,
    Doubt,
    ProxyVerdict,
    Standing,
    Verdict,
)
from dnsearch.report.answer import sure
from dnsearch.report.parts import error_interval
from dnsearch.text import agreeing, capitalised, counted, listed, sentence


def answer(confirmed: Confirmed) -> str:
    """How good the search's pick is, and which network has the least test error.

    The pick comes first: it was not chosen by test errors.
    """
    best_first = confirmed.best_first
    if not best_first:
        return "No test error has been measured yet."
    test = error_label(confirmed.error, "test")
    after, least = f"after {counted(confirmed.epochs, 'epoch')}", best_first[0]
    pick = confirmed.network(confirmed.pick)
    if pick is None or not pick.test.is_known:
        return (
            f"{least.name} has the least {test} {after}, {error_interval(least.test)}; it was "
            "chosen by this error, which is therefore biased low (selection bias)."
        )
    said = (
        f"{pick.name}, which the search recommends for the least error, has a {test} of "
        f"{error_interval(pick.test)} {after}{_how_sure(pick, confirmed)}."
    )
    if least is pick:
        return said
    return (
        f"{said} {least.name} has a lower one, {error_interval(least.test)}, but was chosen by it, "
        "so that figure is biased low (selection bias)."
    )


def _how_sure(pick: ConfirmedNetwork, confirmed: Confirmed) -> str:
    if confirmed.judged < 2 or not math.isfinite(pick.best_probability):
        return ""
    return (
        f"; it is the best of {confirmed.judged} networks {sure(pick.best_probability)}, and "
        f"expected to miss the best of them by {100 * confirmed.opportunity_loss:.2f} points"
    )


def method(confirmed: Confirmed) -> str:
    """What was trained and measured, and what the intervals are of."""
    count, (least, most) = len(confirmed.networks), confirmed.seeds
    seeds = counted(most, "seed") if least == most else f"{least} to {most} seeds"
    luck = confirmed.images_luck
    moved = f"; other images would move all errors alike, by up to {100 * luck:.1f} points"
    return (
        f"{counted(count, 'network')} {agreeing(count, 'was', 'were')} trained again from the "
        f"start for {counted(confirmed.epochs, 'epoch')} with {seeds} that the search had not "
        f"used, and measured on {confirmed.test_images:,} test images that it had not seen. "
        f"Intervals of errors are of {100 * LEVEL:.0f} %, of the mean over seeds on these images"
        f"{moved if math.isfinite(luck) else ''}."
    )


def note(found: Note) -> str:
    """A caveat as a sentence."""
    match found.caveat:
        case Caveat.FAILED:
            verb = agreeing(found.number, "counts", "count")
            return f"{counted(found.number, 'training run')} failed and {verb} as missing."
        case Caveat.SEARCH_NOISE:
            return "There is one seed of each network, so the seed noise was taken from the search."
        case Caveat.SELECTED:
            return (
                "Members of the front were chosen by the errors that the search had measured, so "
                "these agree with the test errors a little better here than they would on a random "
                "sample (selection bias)."
            )


def sentences(certificate: Certificate, verdict: Verdict) -> list[str]:
    """What the certificate says, a statement each, the doubts first."""
    said = _doubts(certificate, verdict)
    if certificate.same_cost and certificate.architectures > 1:
        said.append("All networks cost the same, so that matching the cost changes nothing.")
    for proxy in verdict.proxies:
        said.append(_proxy(proxy))
    if not verdict.proxies:
        said.append("No rung of the search is shorter than full training: there is none to judge.")
    if verdict.proxies:  # in words the loss by the longest rung is enough
        said[-1] += _loss(verdict.proxies[-1].signal, certificate)
    return [*said, *_ceiling(verdict), *_noise(certificate, verdict)]


def _doubts(certificate: Certificate, verdict: Verdict) -> list[str]:
    count = certificate.architectures
    words = {
        Doubt.FEW_PAIRS: f"{counted(count, 'network')} trained again in full "
        f"{agreeing(count, 'makes', 'make')} {counted(certificate.pairs, 'pair')}, and with fewer "
        f"than {PROVEN_PAIRS} a good ranking may be luck",
        Doubt.ONE_SEED: "with one seed of full training seed noise cannot be told from real "
        "differences",
    }
    if not (verdict.doubts and verdict.proxies):
        return []
    reasons = "; ".join(words[doubt] for doubt in verdict.doubts)
    return [f"What short trainings are worth is unproven here: {reasons}."]


def _proxy(proxy: ProxyVerdict) -> str:
    """Its pairs, and what it says beyond the baselines."""
    name, signal = capitalised(_named(proxy.signal)), proxy.signal
    overall, matched = signal.pairs_right
    if signal.tau.overall.is_known and not overall.is_known:
        return f"Too few networks were confirmed to tell how well {_named(signal)} ranks them."
    if not overall.is_known:
        return (
            f"{name} cannot be judged: its errors, or those of full training with another seed, "
            "are missing or all the same."
        )
    if proxy.beats_chance is None:
        said = (
            f"{name} ranks networks correctly in {_share(overall)} of pairs{_ends(overall)}; how "
            "well at the same cost cannot be told."
        )
    else:
        said = (
            f"{name} ranks networks of the same cost correctly in {_share(matched)} of "
            f"pairs{_ends(matched)}, of any cost in {_share(overall)}{_ends(overall)}"
        )
        said += (
            "."
            if proxy.beats_chance
            else ("; at the same cost it is not shown to be better than tossing a coin.")
        )
    beaten = [
        f"than {baseline.name} {_WHERE[view]} ({_share(baseline.right(view))})"
        for baseline, view in proxy.beaten_by
    ]
    return f"{said} It is not shown to rank better {' or '.join(beaten)}." if beaten else said


_WHERE = {View.OVERALL: "over all costs", View.MATCHED: "at the same cost"}


def _loss(proxy: Signal, certificate: Certificate) -> str:
    """What training only its best in full would lose, with a space in front."""
    value, low, high = proxy.regret.scaled(100)
    if not (proxy.pairs_right.overall.is_known and proxy.regret.is_known):
        return ""
    between = f" ({low:.2f} to {high:.2f})" if proxy.regret.has_ends else ""
    best = f"its best {certificate.k}" if certificate.k > 1 else "its best one"
    return (
        f" Training only {best} of the {certificate.architectures} in full would miss the best "
        f"network by {value:.2f} points{between}."
    )


def _ceiling(verdict: Verdict) -> list[str]:
    """What full training of one seed says of another, and which proxies say as much."""
    top = verdict.ceiling
    if not top.is_known:
        return []
    networks = "networks of the same cost" if verdict.view is View.MATCHED else "networks"
    rest = "; the rest is seed noise" if top.value < 1 else ""
    said = (
        f"Full training itself ranks {networks} as another seed's does in {_share(top)} of "
        f"pairs{_ends(top)}{rest}."
    )
    return [said, *filter(None, (_standing(verdict, standing) for standing in Standing))]


def _standing(verdict: Verdict, standing: Standing) -> str:
    """Of all proxies that stand so; empty where none does."""
    names = [_named(each.signal) for each in verdict.proxies if each.standing is standing]
    ranks = f"{listed(names)} {agreeing(len(names), 'ranks', 'rank')}"
    words = {
        Standing.AS_GOOD: f"{ranks} no fewer pairs correctly: it is not shown that longer training "
        "of one seed would do better",
        Standing.NEAR: f"{ranks} fewer pairs correctly, but the intervals overlap: it is not shown "
        "that longer training of one seed would do better",
        Standing.SHORT: f"{ranks} fewer pairs correctly than that",
    }
    return sentence(words[standing]) if names else ""


def _noise(certificate: Certificate, verdict: Verdict) -> list[str]:
    seed_sd, needed = certificate.noise.seed_sd, verdict.trainings
    if not math.isfinite(seed_sd):
        return []
    said = f"Errors of one network differ between seeds by {100 * seed_sd:.2f} points (sd)"
    if math.isnan(needed):
        return [f"{said}."]
    if math.isinf(needed):
        return [
            f"{said}; beyond that, no differences between networks of the same cost were found, "
            "so that more seeds of these would not tell them apart."
        ]
    runs = "1 training run" if needed == 1 else f"the mean of {needed:.0f} training runs"
    return [
        f"{said}; it takes {runs} of each to tell networks of the same cost apart (so that "
        f"{100 * APART:.0f} % of pairs come out in the same order again)."
    ]


def signal_label(signal: Signal) -> str:
    """``3-epoch rung`` for a proxy; other signals by their names."""
    return signal.name if signal.rung is None else f"{signal.rung}-epoch rung"


def _named(signal: Signal) -> str:
    """The label within a sentence."""
    return signal_label(signal) if signal.rung is None else f"the {signal_label(signal)}"


def _share(share: Interval) -> str:
    return f"{100 * share.value:.0f} %"


def _ends(share: Interval) -> str:
    return f" ({100 * share.low:.0f} to {100 * share.high:.0f} %)" if share.has_ends else ""
