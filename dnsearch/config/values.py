"""How a value of a study file may be written, as types that pydantic checks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from dnsearch.arch.config import Norm
from dnsearch.arch.space import TWICE_GROWTH

MOST_CHOICES = 10_000
"""The most choices of one dimension: a longer range is a typing error."""


AUTO_RUNGS = ()
"""Stands for rungs that are to be sized once the images are known."""


def parse_choices(value: Any) -> tuple[Any, ...]:
    """Choices from a list, one value, or a range ``{min, max, step}`` that includes both ends.

    Raises ValueError naming the rule that a range breaks.
    """
    if isinstance(value, Mapping):
        if not {"min", "max"} <= set(value) <= {"min", "max", "step"}:
            raise ValueError("must be a list, or a range {min = .., max = .., step = ..}")
        low, high, step = map(parse_whole, (value["min"], value["max"], value.get("step", 1)))
        if any(isinstance(v, bool) or not isinstance(v, int) for v in (low, high, step)):
            raise ValueError("must have whole numbers as min, max and step")
        if step < 1 or high < low:
            raise ValueError("must have min <= max and step >= 1")
        if (high - low) // step >= MOST_CHOICES:
            raise ValueError(f"must offer at most {MOST_CHOICES:,} choices")
        return tuple(range(low, high + 1, step))
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return (value,)


def parse_seconds(value: Any) -> Any:
    """Seconds from a number or from text such as ``90s``, ``45m``, ``1h30m``, ``2d``.

    Raises ValueError on other text.
    """
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    parts = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", value.replace(" ", ""))
    if not value.strip() or parts is None:
        raise ValueError("must be a number of seconds or text such as '90s', '45m' or '1h30m'")
    units = (86400, 3600, 60, 1)
    return sum(unit * int(n) for unit, n in zip(units, parts.groups(), strict=True) if n)


def parse_whole(value: Any) -> Any:
    """A whole number from one written as a float, such as ``50e6``; other values as they are."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def parse_init_features(value: Any) -> Any:
    """A whole number, or the paper's ``2x growth``. Raises ValueError on anything else."""
    whole = parse_whole(value)
    if value == TWICE_GROWTH or (isinstance(whole, int) and not isinstance(whole, bool)):
        return whole
    raise ValueError(f"must be a whole number or {TWICE_GROWTH!r}")


def parse_design(value: Any) -> Any:
    """A known design, by name or as a table; ``StudyConfig.start_configs`` checks what is in it.

    Raises ValueError on anything else.
    """
    if isinstance(value, (str, dict)):
        return value
    raise ValueError("must be a preset's name or a table such as {growth_rate = 12}")


def parse_rungs(value: Any) -> Any:
    """Epochs of rungs, a list; ``auto`` becomes ``AUTO_RUNGS``.

    Raises ValueError on an empty list and on other text.
    """
    if value == "auto":
        return AUTO_RUNGS
    if value == []:
        raise ValueError("must not be empty")
    if isinstance(value, str):
        raise ValueError("must be a list of epochs, or auto")
    return value


def _write_rungs(rungs: tuple[int, ...]) -> list[int] | str:
    return list(rungs) or "auto"


def parse_colour(value: Any) -> Any:
    """A colour as CSS writes it. Raises ValueError on anything else."""
    from PIL import ImageColor

    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            ImageColor.getrgb(value)
            return value
    raise ValueError("must be a colour such as 'white' or '#808080'")


def parse_device(value: Any) -> Any:
    """A device's name; whether this machine has it is checked when a search starts.

    Raises ValueError where it cannot be one.
    """
    if isinstance(value, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        return value
    raise ValueError("must be auto, cpu, cuda or cuda:N")


Whole = Annotated[int, BeforeValidator(parse_whole)]
Count = Annotated[Whole, Field(gt=0)]
Seed = Annotated[Whole, Field(ge=0)]
Choices = Annotated[tuple[Whole, ...], BeforeValidator(parse_choices)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(parse_choices)]
Norms = Annotated[tuple[Norm, ...], BeforeValidator(parse_choices)]
InitFeatures = Annotated[
    tuple[Annotated[int | str, BeforeValidator(parse_init_features)], ...],
    BeforeValidator(parse_choices),
]
Design = Annotated[str | dict[str, Any], BeforeValidator(parse_design)]
Rungs = Annotated[
    tuple[Count, ...],
    Field(strict=False),
    BeforeValidator(parse_rungs),
    PlainSerializer(_write_rungs),
]
Colour = Annotated[str, BeforeValidator(parse_colour)]
Device = Annotated[str, BeforeValidator(parse_device)]
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
CostName = Literal["params", "macs", "activations", "latency_ms"]
ErrorName = Literal["top1", "balanced", "top5"]

Format = Literal[
    "fashion-mnist-16k",
    "mnist",
    "fashion-mnist",
    "cifar10",
    "cifar100",
    "parquet",
    "folder",
    "npz",
]
