"""What it would take to settle a refusal: training runs, compute, time, and how to start them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dnsearch.analysis.candidates import Candidate, figures
from dnsearch.scaling.verdict import Advice, LongerTraining
from dnsearch.search.design import SIZES, SPAN

RUNS = 3
"""Training runs of a network in a scaling design: two on all images, one on part of them."""


class Bill(NamedTuple):
    """Of the training runs that an advice takes.

    runs: their number. macs: multiply-adds of all of them together. seconds: on the machine of the
    runs so far; NaN where none of them was timed. largest: the largest MACs a network is to have,
    where that is more than any has now, else 0. smaller: whether networks smaller than any now are
    needed. longer: whether each is to be trained longer.
    """

    runs: int
    macs: float
    seconds: float
    largest: float
    smaller: bool
    longer: bool


def bill_of(advice: Advice, full: Sequence[Candidate], share: float) -> Bill:
    """What an advice takes, from the training runs on all images.

    share: of the networks trained that come to be fitted. A scaling design trains networks of
    ``SIZES`` sizes over a factor of ``SPAN``; only some of those are of the sizes that are wanted.
    """
    macs, train_macs = figures(full, "macs"), figures(full, "train_macs")
    seconds = figures(full, "seconds")
    epochs_macs = float(np.median(train_macs / macs))
    known = np.isfinite(seconds) & (seconds > 0)
    rate = float(np.median(seconds[known] / train_macs[known])) if known.any() else math.nan
    sizes = figures(full, advice.size)
    if isinstance(advice, LongerTraining):
        above = sizes >= advice.above
        runs = advice.seeds * len({c.key for c, one in zip(full, above, strict=True) if one})
        spent = 2 * runs * epochs_macs * float(macs[above].mean())
        return Bill(runs, spent, rate * spent, 0.0, False, True)
    top, low, high = float(macs.max()), 0.0, math.inf
    if advice.size != "images":
        per_size = float(np.median(macs / sizes))
        low, high = advice.low * per_size, advice.high * per_size
        top = max(top, high if advice.high > sizes.max() * 1.01 else 0.0)
    design = np.geomspace(top / SPAN, top, SIZES)
    wanted = (design >= low * (1 - 1e-9)) & (design <= high * (1 + 1e-9))
    networks = math.ceil(advice.count / share / max(1, wanted.sum()) * SIZES)
    spent = RUNS * networks * epochs_macs * float(design.mean())
    return Bill(
        runs=RUNS * networks,
        macs=spent,
        seconds=rate * spent,
        largest=top if top > macs.max() else 0.0,
        smaller=advice.size != "images" and advice.low < sizes.min() * 0.99,
        longer=False,
    )
