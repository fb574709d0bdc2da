"""What a larger budget buys: the scaling laws of one or more runs, and the networks to train next.

Selection flatters: who is chosen for low errors and then fitted by the same errors looks better
than it is. So a training is fitted where the *other* seeds of its architecture lie in the better
half at the same cost. On invented trainings (24 architectures whose shapes differ by 5 %, two
seeds) its errors are 0.0 % too low where seeds differ by 3 % and 0.1 % where by 6 %; of
architectures chosen by the mean of both seeds 0.6 and 2.0 %. What is expected of the networks that
are proposed, which are better shaped than the half that was fitted, was 1 to 3 % too high, and the
interval of one training held their error in 83 to 100 % of cases (``tests/search/planted.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnsearch.analysis.frames import column, rows, texts
from dnsearch.analysis.metrics import METRICS, format_value
from dnsearch.analysis.picks import finished
from dnsearch.analysis.trust import Interval
from dnsearch.arch.config import ArchConfig
from dnsearch.config import differences
from dnsearch.cost.formula import Cost
from dnsearch.errors import RunError
from dnsearch.scaling.costlaw import LEAST as LEAST_FOR_COST
from dnsearch.scaling.costlaw import CostLaw, fit_cost
from dnsearch.scaling.extrapolation import LEAST, LawStudy, study_law
from dnsearch.scaling.growth import Growth, best_growth
from dnsearch.scaling.larger import larger
from dnsearch.scaling.law import Band, Worth, worth
from dnsearch.scaling.robust import huber_weights
from dnsearch.search.feasible import CostModel

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SIZES = ("macs", "params", "activations")
TIMES = (2.0, 4.0, 8.0)
MORE = "train more with `dnsearch run STUDY --scaling`"


@dataclass(frozen=True)
class Larger:
    """A network for ``times`` the cost of the largest that was fitted.

    error: expected in the mean over seeds, training: of one training (shares, 95 %); None where the
    law is not to be trusted. seconds: of training it on all images for the top rung's epochs as the
    runs were trained, latency: milliseconds of a forward pass; None where such were not measured.
    """

    times: float
    arch: ArchConfig
    cost: Cost
    error: Interval | None
    training: Interval | None
    seconds: Interval | None
    latency: Interval | None


@dataclass(frozen=True, eq=False)
class Scaling:
    """All that is told of how error and cost scale.

    cost: of ``SIZES``, the one that budgets are of. trainings: rows of ``Results.candidates`` with
    ``near`` (the architecture is in the better half at the same cost) and ``fitted`` (the training
    is in the law of ``cost``, or of images where it saw part of them). chosen: whether only those
    near the front are fitted, or all for want of seeds. laws: by name of size. data: the joint law
    of cost and images, None without partial trainings. worth: what doubling either is worth from
    the largest fitted network on all images; None where the joint law is not trusted. growth: of
    the best ``growth_rate``, ``layers`` and, among those with a bottleneck, ``bn_size``. seconds:
    of a training image; latency: milliseconds of a forward pass. largest: the cost that budgets are
    multiples of. epochs, images: of a full training.
    """

    runs: tuple[str, ...]
    cost: str
    trainings: pd.DataFrame
    chosen: bool
    laws: Mapping[str, LawStudy]
    data: LawStudy | None
    worth: Worth | None
    growth: Mapping[str, Growth]
    seconds: CostLaw | None
    latency: CostLaw | None
    next: tuple[Larger, ...]
    largest: float
    epochs: int
    images: int

    @property
    def full(self) -> pd.DataFrame:
        """The trainings on all images."""
        return _whole(self.trainings)

    @property
    def near(self) -> pd.DataFrame:
        """The architectures near the front, one row each."""
        full = self.full
        return rows(full, np.array(full["near"], dtype=bool)).drop_duplicates("key")


def study_scaling(
    results: Sequence[Results], cost: str = "macs", times: Sequence[float] = TIMES
) -> Scaling:
    """Laws, verdicts, growth and the next networks from the trainings of all these runs.

    Raises RunError for runs that must not be mixed, naming the difference, for fewer than ``LEAST``
    architectures trained on all images, and for architectures that all have the same cost.
    """
    require_alike(results)
    trainings = _trainings(results)
    archs = {key: arch for each in results for key, arch in each.archs.items()}
    first, full = results[0], _whole(trainings)
    _require_enough(full, cost, [each.name for each in results])
    predicted = _predicted(results)
    fits = {size: _Front(trainings, size, predicted) for size in dict.fromkeys((cost, *SIZES))}
    front = fits[cost]
    trainings = trainings.assign(near=front.near, fitted=front.fitted)
    laws = {size: _law(rows(trainings, fit.fitted & fit.whole), size) for size, fit in fits.items()}
    data = None if front.whole.all() else _law(rows(trainings, front.fitted), cost, "images")
    near = rows(trainings, front.near & front.whole).drop_duplicates("key")
    fitted = rows(trainings, front.fitted & front.whole)
    most, images = float(column(fitted, cost).max()), int(column(full, "images").max())
    law = data.law if data is not None and data.verdict.trusted else None
    rng = np.random.default_rng(0)
    growth = _growth(full, cost, rng)
    seconds = _seconds(full, rng)
    latency = _cost_law(full, column(full, "latency_ms"), rng)
    epochs = first.study.training.rungs[-1]
    model = CostModel.of(
        first.study, tuple(first.data["shape"]), first.environment["activation_bytes"]
    )
    chosen = [archs[key] for key in texts(near, "key")]
    return Scaling(
        runs=tuple(each.name for each in results),
        cost=cost,
        trainings=trainings,
        chosen=front.chosen,
        laws=laws,
        data=data,
        worth=worth(law, most, images) if law is not None else None,
        growth=growth,
        seconds=seconds,
        latency=latency,
        next=tuple(
            _larger(
                each,
                larger(chosen, growth, model, cost, each * most),
                model,
                laws[cost],
                cost,
                seconds,
                latency,
                images * epochs,
            )
            for each in times
        ),
        largest=most,
        epochs=epochs,
        images=images,
    )


def require_alike(results: Sequence[Results]) -> None:
    """Raises RunError naming the first difference in images, recipe or kind of device."""
    first, *others = results
    for other in others:
        for what, before, now in (
            ("data", _images(first), _images(other)),
            (
                "training",
                first.study.training.model_dump(mode="json"),
                other.study.training.model_dump(mode="json"),
            ),
            ("environment", _device(first), _device(other)),
        ):
            found = differences({what: before}, {what: now})
            if found:
                raise RunError(
                    f"{first.name} and {other.name} cannot be fitted together: they differ in "
                    f"{found[0]}"
                )


def _images(results: Results) -> dict[str, Any]:
    told = ("name", "shape", "classes", "images", "fingerprint")
    return {name: results.data[name] for name in told if name in results.data}


def _device(results: Results) -> dict[str, Any]:
    return {"device_kind": results.environment.get("device_kind")}


def _trainings(results: Sequence[Results]) -> pd.DataFrame:
    """What counts: finished on all images, or on part of them; a training that two runs share
    counts once."""
    parts = []
    for each in results:
        table = each.candidates
        part = rows(table, np.array(texts(table, "state")) == "partial")
        known = np.isfinite(column(part, "error"))
        parts += [finished(table), rows(part, known)]
    merged = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    merged = merged.drop_duplicates(["key", "seed", "images"], ignore_index=True)
    # an error of no image counts as half an image: logs have no place for 0
    least = 0.5 / int(results[0].data["images"]["validation"])
    return merged.assign(error=np.maximum(column(merged, "error"), least))


def _whole(trainings: pd.DataFrame) -> pd.DataFrame:
    return rows(trainings, np.array(texts(trainings, "state")) == "finished")


def _require_enough(full: pd.DataFrame, cost: str, names: Iterable[str]) -> None:
    count, told = len(set(full["key"])), ", ".join(names)
    if count < LEAST:
        raise RunError(
            f"{told}: {count or 'no'} architecture{'s' * (count != 1)} trained in full "
            f"{'is' if count == 1 else 'are'} too few for a scaling law: it takes {LEAST}; {MORE}"
        )
    sizes = column(full, cost)
    if sizes.min() == sizes.max():
        same = format_value(cost, float(sizes[0]))
        raise RunError(f"{told}: all {count} architectures have the same cost, {same}; {MORE}")


def _predicted(results: Sequence[Results]) -> dict[str, float]:
    """Log errors in the mean over seeds, as far as a run predicts them."""
    return {
        key: float(np.log(error))
        for each in results
        if each.predictions is not None
        for key, error in zip(each.predictions.keys, each.predictions.error, strict=True)
    }


class _Front:
    """Which trainings are fitted, and whose architecture is near the front, both (trainings,)."""

    def __init__(self, trainings: pd.DataFrame, cost: str, predicted: Mapping[str, float]) -> None:
        self.whole = np.array(texts(trainings, "state")) == "finished"
        full = rows(trainings, self.whole)
        keys, of = np.unique(np.array(texts(full, "key")), return_inverse=True)
        logs, seeds = np.log(column(full, "error")), np.bincount(of)
        mean = np.bincount(of, weights=logs) / seeds
        size = np.zeros(len(keys))
        size[of] = np.log(column(full, cost))
        trend = _trend_of_others(size, mean)
        with np.errstate(invalid="ignore"):
            others = (seeds * mean)[of] - logs
            others = others / np.where(seeds > 1, seeds - 1, np.nan)[of] - trend[of]
        better = others <= np.nanmedian(others) if (seeds > 1).any() else np.zeros(len(of), bool)
        self.chosen = len(set(of[better])) >= LEAST
        known = np.array([predicted.get(key, error) for key, error in zip(keys, mean, strict=True)])
        ahead = dict(zip(keys, _better_half(known - trend), strict=True))
        measured = dict(zip(keys, _better_half(mean - trend), strict=True))
        everyone = texts(trainings, "key")
        self.near = np.array([ahead.get(key, False) for key in everyone])
        # a partial training has no part in the mean of the full ones that it is chosen by
        self.fitted = np.array([measured.get(key, False) for key in everyone])
        self.fitted[self.whole] = better
        if not self.chosen:
            self.fitted[:] = True


def _better_half(beyond: Floats) -> Bools:
    return beyond <= np.median(beyond)


def _trend_of_others(size: Floats, mean: Floats) -> Floats:
    """For each architecture the log error at its log size by a quadratic through all others, (n,).

    Through its own point the trend would be drawn towards it, most of all at the ends, and a lucky
    one would look like the trend. Bad shapes are no part of it: they count by their distance's
    inverse (Huber weights).
    """
    centred = size - size.mean()
    terms = np.vander(centred / (np.abs(centred).max() or 1.0), 3)
    hat = terms @ np.linalg.pinv(terms)
    for _ in range(15):
        root = np.sqrt(huber_weights(mean - hat @ mean))
        hat = terms @ np.linalg.pinv(terms * root[:, None]) * root
    return mean - (mean - hat @ mean) / np.maximum(1 - np.diag(hat), 1e-3)


def _law(trainings: pd.DataFrame, *sizes: str) -> LawStudy:
    return study_law(
        np.column_stack([column(trainings, name) for name in sizes]),
        column(trainings, "error"),
        np.array(texts(trainings, "key")),
        [METRICS[name].short for name in sizes],
    )


def _growth(full: pd.DataFrame, cost: str, rng: np.random.Generator) -> dict[str, Growth]:
    """Of all architectures, good and bad: what the bad ones lack tells where the best lie."""
    blocks = texts(full, "block_config")
    table = full.assign(
        layers=[sum(map(int, text.split("-"))) for text in blocks],
        error=np.log(column(full, "error")),
    )
    names = [cost, "error", "growth_rate", "layers", "bn_size"]
    table = pd.DataFrame(table.groupby("key", sort=True)[names].mean())

    def best(part: pd.DataFrame, *dimensions: str) -> dict[str, Growth]:
        values = {name: column(part, name) for name in dimensions}
        return best_growth(column(part, cost), np.exp(column(part, "error")), values, rng)

    with_one = rows(table, column(table, "bn_size") > 0)
    return best(table, "growth_rate", "layers") | best(with_one, "bn_size")


def _seconds(full: pd.DataFrame, rng: np.random.Generator) -> CostLaw | None:
    with np.errstate(divide="ignore"):
        return _cost_law(full, 1 / column(full, "images_per_second"), rng)


def _cost_law(full: pd.DataFrame, measured: Floats, rng: np.random.Generator) -> CostLaw | None:
    """By the median of each architecture's trainings; None where too few were measured."""
    table = full.assign(measured=measured)
    table = rows(table, np.isfinite(measured) & (measured > 0))
    names = ["measured", "activations", "macs"]
    table = pd.DataFrame(table.groupby("key", sort=True)[names].median())
    if len(table) < LEAST_FOR_COST:
        return None
    cost, activations, macs = (column(table, name) for name in names)
    return fit_cost(cost, activations, macs, rng)


def _larger(
    times: float,
    arch: ArchConfig,
    model: CostModel,
    study: LawStudy,
    name: str,
    seconds: CostLaw | None,
    latency: CostLaw | None,
    images: int,
) -> Larger:
    cost = model.cost(arch)
    law = study.law if study.verdict.trusted else None
    size = [getattr(cost, name)]
    known = [cost.activations], [cost.macs]
    band = None if seconds is None else seconds.predict(*known)
    return Larger(
        times=times,
        arch=arch,
        cost=cost,
        error=None if law is None else _only(law.mean(size)),
        training=None if law is None else _only(law.training(size)),
        seconds=None if band is None else Interval(*(images * end for end in _only(band))),
        latency=None if latency is None else _only(latency.predict(*known)),
    )


def _only(band: Band) -> Interval:
    return Interval(*(float(end[0]) for end in band))
