"""The full training of one network, with its result and an export of it in its own folder.

training.json       the network, the data set and the recipe
result.json         errors, costs and curve; written last, so its presence means that all is done
confusion-test.npy, confusion-validation.npy
                    images by true and by predicted class, (classes, classes)
network/            the network, as ``dnsearch export`` writes one
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dnsearch.analysis.baseline import Baseline, baseline
from dnsearch.analysis.metrics import METRICS, error_label, format_error, format_value
from dnsearch.config import ErrorName
from dnsearch.cost.formula import cost_of
from dnsearch.data import check_test
from dnsearch.export.bundle import scored_network, write_bundle
from dnsearch.export.card import Card, ClassErrors, error_text
from dnsearch.files import write_json
from dnsearch.rundir import NETWORK_FOLDER, RESULT_FILE, RunDir
from dnsearch.text import counted
from dnsearch.training.distributed import train_together
from dnsearch.training.full import (
    FullTraining,
    Trained,
    Watch,
    processes_before,
    require_same,
    train_fully,
)
from dnsearch.training.measured import Measured, write_confusion

COSTS = ("macs", "params", "activations")


@dataclass(frozen=True)
class Result:
    """The end of a training: the values of result.json, or the reason why it failed.

    again: the training was complete already, and nothing was done.
    """

    values: dict[str, Any]
    failure: str | None = None
    again: bool = False


def train_network(
    training: FullTraining, run: RunDir, devices: Sequence[str], threads: int, watch: Watch
) -> Result:
    """Trains a network to the end, measures it on the test images and exports it.

    Each of the devices has its part of every batch, and so many CPU threads. Raises a DnsearchError
    for what a user can correct, and KeyboardInterrupt; a call with the same arguments continues the
    training.
    """
    with run.lock():
        return train_locked(training, run, devices, threads, watch)


def train_locked(
    training: FullTraining, run: RunDir, devices: Sequence[str], threads: int, watch: Watch
) -> Result:
    """The same for who holds the folder's lock, or trains for who does."""
    require_same(training, run, devices[0])
    if (run.path / RESULT_FILE).is_file() and (run.path / NETWORK_FOLDER).is_dir():
        values = run.read_json(RESULT_FILE, "validation", "test", "cost")
        if values["test"] is not None or not _can_test(training):
            return Result(values, again=True)
    if len(devices) == 1:
        trained = train_fully(training, run, devices[0], threads, watch)
    else:
        trained = train_together(training, run, devices, threads, watch)
    if isinstance(trained, str):
        return Result({}, failure=trained)
    values = _values(training, trained, run)
    for name, found in (("validation", trained.validation), ("test", trained.test)):
        if found is not None:
            write_confusion(found, run.path / f"confusion-{name}.npy")
    _export(training, run, values)
    write_json(run.path / RESULT_FILE, values)
    return Result(values)


def _can_test(training: FullTraining) -> bool:
    """Whether there are test images that can be used, of a training that had none."""
    return training.images.test_split and check_test(training.data).reason is None


def figures(values: dict[str, Any]) -> dict[str, str]:
    """The errors and costs in a result as text, by name; the test error first, if there is one."""
    found = {}
    for name, label in error_labels(values).items():
        if (held := values[name]) is not None:
            found[label] = format_error(held["error"], held["standard_error"])
    return found | {METRICS[n].label: format_value(n, values["cost"][n]) for n in COSTS}


def error_labels(values: dict[str, Any]) -> dict[str, str]:
    """What the errors in a result are called, by ``test`` and ``validation``."""
    return {images: error_label(_kind(values), images) for images in ("test", "validation")}


def baseline_of(values: dict[str, Any]) -> Baseline:
    """That of a network that has learnt nothing, on the test images where a result has their
    error, else on the validation images."""
    held = values["test"] or values["validation"]
    return baseline(values["images"], _kind(values), held.get("class_images"))


def _kind(values: dict[str, Any]) -> ErrorName:
    return values.get("objectives", {}).get("error", "top1")  # missing in older results


def _values(training: FullTraining, trained: Trained, run: RunDir) -> dict[str, Any]:
    score = trained.score
    _, height, width = training.images.shape
    cost = asdict(cost_of(training.arch, height, width, training.recipe.at_once))
    return {
        "key": training.arch.key,
        **training.record(),
        "processes": processes_before(run),
        "cost": cost,
        "test": _held(trained.test),
        "untested": trained.untested,
        "validation": _held(trained.validation),
        "train_loss": score.train_loss,
        "seconds": score.seconds,
        "images_per_second": score.images_per_second,
        "accumulation_steps": score.accumulation_steps,
        "curve": [asdict(point) for point in score.curve],
        "images": training.images.describe(),
        "environment": run.read_json("environment.json"),
    }


def _held(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    return {
        "error": measured.error,
        "standard_error": measured.error_se,
        "top1_error": measured.top1_error,
        "loss": measured.loss,
        "images": measured.images,
        "class_errors": measured.class_errors,
        "class_images": measured.class_images,
    }


def _export(training: FullTraining, run: RunDir, values: dict[str, Any]) -> None:
    to: Path = run.path / NETWORK_FOLDER
    shutil.rmtree(to, ignore_errors=True)  # left by a session that ended before it wrote its result
    model = scored_network(training.arch, run.checkpoint(training.arch.key, training.seed))
    card = _card(training, values)
    write_bundle(to, model, card.images, card.text())


def _card(training: FullTraining, values: dict[str, Any]) -> Card:
    data = values["images"]
    tested = "The network was shown the test images once, when the training was complete."
    return Card(
        title=training.name,
        intro=f"A DenseNet trained by dnsearch for {counted(training.epochs, 'epoch')} on "
        f"{data['images']['train']:,} images of {data['name']} (architecture "
        f"`{training.arch.key}`, seed {training.seed}).",
        figures=_figures(training, values),
        remark=f"Errors are those of the averaged weights. {tested if values['test'] else ''}",
        classes=_class_errors(values),
        data=data,
        source=training.data,
        recipe=training.recipe,
        epochs=training.epochs,
        seed=training.seed,
        unchecked=_unchecked(values),
        init=training.init and f"{training.init.file} (SHA-256 {training.init.sha256})",
    )


def _figures(training: FullTraining, values: dict[str, Any]) -> list[tuple[str, str]]:
    least = baseline_of(values)
    errors = [
        (label, error_text(training.error, held["error"], _images(held), name))
        for name, label in error_labels(values).items()
        if (held := values[name]) is not None
    ]
    costs = [(METRICS[n].label, format_value(n, values["cost"][n])) for n in COSTS]
    return [*errors, (least.words, format_value("error", least.error)), *costs]


def _images(held: dict[str, Any]) -> list[int]:
    """Images of each class, or in all where they were not counted."""
    return held["class_images"] or [held["images"]]


def _class_errors(values: dict[str, Any]) -> ClassErrors | None:
    name = "validation" if values["test"] is None else "test"
    held = values[name]
    if held is None or held["class_errors"] is None:
        return None
    return ClassErrors(name, held["class_errors"], held["class_images"])


def _unchecked(values: dict[str, Any]) -> list[str]:
    seeds = "Other seeds: another training run has another error."
    if values["test"] is not None:
        return [seeds]
    return [f"There is no test error: {values['untested']}.", seeds]
