"""What follows from a certificate, as values: doubts, comparisons, training runs needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from dnsearch.analysis.trust import Interval
from dnsearch.confirm.certificate import Certificate, Kind, Signal, View

PROVEN_PAIRS = 40
"""Fewer pairs of candidates than this prove nothing."""

APART = 0.75
"""Networks are told apart where this share of their pairs comes out in the same order again."""


class Doubt(StrEnum):
    """Why it is unproven what short trainings are worth."""

    FEW_PAIRS = "few pairs"
    """Fewer than ``PROVEN_PAIRS``."""
    ONE_SEED = "one seed"
    """Of full training, so that seed noise looks like differences between networks."""


class Standing(StrEnum):
    """How many pairs a proxy ranks correctly, beside full training with one other seed."""

    AS_GOOD = "as good"
    """At least as many."""
    NEAR = "near"
    """Fewer, but the intervals overlap."""
    SHORT = "short"
    """Fewer, and the intervals are apart."""


class Beaten(NamedTuple):
    """A baseline that ranks at least as well as a proxy, and where."""

    baseline: Signal
    view: View


@dataclass(frozen=True)
class ProxyVerdict:
    """What one rung's errors are worth.

    beats_chance: whether the interval of its pairs at matched cost lies above one half; None where
    that share is unknown. beaten_by: in each view the best baseline, where the proxy is not above
    it. standing: None where it cannot be told.
    """

    signal: Signal
    beats_chance: bool | None
    beaten_by: tuple[Beaten, ...]
    standing: Standing | None


@dataclass(frozen=True)
class Verdict:
    """What a certificate says.

    doubts: why it is unproven what short trainings are worth; empty where it is proven. view: of
    the pairs by which the proxies are held against full training, those at matched cost where they
    are known; ceiling: the share of them that full training ranks as another seed's does.
    trainings: of each network until their means tell networks of matched cost ``APART``; infinite
    where no difference beyond seed noise was found, NaN where unknown or unproven.
    """

    doubts: tuple[Doubt, ...]
    proxies: tuple[ProxyVerdict, ...]
    view: View
    ceiling: Interval
    trainings: float


def judge(certificate: Certificate) -> Verdict:
    """What follows from a certificate's figures."""
    (full,) = certificate.of(Kind.CEILING)
    view = View.MATCHED if full.right(View.MATCHED).is_known else View.OVERALL
    proven = certificate.pairs >= PROVEN_PAIRS  # an interval of fewer overlaps anything
    ceiling = full.right(view)
    proxies = tuple(
        ProxyVerdict(
            signal=proxy,
            beats_chance=_beats_chance(proxy.right(View.MATCHED)),
            beaten_by=_beaten_by(proxy, certificate),
            standing=_standing(proxy.right(view), ceiling) if proven else None,
        )
        for proxy in certificate.of(Kind.PROXY)
    )
    trainings = certificate.noise.trainings_for(2 * APART - 1) if proven else math.nan
    return Verdict(_doubts(certificate), proxies, view, ceiling, trainings)


def _doubts(certificate: Certificate) -> tuple[Doubt, ...]:
    found = {
        Doubt.FEW_PAIRS: certificate.pairs < PROVEN_PAIRS,
        Doubt.ONE_SEED: certificate.seeds == 1,
    }
    return tuple(doubt for doubt, holds in found.items() if holds)


def _beats_chance(share: Interval) -> bool | None:
    return share.low > 0.5 if share.is_known else None


def _beaten_by(proxy: Signal, certificate: Certificate) -> tuple[Beaten, ...]:
    found = []
    for view in View:
        baselines = certificate.of(Kind.BASELINE)
        known = [row for row in baselines if row.right(view).is_known]
        best = max(known, key=lambda row, view=view: row.right(view).value, default=None)
        if best and proxy.right(view).value <= best.right(view).value:
            found.append(Beaten(best, view))
    return tuple(found)


def _standing(own: Interval, ceiling: Interval) -> Standing | None:
    """None where either is unknown, or has no interval that could be compared."""
    if own.value >= ceiling.value:
        return Standing.AS_GOOD
    if own.high >= ceiling.low:
        return Standing.NEAR
    return Standing.SHORT if own.high < ceiling.low else None
