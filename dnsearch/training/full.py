"""The full training of one network, in a folder of its own, to be interrupted and continued.

That the test images can be read is made sure of before the first epoch; the network is shown them
when the last epoch is done. What is wrong with them costs the test error, not the training.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dnsearch.arch.config import ArchConfig
from dnsearch.config import DataConfig, ErrorName, StudyConfig, TrainingConfig, differences
from dnsearch.data import DeviceData, PreparedData, check_test, prepare, prepare_test
from dnsearch.errors import DataError, DnsearchError, RunError, one_line
from dnsearch.files import write_json
from dnsearch.rundir import RESULT_FILE, RunDir, environment
from dnsearch.text import counted
from dnsearch.training.device import is_out_of_memory, set_up
from dnsearch.training.initial import InitialWeights
from dnsearch.training.measured import Measured
from dnsearch.training.score import OUT_OF_MEMORY, CurvePoint, Score
from dnsearch.training.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FullTraining:
    """What is to be trained: a network, on images, by a recipe, with a seed.

    ``name`` is what the user calls the network. Its channels and classes are those of ``images``,
    which ``data`` describes. ``recipe`` has a single rung, the epochs. ``error`` is the kind that
    is measured. ``init``: the weights that it begins with, None for random ones.
    """

    name: str
    arch: ArchConfig
    data: DataConfig
    images: PreparedData
    recipe: TrainingConfig
    seed: int
    error: ErrorName = "top1"
    init: InitialWeights | None = None

    @classmethod
    def of(
        cls,
        name: str,
        arch: ArchConfig,
        study: StudyConfig,
        images: PreparedData,
        epochs: int,
        seed: int,
        init: Path | None = None,
    ) -> FullTraining:
        """The training of a network on a study's images, by its recipe stretched to these epochs,
        from random weights or those in ``init`` (see ``InitialWeights``).

        Raises ConfigError where the images are too small for the network or the recipe, or the
        classes too few for the kind of error, and CheckpointError where the weights do not fit.
        """
        channels, height, width = images.shape
        arch = arch.replace(in_channels=channels, num_classes=images.num_classes)
        arch.require_size(height, width)
        study.training.require_room(height, width)
        study.objectives.require_classes(images.num_classes)
        recipe = study.training.model_copy(update={"rungs": (epochs,)})
        weights = None if init is None else InitialWeights.read(init, arch)
        return cls(name, arch, study.data, images, recipe, seed, study.objectives.error, weights)

    @property
    def epochs(self) -> int:
        """Epochs of the whole training."""
        return self.recipe.rungs[-1]

    def packed(self) -> Packed:
        """As it travels to another process, which maps the images into its memory by itself."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "images"}
        return Packed(values, self.images.fingerprint)

    def record(self) -> dict[str, Any]:
        """All that the result depends on except the images, in values that JSON can hold."""
        init = {} if self.init is None else {"init": self.init.record()}
        return {
            "name": self.name,
            "epochs": self.epochs,
            "seed": self.seed,
            "network": self.arch.to_dict(),
            "data": self.data.model_dump(mode="json"),
            "training": self.recipe.model_dump(mode="json", exclude={"rungs"}),
            "objectives": {"error": self.error},
            **init,
        }


class Packed(NamedTuple):
    """The fields of a FullTraining but for its images, and their fingerprint."""

    values: dict[str, Any]
    fingerprint: str

    def training(self, others: str) -> FullTraining:
        """The training, with the images as they are here. Raises DataError where those are
        ``others``, which says so."""
        images = prepare(self.values["data"])
        if images.fingerprint != self.fingerprint:
            raise DataError(f"{images.name}: {others}")
        return FullTraining(images=images, **self.values)


@dataclass(frozen=True)
class Trained:
    """The result of a full training, of the averaged weights that are in the folder's checkpoint;
    ``test`` is None where there is no test error, and ``untested`` says why."""

    score: Score
    validation: Measured
    test: Measured | None
    untested: str | None = None


@dataclass(frozen=True)
class Opened:
    """A training about to start, for its display.

    devices: one a process; threads: of each. images_an_epoch: those that an epoch trains on.
    progress: epochs done, with the fraction of the present one; may be called from any thread.
    tested: whether there are test images that can be used; notes: what there is to say of them.
    """

    training: FullTraining
    devices: tuple[str, ...]
    threads: int
    images_an_epoch: int
    progress: Callable[[], float]
    tested: bool = True
    notes: tuple[str, ...] = ()


class Watch(Protocol):
    """What shows a training."""

    def opened(self, opened: Opened) -> None:
        """Called once, before the first epoch."""
        ...

    def epoch(self, point: CurvePoint) -> None:
        """Called after each epoch."""
        ...


class Silence:
    """Shows nothing."""

    def opened(self, opened: Opened) -> None:
        """Nothing."""

    def epoch(self, point: CurvePoint) -> None:
        """Nothing."""


def train_fully(
    training: FullTraining, run: RunDir, device: str, threads: int, watch: Watch
) -> Trained | str:
    """Trains to the last epoch, from the start or from the folder's checkpoint, and measures on the
    test images. Where training fails, the reason is returned.

    The caller holds the folder's lock and has called ``require_same``. Raises a DnsearchError for
    what a user can correct, and KeyboardInterrupt; calling again continues the training.
    """
    begun = begin(training, run, (device,), threads)
    return train_on(
        training, run, device, threads, lambda progress: watch.opened(begun(progress)), watch.epoch
    )


def train_on(
    training: FullTraining,
    run: RunDir,
    device: str,
    threads: int,
    opened: Callable[[Callable[[], float]], None],
    epoch: Callable[[CurvePoint], None],
    place: tuple[int, int] = (0, 1),
    accumulation_steps: int | None = None,
) -> Trained | str:
    """Trains in this process: alone, or as the one of several processes at this ``place``, which is
    its rank and their number. What was found, or why it failed.

    ``opened`` is called with the progress, as ``Opened`` has it, before the first epoch, ``epoch``
    after each. ``accumulation_steps``: as the recipe's ``micro_batch`` asks unless given. The first
    process alone is shown the test images.
    """
    set_up(device, threads)
    rank, processes = place
    try:
        data = DeviceData(training.images, device, training.data.keep)
        data = data.shared(rank, processes) if processes > 1 else data
        checkpoint = run.checkpoint(training.arch.key, training.seed)
        own = training.arch, data, training.recipe, training.seed, checkpoint, training.error
        trainer = Trainer(*own, accumulation_steps=accumulation_steps, init=training.init)
        trainer.resume(training.epochs)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return f"{OUT_OF_MEMORY} on {device} before the first image"
    steps = trainer.data.steps(training.recipe.batch_size)
    opened(lambda: trainer.averaged.steps / steps)
    score = trainer.train(training.epochs, epoch)
    if score.failure is not None:
        return score.failure
    assert trainer.measured is not None
    if rank > 0:
        return Trained(score, trainer.measured, None)
    tested = _test(training, trainer)
    if isinstance(tested, str):
        return Trained(score, trainer.measured, None, tested)
    return Trained(score, trainer.measured, tested)


def _test(training: FullTraining, trainer: Trainer) -> Measured | str:
    """The test error, or why there is none."""
    if not training.images.test_split:
        return "the data set has no test images"
    try:
        return trainer.evaluate(prepare_test(training.data))
    except DnsearchError as error:
        return str(error)
    except Exception as error:  # nothing that befalls the test may cost the training
        logger.warning("the network could not be tested", exc_info=True)
        return one_line(error)


def begin(
    training: FullTraining, run: RunDir, devices: Sequence[str], threads: int
) -> Callable[[Callable[[], float]], Opened]:
    """Writes the record, and makes sure that the test images can be read; what makes an ``Opened``
    of the progress."""
    before = processes_before(run)
    record(training, run, devices, threads)
    tests = check_test(training.data) if training.images.test_split else None
    notes = tests.notes if tests else ()
    if tests and tests.reason is not None:
        notes = (f"there will be no test error: {tests.reason}",)
    if before and before[-1] != len(devices):
        now = counted(len(devices), "process", "processes")
        notes += (f"goes on with {now}, before {before[-1]}: the same but for rounding",)
    images, batch_size = len(training.images.train), training.recipe.batch_size

    def opened(progress: Callable[[], float]) -> Opened:
        return Opened(
            training=training,
            devices=tuple(devices),
            threads=threads,
            images_an_epoch=min(max(1, images // batch_size) * batch_size, images),
            progress=progress,
            tested=tests is not None and tests.reason is None,
            notes=notes,
        )

    return opened


def record(training: FullTraining, run: RunDir, devices: Sequence[str], threads: int) -> None:
    """Writes training.json, data.json and environment.json. Raises RunError."""
    processes = processes_before(run)
    if processes[-1:] != [len(devices)]:
        processes.append(len(devices))
    write_json(run.training_file, training.record() | {"processes": processes})
    write_json(run.path / "data.json", training.images.describe())
    own = {"device_kind": _kind(devices[0]), "devices": [*devices], "threads_a_worker": threads}
    write_json(run.path / "environment.json", environment() | own)


def processes_before(run: RunDir) -> list[int]:
    """How many processes have trained what the folder holds, one after the other; empty where it
    holds no weights yet. Raises RunError."""
    if not _has_begun(run):
        return []
    return [*run.read_json(run.training_file.name).get("processes", [1])]  # older ones say nothing


def _has_begun(run: RunDir) -> bool:
    return any(run.path.glob("checkpoints/*/*.pt"))


def require_same(training: FullTraining, run: RunDir, device: str) -> None:
    """Raises RunError where the folder has a search, or another training that has begun or ended,
    whose checkpoints may have been removed since."""
    if run.is_search:
        raise RunError(f"{run.path}: holds a search; choose another --name")
    if not (_has_begun(run) or (run.path / RESULT_FILE).is_file()):
        return
    before = run.read_json(run.training_file.name)
    changed = changes(with_defaults(before), training.record())
    if changed:
        raise RunError(
            f"{run.path}: holds another training ({'; '.join(changed)}); "
            "change it back, or give this training another --name"
        )
    seen = run.read_json("data.json", "fingerprint")["fingerprint"]
    if seen != training.images.fingerprint:
        raise RunError(
            f"{run.path}: the images changed since it was trained (fingerprint {seen}, "
            f"now {training.images.fingerprint}); give this training another --name"
        )
    there, kind = run.read_json("environment.json", "device_kind")["device_kind"], _kind(device)
    if there != kind:
        raise RunError(
            f"{run.path}: was trained on {there}, and would continue on {kind}, which gives other "
            "results; set --device, or give this training another --name"
        )


def with_defaults(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of ``FullTraining.record`` with the settings that are newer than it, which had the
    effect of their defaults."""
    study = StudyConfig().model_dump(mode="json")
    newer = {
        "data": study["data"],
        "training": {name: value for name, value in study["training"].items() if name != "rungs"},
        "objectives": {"error": study["objectives"]["error"]},
    }
    return {**record, **{name: {**had, **record.get(name, {})} for name, had in newer.items()}}


def _kind(device: str) -> str:
    """``cpu`` or ``cuda``."""
    return device.partition(":")[0]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two records, as ``network.growth_rate: 8 -> 12``."""
    # None changes the result, the last but by rounding: images are told by fingerprint.
    layers = "init.reinitialised", "init.anew"  # which follow from file and network
    free = "name", "data.path", "data.keep", "init.file", *layers, "processes"
    return differences(before, now, free)
