"""How a value of a study file may be written, as types that pydantic checks."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from dnsearch.arch.config import Norm, Stem
from dnsearch.arch.space import TWICE_GROWTH
from dnsearch.postgres import parse_address

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


def parse_choices_by_block(value: Any) -> tuple[Any, ...]:
    """Choices as of ``parse_choices``, or a list with such choices for each block.

    Raises ValueError naming the rule that a range breaks.
    """
    several = isinstance(value, (list, tuple)) and any(
        isinstance(each, (list, tuple, Mapping)) for each in value
    )
    if several:
        return tuple(tuple(map(parse_whole, parse_choices(each))) for each in value)
    return tuple(map(parse_whole, parse_choices(value)))


_TIMES = {
    "w": 604_800, "week": 604_800, "d": 86_400, "day": 86_400, "h": 3600, "hr": 3600, "hour": 3600,
    "m": 60, "min": 60, "minute": 60, "s": 1, "sec": 1, "second": 1, "ms": 0.001,
}  # fmt: skip
_LARGE = {"k": 3, "thousand": 3, "m": 6, "million": 6, "g": 9, "billion": 9, "t": 12}
_NUMBER = r"\d{1,3}(?:[,_]\d{3})+|\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+"
_DURATION = re.compile(rf"(?:({_NUMBER})\s*([a-z]+)[\s,]*(?:and\s)?\s*)", re.IGNORECASE)
_AMOUNT = re.compile(
    rf"({_NUMBER})\s*({'|'.join(_LARGE)}|)\s*(?:macs|params|parameters|images)?", re.IGNORECASE
)
_BYTES = re.compile(rf"({_NUMBER})\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def parse_seconds(value: Any) -> Any:
    """Seconds from a number or from text such as ``90s``, ``45 min``, ``1h30m``, ``2 days``.

    Raises ValueError on other text.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if re.fullmatch(_NUMBER, text, re.IGNORECASE):
        return _number(text)
    parts = [(number, _unit(unit)) for number, unit in _DURATION.findall(text)]
    units = [unit for _, unit in parts]
    known = all(unit in _TIMES for unit in units) and len(set(units)) == len(units)
    if not parts or not known or _DURATION.sub("", text):
        raise ValueError(
            "must be a number of seconds or text such as '90s', '45 min', '1h30m' or '2 days'"
        )
    return sum(_number(number) * _TIMES[unit] for number, unit in parts)


def _unit(word: str) -> str:
    """A unit of time in lower case and in the singular."""
    word = word.lower()
    return word if word in _TIMES else word.removesuffix("s")


def parse_milliseconds(value: Any) -> Any:
    """Milliseconds from a number or from text, which may have a unit: ``5``, ``5 ms``, ``0.1 s``.

    Raises ValueError on other text.
    """
    if not isinstance(value, str) or re.fullmatch(_NUMBER, value.strip(), re.IGNORECASE):
        return parse_seconds(value)
    try:
        return 1000 * parse_seconds(value)
    except ValueError:
        raise ValueError("must be a number of milliseconds or text such as '5 ms'") from None


def parse_amount(value: Any) -> Any:
    """A number from text such as ``500k``, ``3M``, ``1.5 G``, ``2 million`` or ``1,000,000``; whole
    where it is. Other values as they are.

    Raises ValueError on other text.
    """
    if not isinstance(value, str):
        return value
    match = _AMOUNT.fullmatch(value.strip())
    if match is None:
        raise ValueError("must be a number, which may be written such as '500k', '3M' or '1.5 G'")
    return parse_whole(_number(match[1], 10 ** _LARGE.get(match[2].lower(), 0)))


def parse_bytes(value: Any) -> Any:
    """Bytes from text such as ``512 MB`` or ``2GiB`` (1024 times 1024 times 1024 each); other
    values as they are.

    Raises ValueError on other text.
    """
    if not isinstance(value, str):
        return value
    match = _BYTES.fullmatch(value.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError("must be a number of bytes or text such as '512 MB' or '2 GiB'")
    power = "kmgt".index(match[2].lower()) + 1 if match[2] else 0
    return parse_whole(_number(match[1], (1024 if match[3] else 1000) ** power))


def parse_share(value: Any) -> Any:
    """A share from text such as ``0.05`` or ``5 %``; other values as they are.

    Raises ValueError on other text.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(rf"({_NUMBER})\s*(%?)", value.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError("must be a share such as 0.05 or '5 %'")
    return _number(match[1]) / (100 if match[2] else 1)


def _number(text: str, times: int = 1) -> float:
    """As people write it, ``1,000`` too; decimal, so that 2.3 million is a whole number. Raises
    ValueError where it is too large."""
    with contextlib.suppress(ArithmeticError):  # decimals have bounds of their own
        found = float(Decimal(text.replace(",", "").replace("_", "")) * times)
        if math.isfinite(found):
            return found
    raise ValueError("must be a finite number")


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


Address = Annotated[str, BeforeValidator(parse_address)]
Whole = Annotated[int, BeforeValidator(parse_whole)]
Count = Annotated[Whole, Field(gt=0)]
Amount = Annotated[Count, BeforeValidator(parse_amount)]
Bytes = Annotated[Count, BeforeValidator(parse_bytes)]
Seed = Annotated[Whole, Field(ge=0)]
Choices = Annotated[tuple[Whole, ...], BeforeValidator(parse_choices)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(parse_choices)]
Norms = Annotated[tuple[Norm, ...], BeforeValidator(parse_choices)]
Stems = Annotated[tuple[Stem, ...], BeforeValidator(parse_choices)]
ChoicesByBlock = Annotated[tuple[Any, ...], BeforeValidator(parse_choices_by_block)]
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
Milliseconds = Annotated[float, BeforeValidator(parse_milliseconds), Field(gt=0)]
Number = Annotated[float, BeforeValidator(parse_amount)]
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
CostName = Literal["params", "macs", "activations", "latency_ms"]
Aim = Literal["front", "least-error"]

ErrorName = Literal["top1", "balanced", "top5"]
Fit = Literal["crop", "pad", "squash"]
Keep = Literal["auto", "memory", "disk", "device"]
Crop = Literal["shift", "resized"]

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
