"""``Results``: everything a report or an export needs to know of a run, read from its folder."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from dnsearch.analysis import picks
from dnsearch.analysis.baseline import Baseline, baseline
from dnsearch.analysis.candidates import Basis, Candidate, by_network, figures, finished
from dnsearch.analysis.choices import DesignSpace
from dnsearch.analysis.confidence import LEVEL
from dnsearch.analysis.predictions import Predictions
from dnsearch.analysis.reference import first_latency, reference_point
from dnsearch.analysis.regret import Regret
from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.arrays import Ints
from dnsearch.config import ObjectivesConfig, StudyConfig, load_study
from dnsearch.cost.formula import Cost
from dnsearch.cost.latency import GUESS
from dnsearch.rundir import RunDir
from dnsearch.search.confirmed import (
    fresh_error,
    fresh_runs,
    tested_on,
    usual_epochs,
    with_confirmed,
)
from dnsearch.search.design_space import explore
from dnsearch.search.evaluators.base import CONFIRM, RATES, SEARCH
from dnsearch.search.feasible import CostModel
from dnsearch.search.latency import PredictedLatencies, table_of_run
from dnsearch.search.predictions import draws_of_own_runs, predict_errors
from dnsearch.search.regret import Scope, look_ahead
from dnsearch.search.store import Record, StudyStore
from dnsearch.search.training_runs import candidate_of, latest
from dnsearch.seeds import derived_seed
from dnsearch.training.measured import (
    effective_images,
    least_error,
    read_confusion,
)

USUAL_NOISE = 0.05
"""Standard deviation of log error over seeds where nothing is known of it."""


class PublishedNetwork(NamedTuple):
    """A preset on a run's images."""

    name: str
    arch: ArchConfig
    cost: Cost

    @property
    def key(self) -> str:
        """Of its architecture."""
        return self.arch.key


@dataclass(frozen=True, eq=False)
class Results:
    """A run as it stands.

    typed: what it is called on the command line (``RunDir.typed``). measured: the training runs in
    the order they finished; one that went on from a lower rung is one. ``candidates`` are the same
    with the search's predicted errors, ``networks`` what answers are made of: joined over seeds,
    with the confirmation's evidence where there is any. presets: those whose stem and depth fit the
    images, trained or not. importance: by objective, the share of its variance that each dimension
    explains. data: name, classes, image shape, numbers of images a split. predict: computes
    ``predictions``, which takes seconds where many candidates were trained, so it is only called
    for whoever asks for these or for what follows from them. look_ahead: computes the regret of the
    network with this key, or tells that it is not known, in seconds likewise. explore: computes
    what each choice of the space is worth, in seconds too. confirmed: what ``dnsearch confirm``
    trained, in the order it finished, none of which is in ``measured``. at_rates: what ``dnsearch
    confirm --rates`` trained besides, of networks that the search may not know and at learning
    rates that may not be the study's, none of which is in ``confirmed``. confusion: of a candidate
    whose weights are kept, validation images by true and by predicted class, (classes, classes);
    None where it is not known. latencies: how well they are predicted; None where the study asks
    for none.
    """

    name: str
    typed: str
    study: StudyConfig
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    measured: Sequence[Candidate]
    presets: Sequence[PublishedNetwork]
    importance: Mapping[str, Mapping[str, float]]
    seconds: float
    predict: Callable[[], Predictions | None] = lambda: None
    look_ahead: Callable[[str], Regret | None] = lambda _: None
    explore: Callable[[], DesignSpace | None] = lambda: None
    confirmed: tuple[Record, ...] = ()
    at_rates: tuple[Record, ...] = ()
    confusion: Callable[[Candidate], np.ndarray | None] = lambda _: None
    latencies: PredictedLatencies | None = None

    @cached_property
    def predictions(self) -> Predictions | None:
        """What the surrogate makes of all training runs together; None while there are too few."""
        return self.predict()

    @cached_property
    def joint(self) -> Predictions | None:
        """What the search's training runs and the fresh ones say together; the search's predictions
        where nothing was confirmed, None while there are none."""
        epochs = usual_epochs(self.confirmed)
        found = {
            key: [error for error in map(fresh_error, own) if math.isfinite(error)]
            for key, own in fresh_runs(self.confirmed, epochs).items()
        }
        images = self._test_images
        before = self.predictions or self._from_own_runs()
        tests = {key: errors for key, errors in found.items() if errors}
        if not images or before is None or not any(key in before.place for key in tests):
            return self.predictions
        cost = self.study.objectives.first_known_cost
        costs = {c.key: math.log(c.figure(cost)) for c in self.measured}
        log_cost = np.array([costs[key] for key in before.keys])
        rng = np.random.default_rng(derived_seed("confirmed", self.study.search.seed))
        return with_confirmed(before, tests, log_cost, images, epochs, rng)

    @property
    def least_error(self) -> float:
        """What stands for a validation error of 0 on a logarithmic scale: half of the smallest
        error that these images can show."""
        counts = self.class_images
        images = np.array([self.validation_images]) if counts is None else counts
        return least_error(self.study.objectives.error, images)

    @property
    def _test_images(self) -> float:
        """How many images a test error is worth; 0 where there is none."""
        tests = tested_on(self.confirmed)
        if not tests.images:
            return 0.0
        return effective_images(self.study.objectives.error, tests.by_class or [tests.images])

    def _from_own_runs(self) -> Predictions | None:
        """Where the search has too few training runs for a surrogate: each network's own mean, with
        the seed noise that is usual; None where there is none."""
        runs: dict[str, list[float]] = {}
        for candidate in finished(self.measured):
            runs.setdefault(candidate.key, []).append(candidate.error)
        if not runs:
            return None
        images, epochs = self.effective_images, self.study.training.rungs[-1]
        rng = np.random.default_rng(derived_seed("own runs", self.study.search.seed))
        draws = draws_of_own_runs(runs.values(), USUAL_NOISE, images, rng)
        return Predictions(tuple(runs), draws, USUAL_NOISE, images, epochs)

    @cached_property
    def candidates(self) -> Sequence[Candidate]:
        """All training runs, the finished ones with predicted errors where there are any, by the
        search alone: what confirms it must not depend on what was confirmed so far."""
        return self._described(self.predictions)

    @cached_property
    def searched(self) -> Sequence[Candidate]:
        """``candidates`` by network."""
        return by_network(self.candidates, self.effective_images)

    @cached_property
    def networks(self) -> Sequence[Candidate]:
        """Networks by all that is known of them: the finished training runs of each as one, with
        its predicted error; the training runs that did not finish as they are."""
        return by_network(self._described(self.joint), self.effective_images)

    def _described(self, found: Predictions | None) -> Sequence[Candidate]:
        known = [each for each in finished(self.measured) if found and each.key in found.place]
        if found is None or not known:
            return self.measured
        costs = np.stack([figures(known, name) for name in self.study.objectives.costs], axis=1)
        columns = found.described([each.key for each in known], costs)
        filled = {
            each: replace(
                each, basis=found.basis, **dict(zip(columns, map(float, values), strict=True))
            )
            for each, *values in zip(known, *columns.values(), strict=True)
        }
        return [filled.get(each, each) for each in self.measured]

    @cached_property
    def search_baseline(self) -> Baseline:
        """Of a network that has learnt nothing, on the validation images."""
        return baseline(self.data, self.study.objectives.error)

    @cached_property
    def baseline(self) -> Baseline:
        """The same on the images that predicted errors are of: once some networks were confirmed,
        the test images, whose classes may be otherwise common."""
        if self.joint is None or self.joint.basis is not Basis.CONFIRMED:
            return self.search_baseline
        tested = tested_on(self.confirmed).by_class
        return baseline(self.data, self.study.objectives.error, tested)

    def baseline_of(self, network: Candidate) -> Baseline:
        """The baseline on the images that the error of this network is of."""
        return self.baseline if network.basis is Basis.CONFIRMED else self.search_baseline

    def reference(self, objectives: ObjectivesConfig | None = None) -> dict[str, float]:
        """The reference point of hypervolumes, by objective; by these objectives in place of the
        study's, if they are given."""
        study = self.study
        if objectives is not None:
            study = study.model_copy(update={"objectives": objectives})
        channels, height, width = self.data["shape"]
        classes = len(self.data["classes"])
        space = study.space.build(channels, classes)
        done = finished(self.measured)
        first = first_latency([(c.finished_after, c.latency_ms) for c in done if c.arch in space])
        shape = channels, height, width
        return reference_point(study, shape, classes, first, self.search_baseline.error)

    @cached_property
    def picks(self) -> Mapping[str, Candidate]:
        """The recommended networks by the names of ``analysis.picks.RULES``."""
        return self._recommended(self.networks, self.joint, self.baseline)

    @cached_property
    def search_picks(self) -> Mapping[str, Candidate]:
        """What the search alone would recommend."""
        return self._recommended(self.searched, self.predictions, self.search_baseline)

    def _recommended(
        self,
        networks: Sequence[Candidate],
        predictions: Predictions | None,
        least: Baseline,
    ) -> Mapping[str, Candidate]:
        objectives = self.study.objectives
        return picks.recommend(
            networks, objectives.costs, least.error, predictions, objectives.axis
        )

    def pick(self, query: str) -> Candidate:
        """The network that a user names (``analysis.picks.pick``, which says what it raises); one
        named by its key needs no predictions."""
        if picks.is_key(query):
            return picks.by_key(by_network(self.measured, self.effective_images), query)
        return picks.pick(self.networks, self.picks, self.study.objectives.costs, query)

    @property
    def archs(self) -> dict[str, ArchConfig]:
        """The architecture of each candidate, by its key."""
        return {candidate.key: candidate.arch for candidate in self.measured}

    @property
    def validation_images(self) -> int:
        """How many images errors are measured on."""
        return int(self.data["images"]["validation"])

    @property
    def class_images(self) -> Ints | None:
        """Validation images of each class, (classes,); None of runs that did not count them."""
        counts = self.data.get("class_counts", {}).get("validation")
        return None if counts is None else np.array(counts, dtype=np.int64)

    @property
    def effective_images(self) -> float:
        """How many images a validation error is worth as a share of them."""
        counts = self.class_images
        images = [self.validation_images] if counts is None else counts
        return effective_images(self.study.objectives.error, images)


def read_results(run: RunDir) -> Results:
    """The run as it stands, whether or not it is being searched at this moment.

    Raises RunError where a file of the run is missing or damaged.
    """
    study = load_study(run.study_file)
    data = run.read_json("data.json", "shape", "images", "classes")
    store = StudyStore(run, read_only=True)
    machine = run.read_json("environment.json", "activation_bytes")
    table = table_of_run(run)
    latency = None if table is None else table.model
    model = CostModel.of(study, tuple(data["shape"]), machine["activation_bytes"], latency)
    presets = _fitting_presets(model, len(data["classes"]))
    names = {arch.key: name for name, arch in presets.items()}
    kind = study.objectives.error
    measured = [
        candidate_of(record, model, data["images"], names, kind)
        for record in latest(store.records())
    ]
    scope = _scope(study, model, data)
    return Results(
        name=run.name,
        typed=run.typed,
        study=study,
        environment=machine,
        data=data,
        measured=measured,
        presets=[PublishedNetwork(n, arch, model.cost(arch)) for n, arch in presets.items()],
        importance=store.logs[SEARCH].importance(),
        seconds=store.seconds,
        predict=functools.cache(functools.partial(_predict, run, store, scope)),
        look_ahead=functools.cache(functools.partial(_look_ahead, run, study, store, scope)),
        explore=functools.cache(
            functools.partial(explore, store, scope, study.objectives.first_known_cost)
        ),
        confirmed=_in_order(store, CONFIRM),
        at_rates=_in_order(store, RATES),
        confusion=lambda each: read_confusion(run.confusion(each.key, each.seed)),
        latencies=_latencies(study, model, measured),
    )


def _latencies(
    study: StudyConfig, model: CostModel, measured: Sequence[Candidate]
) -> PredictedLatencies | None:
    """Each network by the median of its training runs."""
    if not study.measures_latency:
        return None
    runs: dict[ArchConfig, list[float]] = {}
    for each in measured:
        if math.isfinite(each.latency_ms):
            runs.setdefault(each.arch, []).append(each.latency_ms)
    ms = np.array([float(np.median(own)) for own in runs.values()])
    held_out, by_stage, begun = None, model.latency, model.latency
    if runs:
        done = model.work(ArchArrays.of([*runs]))
        held_out, by_stage = begun.held_out(done, ms), begun.given(done, ms).model
    known = by_stage if by_stage.times != GUESS else None
    return PredictedLatencies(str(begun.setting), begun.networks, held_out, known)


def _in_order(store: StudyStore, name: str) -> tuple[Record, ...]:
    """The training runs of one of the storage's studies, in the order they finished."""
    return tuple(sorted(store.log(name).records(), key=lambda record: record.finished_after))


def _predict(run: RunDir, store: StudyStore, scope: Scope) -> Predictions | None:
    told = scope.space, scope.model, scope.rungs, scope.images, scope.seed
    return predict_errors(store, *told, run.predictions_file)


def _look_ahead(
    run: RunDir, study: StudyConfig, store: StudyStore, scope: Scope, key: str
) -> Regret | None:
    probability = study.search.until.probability if study.search.until else LEVEL
    return look_ahead(store, scope, key, probability, run.regret_file)


def _scope(study: StudyConfig, model: CostModel, data: Mapping[str, Any]) -> Scope:
    space = study.space.build(data["shape"][0], len(data["classes"]))
    counts = data.get("class_counts", {}).get("validation", [data["images"]["validation"]])
    images = effective_images(study.objectives.error, counts)
    return Scope(space, model, study.training.rungs, images, study.search.seed)


def _fitting_presets(model: CostModel, classes: int) -> dict[str, ArchConfig]:
    """The presets that the images are large enough for, with their channels and classes."""
    archs = {
        name: config.replace(in_channels=model.shape[0], num_classes=classes)
        for name, config in PRESETS.items()
    }
    return {n: arch for n, arch in archs.items() if min(model.shape[1:]) >= arch.least_size}
