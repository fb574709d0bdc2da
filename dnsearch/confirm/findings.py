"""What ``dnsearch confirm`` found: its records as what the report's section is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnsearch.analysis.confidence import best_probability, expected_regret, front_probability
from dnsearch.analysis.frames import Candidate, column, records, texts
from dnsearch.analysis.metrics import format_value
from dnsearch.analysis.trust import seed_noise
from dnsearch.config import TrainingConfig
from dnsearch.confirm.certificate import Certificate, certify
from dnsearch.report.digest import FIGURES, Digest, plain

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.store import Record

Floats = NDArray[np.float64]

LEVEL = 0.9
"""Of the intervals ``test_low`` to ``test_high``."""

DRAWS = 4000
PRIOR = 4
SEED = 0


@dataclass(frozen=True)
class Confirmed:
    """What ``dnsearch confirm`` found.

    candidates: one row an architecture: ``key``, ``name``, its costs by their names in ``METRICS``,
    ``front`` (bool: of the search), ``error`` and ``predicted_error`` (the search's measured
    validation error and its estimate), ``test_errors`` (a list, one a seed), ``test_mean`` and its
    90 % interval ``test_low`` to ``test_high``, ``front_probability`` and ``best_probability``.
    Errors are shares (0 to 1), NaN where missing. epochs: of each training. cost: the x axis.
    pick: key of the network that the search says has the least error, empty for none. regret: by
    how much error (0 to 1) that one is expected to miss the best of these, NaN where unknown.
    notes: further sentences.
    """

    candidates: pd.DataFrame
    epochs: int
    test_images: int
    cost: str
    certificate: Certificate | None
    notes: list[str]
    pick: str = ""
    regret: float = math.nan


def confirmed(digest: Digest, epochs: int | None = None) -> Confirmed | None:
    """What was confirmed with trainings of so many ``epochs``, by default of the length that most
    were trained for, of several the longest; None where nothing was."""
    by_length: dict[int, list[Record]] = {}
    for record in digest.results.confirmed:
        by_length.setdefault(record.job.rung, []).append(record)
    if epochs is None:
        epochs = max(by_length, key=lambda length: (len(by_length[length]), length), default=0)
    trained: dict[str, list[Record]] = {}
    # of a training that failed and was repeated, the repetition
    last = {(r.job.arch.key, r.job.seed): r for r in by_length.get(epochs, ())}
    for record in last.values():
        trained.setdefault(record.job.arch.key, []).append(record)
    searched = _searched(digest)
    trained = {key: own for key, own in trained.items() if key in searched}
    if not trained:
        return None
    table = pd.DataFrame([_row(searched[key], own) for key, own in trained.items()])
    images = [record.score.test_images for own in trained.values() for record in own]
    tests = next((count for count in images if count), 0)
    rng = np.random.default_rng(SEED)
    draws = _draws(table, digest, tests, rng)
    costs = np.stack([column(table, name) for name in digest.costs], axis=1)
    fit = np.array([searched[key]["state"] != "unfit" for key in texts(table, "key")])
    known = np.array(np.isfinite(draws).all(axis=0) & np.isfinite(costs).all(axis=1) & fit)
    table = table.assign(**_sureness(draws, costs, known))
    pick, regret = digest.picks["least-error"]["key"] if digest.picks else "", math.nan
    if pick in texts(table, "key") and known[texts(table, "key").index(pick)]:
        regret = expected_regret(draws, known, texts(table, "key").index(pick))
    return Confirmed(
        candidates=table,
        epochs=epochs,
        test_images=tests,
        cost=digest.costs[0],
        certificate=_certificate(digest, trained, epochs, rng),
        notes=_notes(digest, table, trained),
        pick=pick,
        regret=regret,
    )


def _searched(digest: Digest) -> dict[str, Candidate]:
    """By key what the search knows of a candidate: of several trainings to the end their mean, else
    of the last one what is no error of the same kind, so none."""
    found: dict[str, Candidate] = {}
    for row in records(digest.candidates):
        before = found.get(row["key"])
        ended = row["state"] in ("finished", "unfit")
        row = row if ended else row | {"error": math.nan}
        if before is None or (ended and not before["errors"]):
            found[str(row["key"])] = row | {"errors": [row["error"]] if ended else []}
        elif ended:
            before["errors"].append(row["error"])
            before["front"] = before["front"] or row["front"]
            before["error"] = float(np.mean(before["errors"]))
    return found


def confirmed_record(found: Confirmed) -> dict[str, Any]:
    """The same for other programs: JSON types alone, a missing figure is None."""
    certificate = found.certificate
    told = {
        "epochs": found.epochs,
        "test_images": found.test_images,
        "pick": found.pick,
        "regret": found.regret,
        "candidates": records(found.candidates),
    }
    if certificate is not None:
        told["certificate"] = {
            "architectures": certificate.architectures,
            "seeds": certificate.seeds,
            "seed_sd": certificate.noise.seed_sd,
            "signals": [
                {"name": row.name, "kind": row.kind}
                | {
                    f"{n}_{view}": getattr(getattr(row, n), view)._asdict()
                    for n in ("tau", "rho", "pairs_right")
                    for view in ("overall", "matched")
                }
                | {"regret": row.regret._asdict(), "precision": row.precision._asdict()}
                for row in certificate.rows
            ],
        }
    return plain(told)


def _sureness(draws: Floats, costs: Floats, known: NDArray[np.bool_]) -> dict[str, Floats]:
    """The interval of each test error, and the chances to be on the front and the best of all."""
    names = ("test_low", "test_high", "front_probability", "best_probability")
    found = {name: np.full(len(known), math.nan) for name in names}
    if known.any():
        own, everything = draws[:, known], np.ones(int(known.sum()), bool)
        low, high = np.quantile(own, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        chances = front_probability(own, costs[known]), best_probability(own, everything)
        for name, value in zip(names, (low, high, *chances), strict=True):
            found[name][known] = value
    return found


def _row(candidate: Mapping[str, Any], own: Sequence[Record]) -> dict[str, Any]:
    tests = [_test_error(record) for record in own]
    told = ("key", "name", "front", "error", "predicted_error", *FIGURES)
    known = [error for error in tests if math.isfinite(error)]
    mean = float(np.mean(known)) if known else math.nan
    return {name: candidate[name] for name in told} | {"test_errors": tests, "test_mean": mean}


def _test_error(record: Record) -> float:
    error = record.score.test_error
    return math.nan if error is None else error


def _draws(table: pd.DataFrame, digest: Digest, tests: int, rng: np.random.Generator) -> Floats:
    """What the mean over seeds of each may be, (draws, n): log errors, the seeds' luck pooled over
    networks, Student's t. The luck that the search's surrogate found counts as ``PRIOR`` more
    degrees of freedom: one or two pairs of seeds alone would say anything."""
    errors = _padded([row["test_errors"] for row in records(table)])
    logs = np.log(np.maximum(errors, 0.5 / max(1, tests)))  # none wrong is no proof of 0
    count = np.isfinite(logs).sum(axis=1)
    free = int((count[count > 1] - 1).sum())
    found = seed_noise(errors, np.zeros(len(errors))).seed_log_sd ** 2 * free if free else 0.0
    predictions = digest.results.predictions
    if predictions is not None:
        found, free = found + PRIOR * predictions.seed_noise**2, free + PRIOR
    if free < PRIOR:  # too little to say how large the luck is
        return np.full((DRAWS, len(count)), math.nan)
    spread = np.sqrt(found / rng.chisquare(free, DRAWS))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(logs, axis=1) / count
        draws = np.exp(mean + spread * rng.standard_normal((DRAWS, len(mean))) / np.sqrt(count))
    return np.minimum(draws, 1.0)


def _certificate(
    digest: Digest, trained: Mapping[str, Sequence[Record]], epochs: int, rng: np.random.Generator
) -> Certificate | None:
    """The first column of errors is the search's own seed, the others are the fresh ones."""
    full = _padded([[math.nan, *map(_test_error, own)] for own in trained.values()])
    recipe = digest.results.study.training
    proxies = {
        format_value("rung", rung): _proxy(digest, trained, rung, epochs, full.shape[1])
        for rung in recipe.rungs
    }
    rows = {row["key"]: row for row in records(digest.candidates)}
    costs = {name: np.array([rows[key][name] for key in trained]) for name in ("params", "macs")}
    baselines = {"params alone": costs["params"], "MACs alone": costs["macs"]}
    baselines |= _zero_cost([rows[key]["zero_cost"] for key in trained])
    return certify(proxies, full, costs["macs"], baselines, rng)


def _zero_cost(scores: Sequence[Mapping[str, float | None] | None]) -> dict[str, Floats]:
    """The scores at initialisation by name, (n,) each, where they were recorded."""
    names = dict.fromkeys(name for one in scores for name in one or ())
    found = {name: [(one or {}).get(name) for one in scores] for name in names}
    return {name: np.array(values, np.float64) for name, values in found.items()}


def _proxy(
    digest: Digest, trained: Mapping[str, Sequence[Record]], rung: int, epochs: int, seeds: int
) -> Floats:
    """Validation errors at a rung, (n, seeds): the search's, and where the learning rate had gone
    the same way, those of the fresh seeds at this epoch."""
    table = np.full((len(trained), seeds), np.nan)
    recipe = digest.results.study.training
    searched = records(digest.candidates)
    for row, (key, own) in enumerate(trained.items()):
        for candidate in searched:
            if candidate["key"] == key and candidate["state"] != "partial":
                table[row, 0] = _at(candidate["curve"], rung, table[row, 0])
        if _same_schedule(recipe, rung, epochs):
            for column_, record in enumerate(own, start=1):
                table[row, column_] = _at([vars(p) for p in record.score.curve], rung, math.nan)
    return table


def _same_schedule(recipe: TrainingConfig, rung: int, epochs: int) -> bool:
    """Whether a training of so many epochs begins as one of the search's up to this rung."""
    top = recipe.rungs[-1]
    return epochs == top or rung <= (1 - recipe.decay) * min(epochs, top)


def _at(curve: Sequence[Mapping[str, float]], epoch: int, otherwise: float) -> float:
    return next((point["error"] for point in curve if point["epoch"] == epoch), otherwise)


def _padded(lists: Sequence[Sequence[float]]) -> Floats:
    most = max(map(len, lists))
    return np.array([[*values, *[math.nan] * (most - len(values))] for values in lists])


def _notes(
    digest: Digest, table: pd.DataFrame, trained: Mapping[str, Sequence[Record]]
) -> list[str]:
    notes = []
    failed = sum(r.score.failure is not None for own in trained.values() for r in own)
    if failed:
        notes.append(f"{failed} training{'s' * (failed > 1)} failed and count as missing.")
    single = max(len(own) for own in trained.values()) == 1
    if single and digest.results.predictions is not None:
        notes.append("From one seed each, how large its luck is was taken from the search.")
    front = int(np.sum(np.array(table["front"], dtype=bool)))
    if 0 < front < len(table):
        notes.append(
            "Front members were chosen by what the search had measured, so its own trainings agree "
            "with the test errors a little better here than they would on a random sample."
        )
    return notes
