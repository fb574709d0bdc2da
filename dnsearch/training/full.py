"""The full training of one network, in a folder of its own that an interruption leaves in order.

The test images are opened here, once the last epoch is done, and by nothing in a search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from dnsearch.arch.config import ArchConfig
from dnsearch.config import DataConfig, StudyConfig, TrainingConfig, differences
from dnsearch.data import DeviceData, PreparedData, prepare_test
from dnsearch.errors import RunError
from dnsearch.rundir import RunDir, environment, write_json
from dnsearch.training.device import is_out_of_memory, set_up
from dnsearch.training.score import CurvePoint, Score
from dnsearch.training.trainer import Trainer


@dataclass(frozen=True)
class FullTraining:
    """What is trained. ``name``: what its user calls the network, whose channels and classes are
    those of ``images``. ``recipe`` has one rung, the epochs."""

    name: str
    arch: ArchConfig
    data: DataConfig
    images: PreparedData
    recipe: TrainingConfig
    seed: int

    @classmethod
    def of(
        cls,
        name: str,
        arch: ArchConfig,
        study: StudyConfig,
        images: PreparedData,
        epochs: int,
        seed: int,
    ) -> FullTraining:
        """Trains a network by a study's recipe, stretched to these epochs, on its images.

        Raises ConfigError where the images are too small for the network or the recipe.
        """
        channels, height, width = images.shape
        arch = arch.replace(in_channels=channels, num_classes=images.num_classes)
        arch.require_size(height, width)
        study.training.require_room(height, width)
        recipe = study.training.model_copy(update={"rungs": (epochs,)})
        return cls(name, arch, study.data, images, recipe, seed)

    @property
    def epochs(self) -> int:
        return self.recipe.rungs[-1]

    def record(self) -> dict[str, Any]:
        """All that decides what comes out, in values that JSON can hold; the images themselves are
        told by their fingerprint."""
        return {
            "name": self.name,
            "epochs": self.epochs,
            "seed": self.seed,
            "network": self.arch.to_dict(),
            "data": self.data.model_dump(mode="json"),
            "training": self.recipe.model_dump(mode="json", exclude={"rungs"}),
        }


class Measured(NamedTuple):
    """Error (0 to 1) and mean cross-entropy (nats) on so many images."""

    error: float
    loss: float
    images: int


@dataclass(frozen=True)
class Trained:
    """What came out at the end, of the averaged weights in the folder's checkpoint; ``test`` is
    None where the data set has no test images."""

    score: Score
    validation: Measured
    test: Measured | None


@dataclass(frozen=True)
class Opened:
    """A training ready to go, for whoever shows it.

    progress: epochs done, with the share of the one under way; from any thread.
    """

    training: FullTraining
    device: str
    threads: int
    images_an_epoch: int
    progress: Callable[[], float]


class Watch(Protocol):
    def opened(self, opened: Opened) -> None: ...

    def epoch(self, point: CurvePoint) -> None: ...


def train_fully(
    training: FullTraining, run: RunDir, device: str, threads: int, watch: Watch
) -> Trained | str:
    """Trains, or goes on training, to the last epoch; a text says why that cannot be.

    The folder's lock is held, and ``require_same`` was content. Raises a DnsearchError for what a
    user can mend, and KeyboardInterrupt, after which a call with the same arguments goes on.
    """
    record(training, run, device, threads)
    set_up(device, threads)
    try:
        data = DeviceData(training.images, device)
        checkpoint = run.checkpoint(training.arch.key, training.seed)
        trainer = Trainer(training.arch, data, training.recipe, training.seed, checkpoint)
        trainer.resume(training.epochs)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return f"out of memory on {device} before the first image"
    watch.opened(_opened(training, trainer, threads))
    score = trainer.train(training.epochs, watch.epoch)
    if score.failure is not None:
        return score.failure
    assert score.error is not None
    assert score.loss is not None
    return Trained(
        score=score,
        validation=Measured(score.error, score.loss, len(training.images.validation)),
        test=_test(training, trainer) if training.images.test_split else None,
    )


def _test(training: FullTraining, trainer: Trainer) -> Measured:
    images = prepare_test(training.data)
    return Measured(*trainer.evaluate(images), len(images))


def _opened(training: FullTraining, trainer: Trainer, threads: int) -> Opened:
    batch_size = training.recipe.batch_size
    steps = trainer.data.steps(batch_size)
    return Opened(
        training=training,
        device=str(trainer.device),
        threads=threads,
        images_an_epoch=min(steps * batch_size, len(training.images.train)),
        progress=lambda: trainer.averaged.steps / steps,
    )


def record(training: FullTraining, run: RunDir, device: str, threads: int) -> None:
    """Writes what is trained, on what, and where."""
    write_json(run.training_file, training.record())
    write_json(run.path / "data.json", training.images.describe())
    machine = {"device_kind": _kind(device), "devices": [device], "threads_a_worker": threads}
    write_json(run.path / "environment.json", environment() | machine)


def require_same(training: FullTraining, run: RunDir, device: str) -> None:
    """Raises RunError where the folder holds anything that this training would not go with."""
    if run.database.is_file():
        raise RunError(f"{run.path}: holds a search; choose another --name")
    if not any(run.path.glob("checkpoints/*/*.pt")):
        return  # nothing was found yet that could differ
    before = run.read_json(run.training_file.name)
    changed = changes(before, training.record())
    if changed:
        raise RunError(
            f"{run.path}: was trained otherwise ({'; '.join(changed)}); "
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
            f"{run.path}: was trained on {there}, and this would go on with {kind}, which gives "
            "other figures; set --device, or give this training another --name"
        )


def _kind(device: str) -> str:
    """``cpu`` or ``cuda``."""
    return device.partition(":")[0]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two records, as ``network.growth_rate: 8 -> 12``."""
    free = ("name", "data.path")  # the first says nothing, of the second the fingerprint does
    return differences(before, now, free)
