"""Networks side by side: what they cost, the errors to expect of them, and how these differ.

Errors are compared among the runs of the same images and the same kind of error; where there are
several such groups, in the one of most networks. Of networks of one run they are drawn together. Of
those of different runs each run's draws are taken for independent: the runs share no training run,
and what either does not know of its networks tells nothing of the other's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dnsearch.analysis.candidates import Candidate
from dnsearch.analysis.comparison import Difference, difference, unpaired
from dnsearch.analysis.metrics import error_label
from dnsearch.analysis.predictions import Predictions
from dnsearch.arch.config import ArchConfig
from dnsearch.arrays import Floats
from dnsearch.config import differences
from dnsearch.cost.formula import BYTES_FP32, Cost, cost_of
from dnsearch.errors import ConfigError
from dnsearch.search.confirmed import fresh_error, fresh_runs, usual_epochs
from dnsearch.search.results import Results
from dnsearch.seeds import derived_seed
from dnsearch.text import agreeing, listed

if TYPE_CHECKING:  # its module imports torch
    from dnsearch.cost.device import Latency


class Tested(NamedTuple):
    """A measured test error (0 to 1), the mean over so many ``seeds``, after ``epochs``; ``by`` is
    the verb that measured it."""

    error: float
    seeds: int
    epochs: int
    by: str


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to compare. label: as it was typed. shape: of its images, (channels, height,
    width). results: of the run that knows it, None where none does. tested: by `dnsearch train`,
    or by an export's record. whole: whether a run was named, whose answer this is."""

    label: str
    name: str
    arch: ArchConfig
    shape: tuple[int, int, int]
    results: Results | None = None
    tested: Tested | None = None
    whole: bool = False


class PredictedError(NamedTuple):
    """A network's error (0 to 1) and where it lies with a probability of 90 %, on the
    images that were measured and on new ones; NaN where that is not known."""

    error: float
    low: float
    high: float
    new_low: float
    new_high: float


class Row(NamedTuple):
    """A network's figures; ``ratios`` by the names of costs to the first network's. difference:
    of its predicted error from that of the first network that has one, None where there is none."""

    subject: Subject
    cost: Cost
    ratios: Mapping[str, float]
    predicted: PredictedError | None
    difference: Difference | None
    tested: Tested | None


@dataclass(frozen=True)
class Compared:
    """batch_size, activation_bytes: what training memory is of. error_name: of the predicted
    errors, empty where none is compared; first: the place of the network that differences are
    from. epochs: of the training runs that the predicted errors are of, by place. notes: what is
    assumed, and why something is not compared."""

    rows: tuple[Row, ...]
    batch_size: int
    activation_bytes: int
    error_name: str
    first: int | None
    epochs: tuple[int | None, ...]
    notes: tuple[str, ...]


class Measured(NamedTuple):
    """By network: the latency of one image, and the peak of a training step in bytes, None where
    the system does not tell it. device, threads: where."""

    latencies: tuple[Latency, ...]
    peaks: tuple[int | None, ...]
    device: str
    threads: int

    def record(self, place: int) -> dict[str, Any]:
        """Of one network, for JSON."""
        latency = self.latencies[place]
        return {
            "latency_ms": latency.ms,
            "latency_spread_ms": latency.spread_ms,
            "latency_noisy": latency.unsteady,
            "peak_train_bytes": self.peaks[place],
            "device": self.device,
            "threads": self.threads,
        }


COST_NAMES = ("params", "macs", "activations", "train_bytes")


def compare_networks(subjects: Sequence[Subject]) -> Compared:
    """What networks cost and what their errors are predicted to be, against the first.

    Raises ConfigError where an image is too small for its network.
    """
    runs = distinct(subject.results for subject in subjects)
    batch_size, size, kernels = 1, BYTES_FP32, "auto"
    if runs:
        recipe = runs[0].study.training
        batch_size, kernels = recipe.at_once, recipe.kernels
        size = int(runs[0].environment.get("activation_bytes", BYTES_FP32))
    _require_sizes(subjects)
    costs = [cost_of(s.arch, *s.shape[1:], batch_size, size, kernels) for s in subjects]
    found = _Errors.of(subjects, runs)
    first = next((i for i, each in enumerate(found.predicted) if each is not None), None)
    rows = [
        Row(
            subject,
            cost,
            {n: getattr(cost, n) / getattr(costs[0], n) for n in COST_NAMES},
            found.predicted[place],
            None if first is None or place == first else found.differs(place, first),
            subject.tested or (_confirmed(subject) if subject.results else None),
        )
        for place, (subject, cost) in enumerate(zip(subjects, costs, strict=True))
    ]
    notes = [*_shapes(subjects), *found.notes]
    return Compared(
        tuple(rows), batch_size, size, found.name, first, tuple(found.epochs), tuple(notes)
    )


def _require_sizes(subjects: Sequence[Subject]) -> None:
    """Raises ConfigError, which names the network, where an image is too small for one."""
    for subject in subjects:
        try:
            subject.arch.require_size(*subject.shape[1:])
        except ConfigError as error:
            side = subject.arch.least_size
            hint = f"a larger --input, such as {subject.shape[0]}x{side}x{side}, sets that of all "
            hint += "networks"
            field = f"{subject.label}: {error.field}"
            raise ConfigError(field, error.rule, error.got, hint) from None


def distinct(results: Iterable[Results | None]) -> list[Results]:
    """Each run once, in their order."""
    return list(dict.fromkeys(each for each in results if each is not None))


def comparable(subjects: Sequence[Subject], runs: Sequence[Results]) -> list[Results]:
    """Of these runs those whose errors are compared: all of the same images and kind of error, the
    group that knows most of the subjects, of equals the first. All where none has two subjects, so
    that there is nothing to compare."""
    groups: list[list[Results]] = []
    for run in runs:
        group = next((g for g in groups if not why_not_comparable([g[0], run])), None)
        if group is None:
            groups.append(group := [])
        group.append(run)

    def known(group: list[Results]) -> int:
        return sum(subject.results in group for subject in subjects)

    most = max(groups, key=known, default=[])
    return most if known(most) > 1 else list(runs)


def _left_out(subjects: Sequence[Subject], runs: Sequence[Results]) -> list[str]:
    """Of which networks no error is compared with those of these runs, and why."""
    others = {s.label: s.results for s in subjects if s.results and s.results not in runs}
    why: dict[str, list[str]] = {}
    for label, results in others.items():
        why.setdefault(why_not_comparable([runs[0], results]), []).append(label)
    return [f"no error is compared of {listed(labels)}: {reason}" for reason, labels in why.items()]


def why_not_comparable(runs: Sequence[Results]) -> str:
    """Why errors of these runs are not compared; empty where they are."""
    prints = {run.data.get("fingerprint") for run in runs}
    if len(runs) > 1 and (len(prints) > 1 or None in prints):
        names = list(dict.fromkeys(f"{run.name} ({run.data['name']})" for run in runs))
        same = "are not known to be the same" if prints == {None} else "differ"
        return f"the images of {' and '.join(names)} {same}"
    kinds = {run.study.objectives.error for run in runs}
    if len(kinds) > 1:
        return f"the runs' errors differ in kind ({', '.join(sorted(kinds))})"
    return ""


@dataclass
class Told:
    """What a run predicts, and the networks as it describes them by that."""

    predictions: Predictions | None
    networks: Sequence[Candidate]
    split: str
    epochs: int


def told_by(runs: Sequence[Results]) -> tuple[dict[Results, Told], list[str]]:
    """What each of these comparable runs says of its networks, all on the same split; notes.

    Test errors count where all were confirmed with equally long training runs on as many test
    images, else what the searches say.
    """
    joints = [run.joint for run in runs]
    alike = {(j.epochs, j.images) if j is not None and j.confirmed else None for j in joints}
    if len(alike) == 1:  # of one run, or of runs that are confirmed alike, or none is
        split = "validation" if alike == {None} else "test"
        found = {
            run: Told(joint, run.networks, split, joint.epochs if joint else _top(run))
            for run, joint in zip(runs, joints, strict=True)
        }
        return found, []
    found = {run: Told(run.predictions, run.searched, "validation", _top(run)) for run in runs}
    return found, [
        "errors are those that the searches expect on validation images: not all runs were "
        "confirmed alike"
    ]


def _top(run: Results) -> int:
    return run.study.training.rungs[-1]


class _Errors:
    """Predicted errors of subjects, and how they differ."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        told: Mapping[Results, Told],
        name: str,
        notes: Sequence[str],
    ) -> None:
        self.subjects, self.told, self.name, self.notes = subjects, told, name, list(notes)
        self.networks = [self._network(subject) for subject in subjects]
        self.predicted = [_predicted(network) for network in self.networks]
        self.epochs = [
            None if network is None or subject.results is None else told[subject.results].epochs
            for subject, network in zip(subjects, self.networks, strict=True)
        ]
        self.draws = [self._draws(place) for place in range(len(subjects))]

    @classmethod
    def of(cls, subjects: Sequence[Subject], runs: Sequence[Results]) -> _Errors:
        """Without any where the runs cannot be compared, or there is none."""
        if not runs:
            return cls(subjects, {}, "", ())
        kept = comparable(subjects, runs)
        if why := why_not_comparable(kept):
            return cls(subjects, {}, "", (f"{why}: compared by cost alone",))
        told, notes = told_by(kept)
        notes = [*_left_out(subjects, kept), *notes]
        split = told[kept[0]].split
        found = cls(subjects, told, error_label(kept[0].study.objectives.error, split), notes)
        found.notes += found._assumed()
        return found

    def _network(self, subject: Subject) -> Candidate | None:
        if subject.results is None or subject.results not in self.told:
            return None
        known = self.told[subject.results].networks
        return next((c for c in known if c.key == subject.arch.key and c.counts), None)

    def _draws(self, place: int) -> Floats | None:
        """(s,); those of one run belong together, of different runs they do not."""
        results, network = self.subjects[place].results, self.networks[place]
        found = self.told[results].predictions if results and network else None
        if found is None or network is None or network.key not in found.place:
            return None
        order = list(self.told).index(results) if results else 0
        if order == 0:
            return found.draws[:, found.place[network.key]]
        rng = np.random.default_rng(derived_seed("comparison", order))
        # one order for a whole run, which keeps what its networks have in common
        return unpaired(found.draws, rng)[:, found.place[network.key]]

    def differs(self, place: int, first: int) -> Difference | None:
        """How much larger its error is than the first's."""
        own, other = self.predicted[place], self.predicted[first]
        if own is None or other is None:
            return None
        ours, theirs = self.draws[place], self.draws[first]
        if ours is None or theirs is None or len(ours) != len(theirs):
            return Difference(own.error - other.error)
        if self._is_same(place, first):
            return Difference(0.0, 0.0, 0.0, 0.5)
        return difference(ours, theirs)

    def _is_same(self, place: int, first: int) -> bool:
        a, b = self.subjects[place], self.subjects[first]
        return a.results is b.results and a.arch.key == b.arch.key

    def _assumed(self) -> list[str]:
        """What the reader has to know of the differences."""
        told = [
            (subject.label, subject.results)
            for subject, network in zip(self.subjects, self.networks, strict=True)
            if network is not None and subject.results is not None
        ]
        notes = []
        unknown = [
            subject.label
            for subject, error in zip(self.subjects, self.predicted, strict=True)
            if error is None and (subject.results is None or subject.results in self.told)
        ]
        if unknown:
            which = agreeing(len(unknown), "it", "them")
            notes.append(
                f"no error is predicted of {', '.join(unknown)}: no run here has trained {which} "
                "to the top rung on images of this shape"
            )
        if len({results for _, results in told}) > 1:
            notes.append(
                "differences between networks of different runs take what the runs do not know of "
                "them for independent"
            )
        for (label, ours), (other, theirs) in itertools.pairwise(told):
            recipes = [each.study.training.model_dump(mode="json") for each in (ours, theirs)]
            if changed := differences(*recipes):
                notes.append(
                    f"{label} and {other} were trained by other recipes ({'; '.join(changed)}): "
                    "the difference is also that of the recipes"
                )
        if any(
            network is not None and draws is None
            for network, draws in zip(self.networks, self.draws, strict=True)
        ):
            notes.append(
                "an error without an interval of its difference is a measured one: too few "
                "training runs to predict it, and how much a seed moves it is not known"
            )
        return notes


def _predicted(network: Candidate | None) -> PredictedError | None:
    if network is None:
        return None
    return PredictedError(
        network.predicted_error,
        network.predicted_low,
        network.predicted_high,
        network.new_low,
        network.new_high,
    )


def _confirmed(subject: Subject) -> Tested | None:
    """The mean test error of the network's confirmed seeds, None without one."""
    assert subject.results is not None
    epochs = usual_epochs(subject.results.confirmed)
    own = fresh_runs(subject.results.confirmed, epochs).get(subject.arch.key, [])
    errors = [error for error in map(fresh_error, own) if math.isfinite(error)]
    if not errors:
        return None
    return Tested(float(np.mean(errors)), len(errors), epochs, "dnsearch confirm")


def _shapes(subjects: Sequence[Subject]) -> list[str]:
    shapes = dict.fromkeys(s.shape for s in subjects)
    if len(shapes) < 2:
        return []
    return ["costs are of different inputs, each network's own; --input sets one for all"]


def adapted(arch: ArchConfig, results: Results) -> ArchConfig:
    """The architecture for a run's images and classes, as its results would know it."""
    channels = int(results.data["shape"][0])
    return arch.replace(in_channels=channels, num_classes=len(results.data["classes"]))
