"""What suits the images and the limits of a study that is to be written (`dnsearch init`)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from dnsearch.config import (
    USUAL_SIDE,
    CostName,
    DataConfig,
    LimitsConfig,
    StudyConfig,
    parse_study,
    suited_batch_size,
    suited_space,
    to_toml,
)
from dnsearch.cost.formula import BYTES_FP32
from dnsearch.data.formats import Glance, glance
from dnsearch.errors import ConfigError, SpaceError
from dnsearch.search.boxes import Drawn
from dnsearch.search.feasible import CostModel, within_limits
from dnsearch.search.outset import Outset
from dnsearch.text import agreeing, counted

SIDES = (16, 32, 48, 64, 96, 128, 160, 192, 224)
"""Of images that pictures are resized to, in pixels; the last is what most networks are trained at,
and no larger pictures are left as they are."""

AFFORDABLE = 64
"""The largest of them for pictures of several sizes: what a search can afford on any machine."""

ENOUGH = 1000
"""Networks within the limits, among which a search has a choice."""

TEST_SHARE = 0.15
OF_A_CLASS, OF_EACH_CLASS = 10, 3
"""Images on average and at least, from which on some are held out as test images."""

Size = tuple[int, int]
"""Height and width."""


class Suited(NamedTuple):
    """A study, and why those keys have their value that depend on images or limits, by names such
    as ``data.image_size``; keys that are left at their default are not among them."""

    study: StudyConfig
    reasons: dict[str, str]


def suited(study: StudyConfig) -> Suited:
    """This study with space, image size, batch size, test share and costs that suit its images and
    limits; an image size that it has stays.

    Images are read and decoded as by a search. Raises a DnsearchError for whatever would keep a
    search from starting; without ``data.path`` only where no network is within the limits.
    """
    reasons: dict[str, str] = {}
    if (costs := _limited(study.limits)) != study.objectives.costs:
        reasons["objectives.costs"] = f"{agreeing(len(costs), 'it is', 'they are')} limited"
        study = _with(study, "objectives", costs=costs)
    if study.data.path is None:
        study = study.model_copy(update={"space": suited_space()})
        if study.limits != LimitsConfig():
            _networks(study, (USUAL_SIDE, USUAL_SIDE))
        return Suited(study, reasons)
    seen = glance(study.data)
    if "test" not in seen.splits and _suffices(seen.classes):
        reasons["data.test"] = "there is no test split, and `dnsearch confirm` needs one"
        study = _with(study, "data", test=TEST_SHARE)
    batch = suited_batch_size(_training_images(study.data, seen))
    if batch != study.training.batch_size:
        images = counted(int(seen.classes.sum()), "image")
        reasons["training.batch_size"] = f"the training split has only {images}"
        study = _with(study, "training", batch_size=batch)
    if study.data.image_size is None and seen.sizes:
        side, why = _image_side(seen.sizes, lambda size: _count(study, size))
        if side is not None:
            reasons["data.image_size"] = why
            study = _with(study, "data", image_size=side)
    side = study.data.image_size or min(seen.sizes[0] if seen.sizes else (USUAL_SIDE,))
    study = study.model_copy(update={"space": suited_space(side)})
    Outset.of(parse_study(to_toml(study)))  # as it will be read: keys count as set that are written
    return Suited(study, reasons)


def _with(study: StudyConfig, section: str, **values: Any) -> StudyConfig:
    return study.model_copy(update={section: getattr(study, section).model_copy(update=values)})


def _limited(limits: LimitsConfig) -> tuple[CostName, ...]:
    """The costs that have limits; macs where none has."""
    costs: tuple[CostName, ...] = get_args(CostName)
    return tuple(c for c in costs if getattr(limits, f"max_{c}") is not None) or ("macs",)


def _suffices(classes: np.ndarray) -> bool:
    """Whether these images of each class, (classes,), are enough to hold some out for testing."""
    return bool(classes.mean() >= OF_A_CLASS and classes.min() >= OF_EACH_CLASS)


def _training_images(data: DataConfig, seen: Glance) -> int:
    """How many are left, at least: of each class one more may be held out than its share."""
    total = int(seen.classes.sum())
    shares = [data.validation] * ("validation" not in seen.splits) + [data.test or 0.0]
    return total - sum(round(share * total) + len(seen.classes) for share in shares if share)


def _image_side(sizes: Sequence[Size], count: Callable[[Size], float]) -> tuple[int | None, str]:
    """What pictures of these sizes should be resized to, and why; None where they stay as they are.
    ``count``: networks within the limits for images of a size."""
    size = sizes[0]
    alike = len(set(sizes)) == 1
    if not alike:
        why = "pictures differ in size"
    elif min(size) > SIDES[-1]:
        why = f"pictures have {size[0]}x{size[1]} pixels"
    elif count(size):
        return None, ""
    else:
        why = f"no network within the limits takes pictures of {size[0]}x{size[1]} pixels"
    short = statistics.median(map(min, sizes))
    most = min(short, SIDES[-1] if alike else AFFORDABLE)
    sides = [side for side in SIDES if side <= most] or [SIDES[0]]
    counts = {side: count((side, side)) for side in sides}
    enough = [side for side, networks in counts.items() if networks >= ENOUGH]
    side = max(enough) if enough else max(sides, key=counts.__getitem__)
    if side < sides[-1]:
        return side, f"{why}, and few networks within the limits take larger ones than these"
    return side, f"{why}; more pixels may have less error and cost more"


def _count(study: StudyConfig, size: Size) -> float:
    """How many networks are within the limits for images of this size."""
    try:
        study = study.model_copy(update={"space": suited_space(min(size))})
        return _networks(study, size).count
    except (ConfigError, SpaceError):
        return 0


def _networks(study: StudyConfig, size: Size) -> Drawn:
    """The networks of the space within the limits for colour images of this size; grey ones and
    numbers of classes matter little. Raises ConfigError and SpaceError."""
    space = study.space.build(in_channels=3, num_classes=2)
    model = CostModel.of(study, (3, *size), BYTES_FP32)
    return within_limits(space, model, np.random.default_rng(study.search.seed))
