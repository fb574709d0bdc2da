"""``study.toml`` -> ``StudyConfig``, validated once at the door; nothing else reads TOML.

Every key has a default, and every description here is what ``dnsearch init`` writes beside it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dnsearch.arch.config import ArchConfig, Norm, Stem
from dnsearch.arch.presets import PRESETS
from dnsearch.arch.space import TWICE_GROWTH, SearchSpace
from dnsearch.errors import ConfigError, nearest

MOST_CHOICES = 10_000
"""Of one dimension: a longer range is a slip of the keyboard."""


def parse_choices(value: Any) -> tuple[Any, ...]:
    """Choices as written: a list, one value, or a range ``{min, max, step}``, ends included."""
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
    """Seconds from a number or from text such as ``90s``, ``45m``, ``1h30m``, ``2d``."""
    if not isinstance(value, str):
        return value
    parts = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", value.replace(" ", ""))
    if not value.strip() or parts is None:
        raise ValueError("must be a number of seconds or text such as '90s', '45m' or '1h30m'")
    units = (86400, 3600, 60, 1)
    return sum(unit * int(n) for unit, n in zip(units, parts.groups(), strict=True) if n)


def parse_whole(value: Any) -> Any:
    """A whole number, also as ``50e6``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def parse_init_features(value: Any) -> Any:
    """A whole number or the paper's ``2x growth``."""
    whole = parse_whole(value)
    if value == TWICE_GROWTH or (isinstance(whole, int) and not isinstance(whole, bool)):
        return whole
    raise ValueError(f"must be a whole number or {TWICE_GROWTH!r}")


def parse_design(value: Any) -> Any:
    """A known design: what is in it is checked by ``StudyConfig.start_configs``."""
    if isinstance(value, (str, dict)):
        return value
    raise ValueError("must be a preset's name or a table such as {growth_rate = 12}")


def parse_device(value: Any) -> Any:
    """A device's name; whether it is there is found when a search starts."""
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
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
CostName = Literal["params", "macs", "activations", "latency_ms"]

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


class Section(BaseModel):
    """A table of the study file: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Images and their split. The test split is never read by a search."""

    format: Format = Field(
        default="fashion-mnist-16k",
        description="fashion-mnist-16k (shipped), mnist, fashion-mnist, cifar10, cifar100, "
        "parquet, folder or npz",
    )
    path: Path | None = Field(
        default=None,
        strict=False,
        description="folder or file of the images; none for the shipped subset",
    )
    image_size: Count | None = Field(
        default=None,
        le=4096,
        description="side in pixels that images are resized to; as they are if not set",
    )
    validation: Share = Field(
        default=0.2,
        gt=0,
        description="share of the training images held out where the source has no split",
    )
    train_images: Count | None = Field(
        default=None,
        description="use only this many training images, of each class its share; all if unset",
    )
    seed: Seed = Field(default=0, description="seed of the split")


class SpaceConfig(Section):
    """Choices for the architecture: a list, one value, or a range {min, max, step}."""

    growth_rate: Choices = Field(
        default=tuple(range(4, 25, 4)), description="feature maps that each layer adds"
    )
    block_config: Annotated[tuple[Choices, ...], Field(strict=False)] = Field(
        default=((1, 2, 3, 4, 5, 6),) * 3, description="layers of each block: one entry a block"
    )
    bn_size: Choices = Field(
        default=(0, 2, 4), description="bottleneck width in growth rates; 0 is no bottleneck"
    )
    num_init_features: InitFeatures = Field(
        default=(TWICE_GROWTH,), description='channels behind the stem: numbers or "2x growth"'
    )
    compression: Numbers = Field(default=(0.5,), description="share of channels a transition keeps")
    drop_rate: Numbers = Field(default=(0.0,), description="dropout behind each layer")
    norm: Norms = Field(default=("batch",), description="batch or group")
    stem: Stem = Field(
        default="cifar",
        description="cifar (3x3) for images up to about 64 pixels, imagenet (7x7/2, pool)",
    )

    def model_post_init(self, _: Any) -> None:
        self.build(in_channels=1, num_classes=2)  # to check it: its rules are the same for any data

    def build(self, in_channels: int, num_classes: int) -> SearchSpace:
        """The space for images of these channels and classes."""
        return SearchSpace(**dict(self), in_channels=in_channels, num_classes=num_classes)


class LimitsConfig(Section):
    """Upper bounds, checked on the exact cost before anything is trained; unset means none."""

    max_params: Count | None = Field(default=None, description="parameters")
    max_macs: Count | None = Field(default=None, description="multiply-adds of one image")
    max_activations: Count | None = Field(
        default=None, description="elements convolutions write, one image"
    )
    max_train_bytes: Count | None = Field(
        default=None, description="bytes that a training step holds at training.batch_size"
    )
    max_latency_ms: float | None = Field(
        default=None,
        gt=0,
        description="milliseconds, measured; slower candidates stay off the front",
    )


class ObjectivesConfig(Section):
    """What is traded against validation error."""

    costs: Annotated[tuple[CostName, ...], Field(strict=False, min_length=1)] = Field(
        default=("macs",), description="one or more of params, macs, activations, latency_ms"
    )
    latency_batch: Count = Field(default=1, description="images a batch when latency is measured")

    def model_post_init(self, _: Any) -> None:
        if len(set(self.costs)) < len(self.costs):
            raise ConfigError("costs", "must not repeat a cost", list(self.costs))


class TrainingConfig(Section):
    """How a candidate is trained and scored."""

    rungs: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = Field(
        default=(1, 3, 9), description="epochs of each rung, rising; the last is the full proxy"
    )
    batch_size: Count = Field(default=128, ge=2, description="images a step, 2 or more")
    learning_rate: float = Field(default=0.1, gt=0, description="of SGD with Nesterov momentum")
    momentum: Share = Field(default=0.9, description="Nesterov momentum")
    weight_decay: float = Field(default=5e-4, ge=0, description="not on norms and biases")
    warmup: float = Field(
        default=0.5, ge=0, description="epochs of linear warm-up, constant behind it"
    )
    decay: Share = Field(
        default=0.3, description="last share of the top rung in which the rate falls to 0"
    )
    ema: Share = Field(
        default=0.98, description="averaging of weights a step; 0 scores the raw weights"
    )
    label_smoothing: Share = Field(default=0.0, description="of the training loss")
    clip_norm: float = Field(default=0.0, ge=0, description="largest gradient norm; 0 is off")
    flip: bool = Field(default=True, description="mirror images at random")
    shift: Whole = Field(
        default=2, ge=0, description="pixels by which images are shifted at random"
    )
    cutout: Whole = Field(
        default=0, ge=0, description="side of a square blanked at random; 0 is off"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 on a GPU that has it, else fp32"
    )

    def model_post_init(self, _: Any) -> None:
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ConfigError("rungs", "must rise", list(self.rungs))


class SearchConfig(Section):
    """How candidates are chosen and run."""

    sampler: Literal["tpe", "nsga2", "gp", "random"] = Field(
        default="tpe", description="tpe, nsga2, gp or random"
    )
    trials: Count = Field(default=50, description="candidates to finish, over all sittings")
    time: Seconds | None = Field(
        default=None, description="time over all sittings, such as 45m; no limit if unset"
    )
    seed: Seed = Field(default=0, description="seed of every random choice")
    device: Annotated[str, BeforeValidator(parse_device)] = Field(
        default="auto", description="auto, cpu, cuda or cuda:N"
    )
    workers: Count | None = Field(
        default=None,
        le=1024,
        description="trainings at a time; if unset one a GPU, or one a CPU core",
    )
    timeout: Seconds = Field(
        default=86400, description="a candidate that trains longer counts as failed"
    )
    start: tuple[Design, ...] = Field(
        default=(),
        strict=False,
        description="known designs to try first: preset names or {growth_rate=..}",
    )
    keep_checkpoints: Literal["front", "all"] = Field(
        default="front",
        description="weights kept on disk: of the Pareto front, or of every candidate",
    )


class StudyConfig(Section):
    """A whole study, as read from its file."""

    data: DataConfig = Field(default_factory=DataConfig)
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    objectives: ObjectivesConfig = Field(default_factory=ObjectivesConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)

    def model_post_init(self, _: Any) -> None:
        self.start_configs(self.space.build(in_channels=1, num_classes=2))  # to check them

    def start_configs(self, space: SearchSpace) -> list[ArchConfig]:
        """The known designs of ``search.start``, with the data's channels and classes.

        Fields that a table leaves out are the space's first choices.
        """
        configs = []
        for position, design in enumerate(self.search.start):
            try:
                configs.append(_design(design, space))
            except ConfigError as error:
                raise error.within(f"search.start[{position}]") from None
        return configs


def _design(design: str | Mapping[str, Any], space: SearchSpace) -> ArchConfig:
    fixed = {"in_channels": space.in_channels, "num_classes": space.num_classes}
    if isinstance(design, str):
        if design not in PRESETS:
            raise ConfigError("", "must be a known preset", design, nearest(design, PRESETS))
        return PRESETS[design].replace(**fixed)
    for name in fixed.keys() & design.keys():
        raise ConfigError(name, "is given by the images", design[name], "leave it out")
    values = {"num_init_features": space.num_init_features[0], **design}
    if values["num_init_features"] == TWICE_GROWTH:
        del values["num_init_features"]
        config = ArchConfig.from_dict(space.config({}).to_dict() | values)
        return config.replace(num_init_features=2 * config.growth_rate)
    return ArchConfig.from_dict(space.config({}).to_dict() | values)


def load_study(path: Path) -> StudyConfig:
    """The study of this file. Raises ConfigError naming the file, the key, the rule and the value.

    A relative ``data.path`` is taken from the study file's folder.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' Notepad writes a mark in front
    except FileNotFoundError:
        hint = "dnsearch init writes one to start from"
        raise ConfigError(f"{path}:", "there is no such study file", hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"{path}:", f"must be a readable study file: {reason}") from None
    study = parse_study(text, source=str(path))
    if study.data.path is None or study.data.path.is_absolute():
        return study
    try:
        resolved = (path.parent / study.data.path.expanduser()).resolve()
    except (RuntimeError, ValueError) as error:  # no such user, a ring of links, a null character
        raise ConfigError(
            f"{path}: data.path", f"cannot be followed ({error})", str(study.data.path)
        ) from None
    return study.model_copy(update={"data": study.data.model_copy(update={"path": resolved})})


def parse_study(text: str, source: str = "study") -> StudyConfig:
    """The study written in this TOML text; ``source`` names it in errors."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}:", f"must be valid TOML: {error}") from None
    try:
        return StudyConfig.model_validate(values)
    except ValidationError as error:
        raise _readable(error).within(f"{source}:") from None


def override(study: StudyConfig, **search: Any) -> StudyConfig:
    """The study with these keys of [search] replaced, validated as if its file had said so.

    Raises ConfigError naming the flag, such as ``--time``, whose value breaks a rule.
    """
    try:
        changed = SearchConfig.model_validate({**dict(study.search), **search})
    except ValidationError as error:
        wrong = _readable(error)
        raise ConfigError(f"--{wrong.field}", wrong.rule, wrong.got, wrong.hint) from None
    return study.model_copy(update={"search": changed})


_RULES = {
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "model_type": "must be a table of keys",
    "path_type": "must be a path in quotes",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}
"""pydantic's types of error in our words; the names in braces are in the error's context."""


def _readable(error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints in our words: path, rule, value, nearest right key."""
    first = error.errors()[0]
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"]).lstrip(".")
    if first["type"] == "extra_forbidden":
        return _unknown_key(path, *first["loc"])
    context = first.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, ConfigError):
        return cause.within(path)
    if cause is not None:
        return ConfigError(path, str(cause), first["input"])
    rule = _RULES.get(first["type"], first["msg"]).format_map(context)
    return ConfigError(path, rule, first["input"])


def _unknown_key(path: str, *keys: int | str) -> ConfigError:
    """Says where the key belongs, or the one in its section that is spelt most like it."""
    *parents, wrong = map(str, keys)
    known: Any = {n: field.annotation for n, field in StudyConfig.model_fields.items()}
    homes = [f"[{name}]" for name, section in known.items() if wrong in section.model_fields]
    if homes:
        return ConfigError(path, "is no known key here", hint=f"put it in {' or '.join(homes)}")
    words = known[parents[0]].model_fields if parents else known
    return ConfigError(path, "is no known key", hint=nearest(wrong, words))


def changed_keys(old: StudyConfig, new: StudyConfig) -> list[str]:
    """Keys whose values differ, as ``section.key: old -> new``; budgets and machinery aside."""
    free = {"trials", "time", "workers", "device", "timeout", "keep_checkpoints"}
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [
        f"{section}.{key}: {_toml(before[section][key])} -> {_toml(value)}"
        for section, values in after.items()
        for key, value in values.items()
        if value != before[section][key] and not (section == "search" and key in free)
    ]


def to_toml(study: StudyConfig, comments: bool = False) -> str:
    """The study as TOML with every key; ``comments`` adds each one's meaning, as for ``init``.

    Keys without a value are written as comments, since TOML has no null.
    """
    lines: list[str] = []
    for name in type(study).model_fields:
        section: Section = getattr(study, name)
        if comments:
            lines += [f"# {'-' * 76}", f"# {(type(section).__doc__ or '').splitlines()[0]}"]
        lines += [f"[{name}]", *([""] * comments)]
        for key, entry in type(section).model_fields.items():
            value = getattr(section, key)
            text = f"{key} = {_toml(value)}" if value is not None else f"# {key} ="
            lines += [f"# {entry.description}", text, ""] if comments else [text]
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """One value as TOML; JSON's spelling is TOML's for texts, numbers and booleans."""
    if value is None:
        return "unset"  # for people: TOML has no null
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")  # the one character that JSON allows and TOML does not
