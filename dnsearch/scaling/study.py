"""What a larger budget buys: the scaling laws of one or more runs, and the networks to train next.

On invented training runs (``tests/scaling/planted.py``) the predicted errors of the networks that
are proposed, which are better shaped than the half that was fitted, were 1 to 3 % too high, and the
interval of one training run held their error in 83 to 100 % of cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnsearch.analysis.candidates import Candidate, figures
from dnsearch.arch.config import ArchConfig
from dnsearch.scaling import SIZES, TIMES
from dnsearch.scaling.bill import Bill, bill_of
from dnsearch.scaling.costlaw import CostLaw, TooFewMeasured
from dnsearch.scaling.extrapolation import LawStudy
from dnsearch.scaling.front import Front, front_of
from dnsearch.scaling.growth import Growth
from dnsearch.scaling.larger import larger
from dnsearch.scaling.law import Worth, worth
from dnsearch.scaling.laws import error_law, growth_of, time_law
from dnsearch.scaling.networks import Larger, Predictor
from dnsearch.scaling.trainings import (
    by_architecture,
    chosen,
    on_all_images,
    require_alike,
    require_enough,
    trainings_of,
)
from dnsearch.scaling.verdict import Refusal
from dnsearch.search.feasible import CostModel

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results


HALF = 0.5
"""The share of further networks that will be near enough to the front to be fitted."""


class Basis(NamedTuple):
    """What the laws rest on.

    networks: trained on all images, in so many training ``runs``. partial: further runs on part of
    the images. smallest, largest: ends of their cost. fitted: networks that the laws are fitted to.
    best: a training run of the network whose mean error is least, ``best_error`` (0 to 1).
    """

    networks: int
    runs: int
    partial: int
    smallest: float
    largest: float
    fitted: int
    best: Candidate
    best_error: float


@dataclass(frozen=True, eq=False)
class Scaling:
    """What is known of how error and cost scale.

    names: what the runs are called on the command line. designed: whether the first of them was
    made by `dnsearch run --scaling`. cost: of ``SIZES``, the one that budgets are of. trainings:
    the training runs, of which ``front`` says which are fitted. laws: by name of size. data: the
    joint law of cost and images, None without runs on part of the images. worth: what doubling
    either is worth from the largest fitted network on all images; None where the joint law is not
    trusted. growth: of the best ``growth_rate``, ``layers`` and, among those with a bottleneck,
    ``bn_size``. seconds: of a training image; latency: milliseconds of a forward pass. largest: the
    cost that budgets are multiples of. epochs: of a full training run.
    """

    names: tuple[str, ...]
    designed: bool
    cost: str
    trainings: tuple[Candidate, ...]
    front: Front
    basis: Basis
    laws: Mapping[str, LawStudy]
    data: LawStudy | None
    worth: Worth | None
    growth: Mapping[str, Growth]
    seconds: CostLaw | TooFewMeasured
    latency: CostLaw | TooFewMeasured
    next: tuple[Larger, ...]
    largest: float
    epochs: int

    @property
    def full(self) -> list[Candidate]:
        """The training runs on all images."""
        return chosen(self.trainings, self.front.whole)

    def bill(self, refusal: Refusal) -> Bill:
        """What settling a refusal takes."""
        return bill_of(refusal.advice, self.full, HALF if self.front.is_chosen else 1.0)


def study_scaling(
    results: Sequence[Results],
    cost: str = "macs",
    times: Sequence[float] = TIMES,
) -> Scaling:
    """Laws, verdicts, growth and the next networks from the training runs of all these searches.

    Raises RunError for searches that must not be mixed, naming the difference, for fewer than
    ``LEAST`` architectures trained on all images, and for architectures that all have the same
    cost.
    """
    require_alike(results)
    trainings, rng = trainings_of(results), np.random.default_rng(0)
    full = chosen(trainings, on_all_images(trainings))
    require_enough(full, cost, [each.name for each in results])
    fronts = {size: front_of(trainings, size) for size in dict.fromkeys((cost, *SIZES))}
    front = fronts[cost]
    laws = {size: error_law(chosen(trainings, own.law), size) for size, own in fronts.items()}
    data = None if front.whole.all() else _joint_law(trainings, front, cost)
    growth = growth_of(full, cost, rng)
    with np.errstate(divide="ignore"):
        seconds = time_law(full, 1 / figures(full, "images_per_second"), rng)
    latency = time_law(full, figures(full, "latency_ms"), rng)
    largest = float(figures(chosen(trainings, front.law), cost).max())
    images = int(figures(full, "images").max())
    epochs = results[0].study.training.rungs[-1]
    predictor = Predictor(cost, laws[cost], seconds, latency, images * epochs)
    budgets = {each: each * largest for each in times}
    return Scaling(
        names=tuple(each.typed for each in results),
        designed=results[0].study.search.sampler == "scaling",
        cost=cost,
        trainings=trainings,
        front=front,
        basis=_basis(trainings, front, cost),
        laws=laws,
        data=data,
        worth=None if data is None else _worth(data, largest, images),
        growth=growth,
        seconds=seconds,
        latency=latency,
        next=_next(budgets, _near(trainings, front), growth, _cost_model(results[0]), predictor),
        largest=largest,
        epochs=epochs,
    )


def _joint_law(trainings: Sequence[Candidate], front: Front, cost: str) -> LawStudy:
    return error_law(chosen(trainings, front.fitted), cost, "images")


def _next(
    budgets: Mapping[float, float],
    near: Sequence[ArchConfig],
    growth: Mapping[str, Growth],
    model: CostModel,
    predictor: Predictor,
) -> tuple[Larger, ...]:
    """For each multiple the network within that budget, and what is predicted of it."""
    archs = {
        times: larger(near, growth, model, predictor.size, budget)
        for times, budget in budgets.items()
    }
    return tuple(predictor.predict(n, arch, model.cost(arch)) for n, arch in archs.items())


def _near(trainings: Sequence[Candidate], front: Front) -> list[ArchConfig]:
    """The architectures near the front."""
    return list(dict.fromkeys(c.arch for c in chosen(trainings, front.near & front.whole)))


def _cost_model(results: Results) -> CostModel:
    shape = tuple(results.data["shape"])
    return CostModel.of(results.study, shape, results.environment["activation_bytes"])


def _basis(trainings: Sequence[Candidate], front: Front, cost: str) -> Basis:
    full = chosen(trainings, front.whole)
    groups = by_architecture(full)
    means = [float(np.mean(figures(group, "error"))) for group in groups]
    best = int(np.argmin(means))
    sizes = figures(full, cost)
    return Basis(
        networks=len(groups),
        runs=len(full),
        partial=len(trainings) - len(full),
        smallest=float(sizes.min()),
        largest=float(sizes.max()),
        fitted=len({candidate.key for candidate in chosen(trainings, front.fitted)}),
        best=groups[best][0],
        best_error=means[best],
    )


def _worth(data: LawStudy, network: float, images: int) -> Worth | None:
    """Of twice the network and twice the images; None where the law of both is not trusted."""
    if data.law is None or not data.verdict.trusted:
        return None
    return worth(data.law, network, images)
