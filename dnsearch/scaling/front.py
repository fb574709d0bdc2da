"""Which training runs a law is fitted to: those of architectures near the front, chosen so that
choosing does not bias the law.

Architectures that are chosen for low errors and then fitted by the same errors look better than
they are (selection bias). So a training run is fitted where the *other* seeds of its architecture
lie in the better half at the same cost. On invented training runs (24 architectures whose shapes
differ by 5 %, two seeds) the errors of those fitted are 0.0 % too low where seeds differ by 3 % and
0.1 % where by 6 %; of architectures chosen by the mean of both seeds 0.6 and 2.0 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dnsearch.analysis.candidates import Candidate, figures
from dnsearch.arrays import Bools, Floats
from dnsearch.scaling.extrapolation import LEAST
from dnsearch.scaling.robust import huber_weights
from dnsearch.scaling.trainings import by_architecture, on_all_images


class Front(NamedTuple):
    """Which of the training runs are fitted, and whose architecture is near the front.

    whole: it saw all images. near: its architecture is in the better half at the same cost, by
    predicted errors where there are any. fitted: it is in the law of all images, or of parts of
    them, all (trainings,). is_chosen: only those near the front are fitted; else all are, for want
    of seeds.
    """

    whole: Bools
    near: Bools
    fitted: Bools
    is_chosen: bool

    @property
    def law(self) -> Bools:
        """Which are in the law of all images."""
        return self.fitted & self.whole


def front_of(trainings: Sequence[Candidate], cost: str) -> Front:
    """The front of error against this cost, of training runs of which some saw all images."""
    whole = on_all_images(trainings)
    groups = by_architecture(c for c, full in zip(trainings, whole, strict=True) if full)
    size = np.log(figures((group[0] for group in groups), cost))
    mean = np.array([float(np.mean(np.log(figures(group, "error")))) for group in groups])
    trend = _trend_of_others(size, mean)
    keys = [group[0].key for group in groups]
    better = _better_by_others(groups, trend)
    is_chosen = len({candidate.key for candidate in better}) >= LEAST
    predicted = np.array([_predicted(group, own) for group, own in zip(groups, mean, strict=True)])
    near = _keys_of(keys, _in_better_half(predicted - trend))
    measured = _keys_of(keys, _in_better_half(mean - trend))
    # a run on part of the images has no part in the mean of the full ones that it is chosen by
    fitted = [
        not is_chosen or (candidate in better if full else candidate.key in measured)
        for candidate, full in zip(trainings, whole, strict=True)
    ]
    return Front(whole, np.array([c.key in near for c in trainings]), np.array(fitted), is_chosen)


def _better_by_others(groups: Sequence[Sequence[Candidate]], trend: Floats) -> set[Candidate]:
    """The training runs whose architecture's other runs are in the better half about the trend."""
    beyond: dict[Candidate, float] = {}
    for group, expected in zip(groups, trend, strict=True):
        logs = np.log(figures(group, "error"))
        if len(group) > 1:
            others = (logs.sum() - logs) / (len(group) - 1) - expected
            beyond |= zip(group, others.tolist(), strict=True)
    middle = np.median(list(beyond.values())) if beyond else 0.0
    return {candidate for candidate, others in beyond.items() if others <= middle}


def _predicted(group: Sequence[Candidate], mean: float) -> float:
    """The predicted log error of an architecture, or its seeds' mean where there is none."""
    known = [candidate.predicted_error for candidate in group if candidate.is_predicted]
    return float(np.log(known[-1])) if known else mean


def _in_better_half(beyond: Floats) -> Bools:
    return beyond <= np.median(beyond)


def _keys_of(keys: Sequence[str], which: Bools) -> set[str]:
    return {key for key, one in zip(keys, which, strict=True) if one}


def _trend_of_others(size: Floats, mean: Floats) -> Floats:
    """For each architecture the log error at its log size by a quadratic through all others, (n,).

    Through its own point the trend would be drawn towards it, most of all at the ends, and one of
    low seed noise would look like the trend. Bad shapes are no part of it: they count by their
    distance's inverse (Huber weights).
    """
    centred = size - size.mean()
    terms = np.vander(centred / (np.abs(centred).max() or 1.0), 3)
    hat = terms @ np.linalg.pinv(terms)
    for _ in range(15):
        root = np.sqrt(huber_weights(mean - hat @ mean))
        hat = terms @ np.linalg.pinv(terms * root[:, None]) * root
    return mean - (mean - hat @ mean) / np.maximum(1 - np.diag(hat), 1e-3)
