"""What ``dnsearch confirm`` found: its records as what the report's section is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnsearch.analysis.certificate import Certificate, certify
from dnsearch.analysis.confidence import best_probability, expected_regret, front_probability
from dnsearch.analysis.frames import column, records, texts
from dnsearch.analysis.metrics import format_value
from dnsearch.analysis.trust import seed_noise
from dnsearch.config import TrainingConfig
from dnsearch.report.certificate import LEVEL, Confirmed, most_likely_best
from dnsearch.report.digest import FIGURES, Digest, plain

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.study import Record

Floats = NDArray[np.float64]

DRAWS = 4000
SEED = 0


def confirmed(digest: Digest) -> Confirmed | None:
    """What was confirmed, of the training length that was trained last; None where nothing was."""
    results = digest.results
    if not results.confirmed:
        return None
    epochs = results.confirmed[-1].job.rung
    trained: dict[str, list[Record]] = {}
    for record in results.confirmed:
        if record.job.rung == epochs:
            trained.setdefault(record.job.arch.key, []).append(record)
    searched = {row["key"]: row for row in records(digest.candidates)}  # the last of its trainings
    trained = {key: own for key, own in trained.items() if key in searched}
    if not trained:
        return None
    table = pd.DataFrame([_row(searched[key], own) for key, own in trained.items()])
    rng = np.random.default_rng(SEED)
    draws = _draws(table, digest, rng)
    costs = np.stack([column(table, name) for name in digest.costs], axis=1)
    known = np.array(np.isfinite(draws).all(axis=0) & np.isfinite(costs).all(axis=1))
    table = table.assign(**_sureness(draws, costs, known))
    best = most_likely_best(table)
    regret = math.nan
    if best is not None and known.any():
        regret = expected_regret(draws, known, texts(table, "key").index(best["key"]))
    images = [record.score.test_images for own in trained.values() for record in own]
    return Confirmed(
        candidates=table,
        epochs=epochs,
        test_images=next((n for n in images if n), 0),
        cost=digest.costs[0],
        certificate=_certificate(digest, trained, epochs, rng),
        notes=_notes(digest, trained),
        budget=digest.budget,
        regret=regret,
    )


def confirmed_record(found: Confirmed) -> dict[str, Any]:
    """The same for other programs: JSON types alone, a missing figure is None."""
    certificate = found.certificate
    told = {
        "epochs": found.epochs,
        "test_images": found.test_images,
        "budget": found.budget,
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
    told = ("key", "name", "front", "error", "believed_error", *FIGURES)
    known = [error for error in tests if math.isfinite(error)]
    mean = float(np.mean(known)) if known else math.nan
    row = {name: candidate[name] for name in told} | {"test_errors": tests, "test_mean": mean}
    screened = candidate["state"] == "screened"  # an error after fewer epochs than the others'
    return row | ({"error": math.nan} if screened else {})


def _test_error(record: Record) -> float:
    error = record.score.test_error
    return math.nan if error is None else error


def _draws(table: pd.DataFrame, digest: Digest, rng: np.random.Generator) -> Floats:
    """What the mean over seeds of each may be, (draws, n): log errors, the seeds' luck pooled over
    networks, Student's t; from one seed each, the luck that the search's surrogate found."""
    errors = _padded([row["test_errors"] for row in records(table)])
    least = 0.5 / max(1, digest.validation_images)  # none wrong of so many is no proof of 0
    logs = np.log(np.maximum(errors, least))
    count = np.isfinite(logs).sum(axis=1)
    free = int((count[count > 1] - 1).sum())
    if free:
        spread = seed_noise(errors, np.zeros(len(errors))).seed_log_sd
        spread = spread * np.sqrt(free / rng.chisquare(free, DRAWS))[:, None]
    else:
        beliefs = digest.results.beliefs
        spread = np.full((DRAWS, 1), math.nan if beliefs is None else beliefs.noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(logs, axis=1) / count
        return np.exp(mean + spread * rng.standard_normal((DRAWS, len(mean))) / np.sqrt(count))


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
    for row, (key, own) in enumerate(trained.items()):
        for candidate in records(digest.candidates):
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


def _notes(digest: Digest, trained: Mapping[str, Sequence[Record]]) -> list[str]:
    notes = []
    failed = sum(r.score.failure is not None for own in trained.values() for r in own)
    if failed:
        notes.append(f"{failed} training{'s' * (failed > 1)} failed and count as missing.")
    notes.append(
        "Front members were chosen by what the search had measured, so its own trainings agree "
        "with the test errors a little better here than they would on a random sample."
    )
    return notes
