"""What ``dnsearch confirm --rates`` trains: a few networks at several learning rates.

A network that wins at one learning rate may win by that rate alone (Dollar et al. 2021,
arXiv:2103.06877; FBNetV3, arXiv:2006.02049, searches both together). So what the search recommends
and published networks, or one made like them, are trained at a third, one and three times
the study's rate. Those at the study's own rate, of networks that the search has trained, are
confirmations like any other. All the rest lies in an Optuna study of its own, which nothing but
``confirm.rate_findings`` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dnsearch.analysis import picks
from dnsearch.arch.config import ArchConfig
from dnsearch.config import StudyConfig, TrainingConfig
from dnsearch.confirm.published import closest, reference_of
from dnsearch.errors import RunError
from dnsearch.search.evaluators.base import RATES, Job
from dnsearch.seeds import derived_seed

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results

TIMES = (1 / 3, 1.0, 3.0)
"""The study's learning rate."""


class AtRates(NamedTuple):
    """What is to be compared: networks, and whether each is one of the search's candidates."""

    archs: tuple[ArchConfig, ...]
    searched: tuple[bool, ...]

    @property
    def candidates(self) -> list[ArchConfig]:
        """Those of the search, which are confirmed at the study's own rate."""
        return [arch for arch, searched in zip(*self, strict=True) if searched]


class Planned(NamedTuple):
    """What comparing learning rates takes: how many training runs besides the confirmations, the
    networks' names, and all learning rates."""

    jobs: int
    networks: tuple[str, ...]
    learning_rates: tuple[float, ...]

    @classmethod
    def of(cls, asked: AtRates, recipe: TrainingConfig, jobs: int) -> Planned:
        """So many jobs of what is asked."""
        names = tuple(map(compared_name, asked.archs))
        own = recipe.learning_rate
        return cls(jobs, names, tuple(rate or own for rate in learning_rates(recipe)))


def learning_rates(recipe: TrainingConfig) -> tuple[float | None, ...]:
    """As jobs have them: rounded to three digits, None for the recipe's own."""
    own = recipe.learning_rate
    return tuple(None if times == 1 else float(f"{times * own:.3g}") for times in TIMES)


def at_rates(results: Results) -> AtRates:
    """What the search recommends (the least error, and the as good and cheaper one), and the
    published networks that it has trained to the end; the ``published.closest`` where it has none.

    By the search's predictions alone, so that typed again it goes on. Raises RunError where there
    are no two networks to compare.
    """
    named = results.search_picks
    own = {named[n].key: named[n].arch for n in (picks.LEAST_ERROR, picks.AS_GOOD) if n in named}
    if not own:
        raise RunError(
            f"{results.name}: recommends no network yet, so there is none to train at other "
            "learning rates; leave --rates out, or search on"
        )
    others = {c.key: c.arch for c in results.searched if c.counts and c.preset}
    others = {key: arch for key, arch in others.items() if key not in own}
    if not others:
        nearest = closest(results, next(iter(own.values())), own)
        others = {nearest.key: nearest} if nearest else {}
    archs = (*own.values(), *others.values())
    if len(archs) < 2:
        raise RunError(
            f"{results.name}: has one network to train at other learning rates and none made "
            "like a published one within the limits to compare it with; leave --rates out, or name "
            "one in search.start"
        )
    trained = results.archs
    return AtRates(archs, tuple(arch.key in trained for arch in archs))


def rate_jobs(asked: AtRates, study: StudyConfig, epochs: int, seeds: int) -> list[Job]:
    """All but the confirmations, each with a seed of its own: all networks at all rates with their
    first seed, then all with the next."""
    return [
        _job(arch, rate, epochs, number, study.search.seed)
        for number in range(seeds)
        for rate in learning_rates(study.training)
        for arch, searched in zip(*asked, strict=True)
        if not (searched and rate is None)
    ]


def _job(arch: ArchConfig, rate: float | None, epochs: int, number: int, study_seed: int) -> Job:
    parts = int(arch.key, 16), epochs, number, str(rate)
    seed = derived_seed("rates", study_seed, *parts)
    return Job(-1, arch, epochs, seed, RATES, learning_rate=rate)


def compared_name(arch: ArchConfig) -> str:
    """The name of a network of ``published.references``, else a short description."""
    found = reference_of(arch)
    return found.name if found else arch.describe()
