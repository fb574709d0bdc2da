"""The first screen of a report: the answer in one sentence, what it stands beside, what it took to
find, and how far to trust it."""

from __future__ import annotations

import math
import shlex
from typing import NamedTuple

from dnsearch.analysis.candidates import Candidate
from dnsearch.analysis.metrics import error_ends, error_label, format_value
from dnsearch.confirm.findings import Confirmed, ConfirmedNetwork
from dnsearch.confirm.published import closest, cost_model, reference_of
from dnsearch.report.answer import (
    costs_of,
    export_command,
    latency_of,
    none_to_recommend,
    saved_by,
    sure,
    unsearched_of,
)
from dnsearch.report.digest import Digest
from dnsearch.report.parts import error_interval
from dnsearch.search.confirmed import exported_run
from dnsearch.text import counted


class Trust(NamedTuple):
    """A reason to trust the answer, or not to: whether it ``holds``, in a line, and the command
    that would settle it."""

    holds: bool
    text: str
    command: str = ""


class Headline(NamedTuple):
    """What the first screen says; ``beside`` are names and texts, ``command`` writes the network
    into a folder, with weights of a training run of this ``length``, ``train`` trains it in full.
    Without an answer ``sentence`` says why there is none."""

    sentence: str
    beside: list[tuple[str, str]]
    trust: list[Trust]
    command: str = ""
    length: str = ""
    train: str = ""


def headline(digest: Digest, confirmed: Confirmed | None, can_test: bool) -> Headline:
    """``can_test``: whether the data set has test images that `dnsearch confirm` can use."""
    best = digest.answer
    if best is None:
        return Headline(none_to_recommend(digest), [("searched", _searched(digest))], [])
    predicted = "predicted " if best.is_predicted else ""
    sentence = (
        f"Train {best.name}: {format_value('error', best.predicted_error)} {predicted}"
        f"{digest.error_name} ({error_ends(best.new_low, best.new_high)} on new images) at "
        f"{costs_of(best, digest.costs)}."
    )
    beside = [("baseline", _baseline(digest)), *_reference(digest, best, confirmed)]
    beside += [("as good, cheaper", text) for text in _as_good(digest)]
    beside.append(("searched", _searched(digest)))
    if told := latency_of(digest):
        beside.append(("latency", told))
    beside += [("going on", text) for text in _going_on(digest)]
    command, name = export_command(digest.results.typed), shlex.quote(digest.results.typed)
    trust = _trust(digest, best, confirmed, can_test)
    exported = exported_run(digest.results.confirmed, best)
    length = format_value("rung", exported.job.rung if exported else best.rung)
    return Headline(sentence, beside, trust, command, length, f"dnsearch train {name}")


def _baseline(digest: Digest) -> str:
    found = digest.baseline
    return f"{found.words}: {format_value('error', found.error)}"


def _reference(
    digest: Digest, best: Candidate, confirmed: Confirmed | None
) -> list[tuple[str, str]]:
    """The published network, or one made like it, that costs about as much."""
    results = digest.results
    if "activation_bytes" not in results.environment:  # of a run that is not of a machine
        return []
    arch = closest(results, best.arch, without={best.key})
    found = None if arch is None else reference_of(arch)
    if arch is None or found is None:
        return []
    cost = results.study.objectives.first_known_cost
    takes, own = (getattr(cost_model(results).cost(each), cost) for each in (arch, best.arch))
    if not 1 / SIMILAR_COST <= takes / own <= SIMILAR_COST:
        return []
    costs = format_value(cost, takes)
    trained = next((each for each in digest.finished if each.key == arch.key), None)
    if confirmed and (tested := confirmed.test(arch.key)).is_known:
        error = f"{error_interval(tested)} {error_label(confirmed.error, 'test')}"
    elif trained is not None:
        error = f"{format_value('error', trained.predicted_error)} {digest.error_name}"
    else:
        error = "not trained here"
    if found.published:
        return [("published, alike in cost", f"{found.name} at {costs}: {error}")]
    shape = f"depth {arch.depth}, k={arch.growth_rate}"
    return [(f"{found.family} of similar cost", f"{shape}, at {costs}: {error}")]


def _as_good(digest: Digest) -> list[str]:
    found = digest.as_good
    if found is None:
        return []
    network = found.network
    error = format_value("error", network.predicted_error)
    return [f"{network.name}: {error} with {saved_by(network, digest)}"]


def _searched(digest: Digest) -> str:
    runs = counted(len(digest.candidates), "training run")
    took = format_value("finished_after", digest.results.seconds)
    return f"{runs} in {took}, {format_value('train_macs', digest.train_macs)}"


def _going_on(digest: Digest) -> list[str]:
    found = digest.going_on
    if found is None:
        return []
    if not found.most:
        return [f"would gain nothing ({100 * found.probability:g} % sure)"]
    return [
        f"about {100 * found.expected:.2g} points less error, at most {100 * found.most:.2g} "
        f"({100 * found.probability:g} % sure)"
    ]


def _trust(
    digest: Digest, best: Candidate, confirmed: Confirmed | None, can_test: bool
) -> list[Trust]:
    tested = digest.measured_on == "test"
    told = [
        Trust(
            tested,
            f"measured on {digest.images:,} {digest.measured_on} images"
            + ("" if tested else ", by which it was chosen"),
        ),
        _seeds(best, confirmed),
    ]
    if (found := digest.sureness) is not None and not math.isnan(found.probability):
        text = f"the best of {found.candidates} trained networks {sure(found.probability)}"
        told.append(Trust(found.probability > LIKELY, text))
    if unsearched := unsearched_of(digest):
        told.append(Trust(False, unsearched))
    run = shlex.quote(digest.results.typed)
    if _trained_again(best, confirmed) is not None:
        told.append(Trust(True, "confirmed with fresh seeds on the test images"))
    elif can_test:
        told.append(Trust(False, "not confirmed on the test images yet", f"dnsearch confirm {run}"))
    else:
        told.append(Trust(False, "cannot be confirmed: there are no test images to be had"))
    return told


def _trained_again(best: Candidate, confirmed: Confirmed | None) -> ConfirmedNetwork | None:
    """What its fresh training runs told, where one has a test error."""
    network = confirmed.network(best.key) if confirmed else None
    return network if network is not None and network.seeds else None


def _seeds(best: Candidate, confirmed: Confirmed | None) -> Trust:
    """With how many seeds it was trained, fresh ones where there are any, and for how long."""
    again = _trained_again(best, confirmed)
    if confirmed and again:
        seeds, length = counted(again.seeds, "fresh seed"), confirmed.epochs
    else:
        seeds, length = counted(best.seeds, "seed"), best.rung
    text = f"trained with {seeds} for {format_value('rung', length)}"
    return Trust((again or best).seeds > 1, text)


SIMILAR_COST = 1.25
"""How many times as expensive as the answer a network may be that is compared with it."""

LIKELY = 0.8
"""What is more probable than this counts as a reason to trust the answer."""
