"""The signals of a certificate: errors of short trainings, costs, scores at initialisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnsearch.analysis.candidates import Candidate, State
from dnsearch.arrays import Floats
from dnsearch.config import TrainingConfig
from dnsearch.confirm.certificate import Certificate, certify
from dnsearch.search.confirmed import fresh_error
from dnsearch.training.score import CurvePoint

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.store import Record


def certificate(
    recipe: TrainingConfig,
    epochs: int,
    searched: Sequence[Sequence[Candidate]],
    fresh: Sequence[Sequence[Record]],
    rng: np.random.Generator,
) -> Certificate:
    """Of n networks: each one's training runs in the search, by ``recipe``, and its ``fresh`` ones
    of ``epochs``, at least one of each. A rung that is no shorter is full training itself.

    Column 0 of the errors is the search's own seed, which has no full training; behind it stand the
    fresh seeds, short and full training of one seed in the same column.
    """
    full = padded([[math.nan, *map(fresh_error, own)] for own in fresh])
    shorter = [rung for rung in recipe.rungs if rung < epochs]
    proxies = {rung: short_errors(recipe, rung, epochs, searched, fresh) for rung in shorter}
    last = [own[-1] for own in searched]
    params, macs = (np.array([c.figure(name) for c in last]) for name in ("params", "macs"))
    baselines = {"params alone": params, "MACs alone": macs}
    baselines |= _zero_cost([candidate.zero_cost for candidate in last])
    return certify(proxies, full, macs, baselines, rng)


def short_errors(
    recipe: TrainingConfig,
    rung: int,
    epochs: int,
    searched: Sequence[Sequence[Candidate]],
    fresh: Sequence[Sequence[Record]],
) -> Floats:
    """Validation errors of n networks after ``rung`` epochs, (n, 1 + fresh seeds), NaN where
    missing: the search's, then those that the fresh training runs of ``epochs`` passed through.

    The latter count only where the learning rate had gone the same way until then.
    """
    alike = same_schedule(recipe, rung, epochs)
    return padded(
        [
            [_searched_error(own, rung)]
            + [_error_at(record.score.curve, rung) if alike else math.nan for record in again]
            for own, again in zip(searched, fresh, strict=True)
        ]
    )


def same_schedule(recipe: TrainingConfig, rung: int, epochs: int) -> bool:
    """Whether a training of so many ``epochs`` begins as one of the search's up to this rung.

    The learning rate falls in the last ``recipe.decay`` of a training, that of the search at the
    top rung.
    """
    top = recipe.rungs[-1]
    return epochs == top or rung <= (1 - recipe.decay) * min(epochs, top)


def _searched_error(candidates: Sequence[Candidate], rung: int) -> float:
    """That of the last of them that came so far on all images."""
    found = [_error_at(c.curve, rung) for c in candidates if c.state is not State.PARTIAL]
    return next((error for error in reversed(found) if not math.isnan(error)), math.nan)


def _error_at(curve: Sequence[CurvePoint], epoch: int) -> float:
    return next((point.error for point in curve if point.epoch == epoch), math.nan)


def _zero_cost(scores: Sequence[Mapping[str, float | None] | None]) -> dict[str, Floats]:
    """The scores at initialisation by name, (n,) each, where they were recorded."""
    names = dict.fromkeys(name for one in scores for name in one or ())
    found = {name: [(one or {}).get(name) for one in scores] for name in names}
    return {name: np.array(values, np.float64) for name, values in found.items()}


def padded(lists: Sequence[Sequence[float]]) -> Floats:
    """Lists of unequal lengths as the rows of an array, NaN where they have ended."""
    most = max(map(len, lists))
    return np.array([[*values, *[math.nan] * (most - len(values))] for values in lists])
