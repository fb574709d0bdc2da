"""What can be known of a study before anything is trained, and what is doubtful about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from dnsearch.analysis.baseline import Baseline, baseline
from dnsearch.analysis.metrics import duration, format_value
from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.config import AUTO_RUNGS, AUTO_STEPS, CIFAR_SIDE, StudyConfig, TrainingConfig
from dnsearch.cost.formula import Cost
from dnsearch.cost.memory import predicted_peak_bytes
from dnsearch.data import LabelledImages, SplitCheck, check_test, has_test
from dnsearch.search.latency import latency_setting
from dnsearch.search.outset import Outset
from dnsearch.text import agreeing, counted, listed
from dnsearch.training.measured import binomial_standard_error, effective_images

SHOWN_AT = 0.2
"""The error at which the smallest difference is told that the validation images can show."""

LEAST_DIFFERENCE = 0.05
"""Beyond this a validation split is too small to tell most networks apart."""

FEW_IMAGES = 10
"""Training images of a class; with fewer it can hardly be learnt."""

SHORT = 30
"""Epochs; those who proposed the stronger augmentation trained with it for 90 and more."""

STRONGER = "crop", "jitter", "mixup", "cutmix"
"""Settings of ``[training]`` that short trainings do not last for."""

RARE = 0.5
"""Of the error of guessing; a baseline below this share of it is easily taken for a result."""

MOST_VALIDATING = 0.25
"""Of the time of an epoch; beyond it fewer validation images are advised."""


@dataclass(frozen=True)
class Point:
    """An architecture of the space, its cost, and how long its training to the top rung takes here
    by itself, in seconds; None where it was not timed, as memory did not suffice."""

    arch: ArchConfig
    cost: Cost
    seconds: float | None


@dataclass(frozen=True)
class Check:
    """All that is known before training.

    test: what was found in the test split; None where there is none. steps: of each rung, with its
    epochs. difference: the smallest difference of error that the validation images show, two
    standard errors of a difference at an error of ``SHOWN_AT``. seconds: from and to how long all
    trials of the study should take; mean_seconds: a training of mean cost by itself; None where
    training could not be timed. latency_ms: of the cheapest network; None without a limit on it.
    memory: of the first worker's device, bytes. warnings: what to change.
    """

    outset: Outset
    test: SplitCheck | None
    baseline: Baseline
    steps: dict[int, int]
    difference: float
    cheapest: Point
    dearest: Point
    seconds: tuple[float, float] | None
    mean_seconds: float | None
    latency_ms: float | None
    memory: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


Timer = Callable[[Outset, ArchConfig], float | None]
"""Seconds that a training step of an architecture takes; None where memory does not suffice."""


def time_steps(outset: Outset, arch: ArchConfig) -> float | None:
    """Trains an architecture for about a second on the device of the first worker."""
    from dnsearch.training.pace import seconds_a_step

    plan = outset.plan
    recipe = outset.study.training
    data, keep = outset.data, outset.kept.of_workers
    return seconds_a_step(arch, data, recipe, plan.devices[0], plan.threads, keep)


def memory_of(device: str) -> int:
    """Memory of a device in all, bytes."""
    from dnsearch.cost.device import device_memory

    return device_memory(device)


def latency_of(outset: Outset, arch: ArchConfig) -> float:
    """Milliseconds of a forward pass of an architecture, as the first worker would measure it."""
    from dnsearch.cost.device import latencies_of

    study, plan = outset.study, outset.plan
    setting, most_ms = latency_setting(study, plan), study.limits.max_latency_ms
    shape, device = outset.data.shape, plan.devices[0]
    (found,) = latencies_of([arch], shape, setting, device, most_ms)
    return found.ms


def check(
    study: StudyConfig,
    timer: Timer = time_steps,
    memory: Callable[[str], int] = memory_of,
    latency: Callable[[Outset, ArchConfig], float] = latency_of,
) -> Check:
    """Reads all splits, costs the whole space, and times two of its networks for about a second;
    where latency has a limit, it measures that of the cheapest.

    Raises a DnsearchError for what would keep ``search`` from starting.
    """
    outset = Outset.of(study)
    kept = outset.kept
    notes = outset.plan.compile_kernels(outset.study.training)
    study, data = outset.study, outset.data
    test = check_test(study.data) if has_test(study.data) else None
    known = data.notes
    if test is not None and test.reason is not None:  # a warning says it
        known = tuple(note for note in known if test.reason not in note)
    elif test is not None:
        known = tuple(dict.fromkeys((*known, *test.notes)))
    engine = study.cluster.engine
    where = () if engine == "local" else (f"devices and times are this machine's, not of {engine}",)
    each = max(1, len(data.train) // study.training.batch_size)
    kind = study.objectives.error
    shown = effective_images(kind, data.class_counts["validation"])
    spread = float(binomial_standard_error(SHOWN_AT, round(shown)))
    macs = outset.costs.macs
    order = np.argsort(macs, kind="stable")
    ends = [int(order[0]), int(order[-1])]
    middle = int(np.abs(macs - macs.mean()).argmin())
    epochs = study.training.rungs[-1]
    length = epochs * (each + len(data.validation) / study.training.batch_size / 3)
    seconds = _by_macs(outset, timer, ends[0], middle, length)
    points = [
        Point(outset.points.config(i), outset.costs[i], seconds(macs[i]) if seconds else None)
        for i in ends
    ]
    found = Check(
        outset=outset,
        test=test,
        baseline=baseline(data.describe(), kind),
        steps={rung: rung * each for rung in study.training.rungs},
        difference=2 * math.sqrt(2) * spread,
        cheapest=points[0],
        dearest=points[1],
        seconds=_whole_study(outset, seconds) if seconds else None,
        mean_seconds=seconds(macs.mean()) if seconds else None,
        latency_ms=latency(outset, points[0].arch) if study.limits.max_latency_ms else None,
        memory=memory(outset.plan.devices[0]),
        notes=(
            *where,
            *known,
            *outset.plan.notes(),
            *notes,
            *outset.latency_notes(),
            *kept.notes(),
        ),
        warnings=(),
    )
    return replace(found, warnings=tuple(_warnings(found)))


def _by_macs(
    outset: Outset, timer: Timer, cheapest: int, middle: int, steps: float
) -> Callable[[float], float] | None:
    """Seconds of a training of so many steps by its network's MACs: a straight line through the
    cheapest network and one of mean cost, which are timed; a third of a step for as many images
    that are only evaluated is in ``steps``."""
    low = timer(outset, outset.points.config(cheapest))
    if low is None:
        return None
    x, dx = outset.costs.macs[cheapest], outset.costs.macs[middle] - outset.costs.macs[cheapest]
    high = timer(outset, outset.points.config(middle)) if dx else low
    if high is None:
        return None
    slope = max(0.0, high - low) / dx if dx else 0.0
    return lambda macs: float(steps * (low + slope * (macs - x)))


def _whole_study(outset: Outset, seconds: Callable[[float], float]) -> tuple[float, float]:
    """From all trials at the cheapest network's cost to all at the space's mean, at the top rung,
    divided among workers; both at most ``search.time``."""
    search, macs = outset.study.search, outset.costs.macs
    rounds = math.ceil(search.trials / len(outset.plan.devices))
    ends = rounds * seconds(macs.min()), rounds * seconds(macs.mean())
    most = search.time or math.inf
    return min(ends[0], most), min(ends[1], most)


def _warnings(found: Check) -> Iterator[str]:
    yield from _on_training(found)
    yield from _on_images(found)
    yield from _on_test(found)
    yield from _on_space(found)


def _on_training(found: Check) -> Iterator[str]:
    study, train = found.outset.study, found.outset.data.counts["train"]
    top, steps = list(found.steps.items())[-1]
    if steps < AUTO_STEPS:
        open_ended = study.training.model_copy(update={"rungs": AUTO_RUNGS})
        rungs = list(open_ended.sized(train).rungs)
        yield (
            f"{counted(top, 'epoch')} {agreeing(top, 'is', 'are')} {counted(steps, 'step')} of "
            f"training, too few to rank networks by; set training.rungs = {rungs} or a smaller "
            "training.batch_size"
        )
    plain = TrainingConfig()
    strong = [name for name in STRONGER if getattr(study.training, name) != getattr(plain, name)]
    if strong and top < SHORT:
        what = listed([f"training.{name}" for name in strong])
        yield (
            f"{what} {agreeing(len(strong), 'is', 'are')} for long trainings, and one of "
            f"{counted(top, 'epoch')} may rank networks worse so; leave them off here, and set "
            "them in a study for `dnsearch train`"
        )
    if study.training.batch_size > train:
        yield (
            f"every step takes all {train:,} training images, as a batch would be "
            f"{study.training.batch_size}; set training.batch_size"
        )
    slowest = found.dearest.seconds
    if slowest and slowest > study.search.timeout:
        yield (
            f"the largest network trains for about {duration(slowest)}, longer than search.timeout "
            f"({duration(study.search.timeout)}), and would fail; raise it, or set limits.max_macs"
        )
    taken, sharing = _memory_taken(found), _sharing(found)
    if taken * sharing > found.memory:
        yield (
            f"the largest network takes {format_value('train_bytes', taken)} to train, more than "
            f"{agreeing(sharing, 'there is', 'each of the workers has')} here; set "
            "limits.max_train_bytes, search.workers or training.micro_batch"
        )


def _memory_taken(found: Check) -> int:
    """Bytes that a training of the largest network takes: at its peak where that can be predicted,
    else what is kept for the backward pass."""
    arch, recipe = found.dearest.arch, found.outset.study.training
    by_cpp = recipe.kernels in ("auto", "cpu") and recipe.precision != "bf16"
    if by_cpp and found.outset.plan.kind == "cpu" and arch.norm == "batch" and not arch.drop_rate:
        size, batch = found.outset.data.shape[1:], recipe.at_once
        return int(predicted_peak_bytes(ArchArrays.of([arch]), *size, batch)[0])
    return found.dearest.cost.train_bytes


def _sharing(found: Check) -> int:
    """How many workers share the memory of the first one's device."""
    devices = found.outset.plan.devices
    return devices.count(devices[0])


def _on_images(found: Check) -> Iterator[str]:
    data, study = found.outset.data, found.outset.study
    if found.difference > LEAST_DIFFERENCE:
        yield (
            f"{data.counts['validation']:,} validation images cannot show differences of error "
            f"below {100 * found.difference:.1f} points; set a larger data.validation, or give "
            "more images"
        )
    yield from _on_validating(found)
    counts = data.class_counts["train"]
    few = [name for name, count in zip(data.classes, counts, strict=True) if count < FEW_IMAGES]
    if few:
        shown = ", ".join(few[:5]) + ", ..." * (len(few) > 5)
        yield (
            f"{counted(len(few), 'class', 'classes')} {agreeing(len(few), 'has', 'have')} fewer "
            f"than {FEW_IMAGES} training images: {shown}"
        )
    if found.baseline.error < RARE * (1 - 1 / data.num_classes):
        yield (
            f"an error of {100 * found.baseline.error:.1f} % is that of {found.baseline.words}; "
            'objectives.error = "balanced" counts all classes alike'
        )
    channels, height, width = data.shape
    if "cifar" in study.space.stem and min(height, width) > CIFAR_SIDE:
        yield (
            f"images of {height}x{width} pixels are trained on at full size by the cifar stem; set "
            'space.stem = ["imagenet", "patch4"], or data.image_size'
        )
    if channels == 3 and is_grey(data.train):
        yield "all images are grey, but stored in colour; store them as grey to save time"


def _on_validating(found: Check) -> Iterator[str]:
    """An image that is only evaluated takes a third of the time of one that is trained on."""
    counts = found.outset.data.counts
    train, held = counts["train"], counts["validation"]
    share = held / (held + 3 * train)
    if share <= MOST_VALIDATING:
        return
    enough = int(3 * train * MOST_VALIDATING / (1 - MOST_VALIDATING))
    enough = max(enough, found.outset.data.num_classes)
    difference = found.difference * math.sqrt(held / enough)
    yield (
        f"validating on {held:,} images takes {100 * share:.0f} % of each epoch's time; with "
        f"data.validation_images = {enough} it takes {100 * MOST_VALIDATING:.0f} % and "
        f"detects differences of error of {100 * difference:.1f} points or more"
    )


def is_grey(data: LabelledImages) -> bool:
    """Whether all three channels of all images are the same."""
    return all((part[:, :1] == part[:, 1:]).all() for part in data.chunks())


def _on_test(found: Check) -> Iterator[str]:
    if found.test is None:
        yield (
            "there are no test images, so `dnsearch confirm` cannot say how far to trust the "
            "answer; set data.test = 0.15, or give a test split"
        )
    elif found.test.reason is not None:
        yield f"the test split cannot be used: {found.test.reason}"


def _on_space(found: Check) -> Iterator[str]:
    outset, search = found.outset, found.outset.study.search
    if len(outset.points) < search.trials and search.replicates == 1:
        yield (
            f"there are only {counted(len(outset.points), 'network')} within the limits, for "
            f"{counted(search.trials, 'trial')}; offer more choices in [space] or raise [limits]"
        )
    most_ms = outset.study.limits.max_latency_ms
    if most_ms and found.latency_ms and found.latency_ms > most_ms:
        yield (
            f"the smallest network takes {format_value('latency_ms', found.latency_ms)} here, more "
            f"than limits.max_latency_ms = {most_ms:g}; raise it, offer smaller choices in "
            "[space], or check again if the machine was busy"
        )
    if search.time and found.mean_seconds and found.mean_seconds > search.time:
        yield (
            f"a training of mean cost takes about {duration(found.mean_seconds)}, longer than "
            f"search.time ({duration(search.time)})"
        )
