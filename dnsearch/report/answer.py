"""A run's answer in sentences, the same for page, terminal and JSON."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnsearch.analysis import picks
from dnsearch.analysis.candidates import Candidate, State
from dnsearch.analysis.metrics import METRICS, error_ends, format_value
from dnsearch.rundir import RunDir
from dnsearch.text import capitalised, counted

if TYPE_CHECKING:
    from dnsearch.report.digest import Digest
    from dnsearch.search.results import Results


def error_of(candidate: Candidate, digest: Digest) -> str:
    """A network's predicted error with its 90 % intervals, on new images and on those measured."""
    kind, images = digest.error_name, f"{digest.images:,}"
    value = format_value("error", candidate.predicted_error)
    new = error_ends(candidate.new_low, candidate.new_high)
    if not candidate.is_predicted:
        return f"{value} {kind} ({new} on new images)"
    own = error_ends(candidate.predicted_low, candidate.predicted_high)
    return f"{value} predicted {kind} ({new} on new images, {own} on these {images})"


def costs_of(candidate: Candidate, costs: Sequence[str] = ()) -> str:
    """A candidate's costs as text: those asked for, params always."""
    known = [(name, candidate.figure(name)) for name in dict.fromkeys((*costs, "params"))]
    return ", ".join(format_value(name, value) for name, value in known if math.isfinite(value))


def figures_of(candidate: Candidate, digest: Digest) -> str:
    """A network's error and costs as text."""
    return f"{error_of(candidate, digest)} at {costs_of(candidate, digest.costs)}"


def answer(digest: Digest) -> str:
    """The run's answer in a few sentences: the network of least predicted error, the baseline, what
    is as good and cheaper, what going on would be worth, and what `dnsearch confirm` changed."""
    best = digest.answer
    if best is None:
        return none_to_recommend(digest)
    told = [f"Take {best.name}: {figures_of(best, digest)}.", baseline_of(digest)]
    if unsearched := unsearched_of(digest):
        told.append(f"{capitalised(unsearched)}.")
    if how_sure := sureness_of(digest):
        told.append(f"It is {how_sure}.")
    if going_on := going_on_of(digest):
        told.append(f"Going on: {going_on}.")
    if digest.as_good:
        told.append(f"{capitalised(as_good_of(digest))}.")
    if digest.changed_from:
        told.append(f"{capitalised(confirm_change_of(digest))}.")
    if digest.change:
        told.append(f"{capitalised(change_of(digest))}.")
    return " ".join(told)


def baseline_of(digest: Digest) -> str:
    """The baseline as a sentence."""
    found = digest.baseline
    return f"{capitalised(found.words)} has an error of {format_value('error', found.error)}."


def as_good_of(digest: Digest) -> str:
    """What is as good as the answer and cheaper, with its figures; there must be such a network."""
    found = digest.as_good
    assert found
    network = found.network
    return (
        f"as good, within the noise ({margin_of(found)}), and cheaper: {network.name}, "
        f"{figures_of(network, digest)}, {saved_by(network, digest)}"
    )


def margin_of(found: picks.AsGood) -> str:
    """What as good means: ``an error at most 1 % larger with probability 0.93``."""
    return f"an error at most {100 * found.tolerance:.2g} % larger {sure(found.probability)}"


def saved_by(network: Candidate, digest: Digest) -> str:
    """What it takes less than the answer, of which there must be one: ``34 % fewer MACs``."""
    assert digest.answer
    first = digest.costs[0]
    saved = 1 - network.figure(first) / digest.answer.figure(first)
    less = "less" if first == "latency_ms" else "fewer"
    return f"{100 * saved:.0f} % {less} {METRICS[first].short}"


def change_of(digest: Digest) -> str:
    """How the answer differs from an earlier one, and why; it must."""
    found = digest.change
    assert found
    assert digest.answer
    before, now = found.before, digest.answer.name
    was = f"exported to {before.exported}" if before.exported else "told"
    why = {
        "confirmed": "dnsearch confirm has measured some networks since",
        "trained since": f"{now} was trained since",
        "predicted": "training runs since have changed what is predicted",
    }[found.why]
    return (
        f"the answer was {before.name} when it was {was} on {before.when[:10]}, after "
        f"{counted(before.runs, 'training run')}; now it is {now}, because {why} (the predicted "
        f"error of {before.name} was {format_value('error', before.error)} then and is "
        f"{format_value('error', found.error)} now)"
    )


def confirm_change_of(digest: Digest) -> str:
    """How `dnsearch confirm` changed the answer; it must have."""
    before = digest.changed_from
    assert before
    return (
        f"changed by confirm: the search alone would take {before.name}, whose error is now "
        f"predicted to be {format_value('error', before.predicted_error)}"
    )


def none_to_recommend(digest: Digest) -> str:
    """Why there is no answer."""
    count, counts = len(digest.candidates), digest.counts
    if not count:
        return "No candidate has finished yet."
    if not digest.front:
        if counts[State.FAILED] == count:
            return f"All {counted(count, 'candidate')} failed: there is no network to recommend."
        if all_slow := over_latency(digest.results):
            return f"{capitalised(all_slow)}. There is no network to recommend yet."
        why = (
            "has all its costs measured"
            if counts[State.FINISHED]
            else "is finished within all limits"
        )
        return f"No candidate {why}: there is no network to recommend yet."
    found, least = digest.baseline, min(digest.finished, key=lambda each: each.predicted_error)
    study, images = digest.results.study, digest.results.data["images"]
    steps = study.training.rungs[-1] * max(1, images["train"] // study.training.batch_size)
    return (
        f"No network is shown to be better than {found.words}, which has an error of "
        f"{format_value('error', found.error)}; the least is {error_of(least, digest)}. There is "
        f"no network to recommend. Training may be too short ({counted(steps, 'step')} in the "
        f"longest run), {images['validation']:,} validation images may be too few to show a "
        "difference, or labels may not belong to their images."
    )


def over_latency(results: Results) -> str:
    """What to do where every network that was trained to the end takes longer than
    ``limits.max_latency_ms``; else empty."""
    most, states = results.study.limits.max_latency_ms, {c.state for c in results.candidates}
    if most is None or State.FINISHED in states or State.UNFIT not in states:
        return ""
    least = min(c.latency_ms for c in results.candidates if c.state is State.UNFIT)
    return (
        f"the fastest network that was trained takes {format_value('latency_ms', least)}, more "
        f"than limits.max_latency_ms = {most:g}; raise it, or offer smaller choices in [space]"
    )


def sureness_of(digest: Digest) -> str:
    """Such as ``the best of 21 networks trained within 4 M MACs with probability 0.6; expected to
    miss the best of them by 0.3 points``, of the answer; empty where nothing is predicted of it."""
    found = digest.sureness
    if found is None:
        return ""
    within = f" within {digest.budget}" if digest.budget else ""
    return (
        f"the best of {found.candidates} networks trained{within} {sure(found.probability)}; "
        f"expected to miss the best of them by {100 * found.opportunity_loss:.1f} points"
    )


ENOUGH = 0.5
"""Of the limit; where nothing larger was trained, the budget was hardly searched."""


def unsearched_of(digest: Digest) -> str:
    """That no network near the limit was trained, and what to do; empty where one was."""
    study = digest.results.study
    cost = study.objectives.first_known_cost
    limit = getattr(study.limits, f"max_{cost}", None)
    largest = max((network.figure(cost) for network in digest.finished), default=math.nan)
    if limit is None or not largest < ENOUGH * limit:
        return ""
    share = f"{100 * largest / limit:.0f} % of your limit of {format_value(cost, limit)}"
    return f"no network above {share} was trained in full; search longer"


def not_counted(digest: Digest) -> list[str]:
    """How many training runs ended otherwise than at the top rung within the limits, in words."""
    return [
        f"{digest.counts[state]} {what}"
        for state, what in (
            (State.SCREENED, "stopped at a lower rung"),
            (State.PARTIAL, "on part of the images"),
            (State.FAILED, "failed"),
            (State.UNFIT, "over a measured limit"),
        )
        if digest.counts[state]
    ]


def kinds_of_failure(reasons: Iterable[str]) -> list[tuple[int, str]]:
    """How many there are of each kind, and the first of them, the commonest kind first. Reasons
    that differ in their figures alone are of one kind."""
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kinds.setdefault(re.sub(r"\d[\d.,]*", "#", reason), []).append(reason)
    return [(len(own), own[0]) for own in sorted(kinds.values(), key=len, reverse=True)]


def split_batches(digest: Digest) -> list[str]:
    """How many training runs had their batches in parts, for lack of memory; empty for none."""
    asked = digest.results.study.training.accumulation_steps
    steps = [each.accumulation_steps for each in digest.candidates]
    split = [each for each in steps if each > asked]
    if not split:
        return []
    return [f"{len(split)} with each batch in {split[0]} parts, for lack of memory"]


def latency_of(digest: Digest) -> str:
    """How latencies were measured, and how well the search has predicted them; empty where its
    study asks for none."""
    known = digest.results.latencies
    if known is None:
        return ""
    if known.held_out is None:
        return f"of {known.setting}; too few were measured to say how well they are predicted"
    networks, error, rank, _ = known.held_out
    return (
        f"of {known.setting}; predicted within {100 * error:.1f} % (median of {networks} networks, "
        f"each held out; rank correlation {rank:.2f})"
    )


def going_on_of(digest: Digest) -> str:
    """What going on with the search would be worth, such as ``no network of the space within 4 M
    MACs, trained or not, is better than this one by more than 0.6 points (90 % sure); the best is
    expected to be better by 0.2``; empty where that is not known."""
    found = digest.going_on
    if found is None:
        return ""
    within = f" within {digest.budget}" if digest.budget else ""
    by = f" by more than {100 * found.most:.2g} points" if found.most else ""
    told = (
        f"no network of the space{within}, trained or not, is better than this one{by} "
        f"({100 * found.probability:g} % sure)"
    )
    if not found.most:
        return told
    return f"{told}; the best is expected to be better by {100 * found.expected:.2g}"


def sure(chance: float) -> str:
    """Such as ``with probability 0.93``; of draws no more is known than this."""
    return "almost surely" if chance > 0.99 else f"with probability {chance:.2f}"


def export_command(run: str, pick: str = picks.LEAST_ERROR) -> str:
    """The command that exports this pick of a run, which is ``typed`` so, into the present
    folder."""
    chosen = "" if pick == picks.LEAST_ERROR else f" --pick {pick}"
    name = RunDir(Path(run)).name
    folder = f"{name}-{pick}" if chosen else f"{name}-network"
    return f"dnsearch export {shlex.quote(run)}{chosen} --to {shlex.quote(folder)}"
