"""Study files: reading them, with errors that say what to change, and writing them."""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from dnsearch.config.study import ClusterConfig, Section, StudyConfig
from dnsearch.errors import ConfigError, nearest
from dnsearch.files import STORAGES, read_bytes

SIGN = "# What was run. SHA-256 of the lines below: "
"""How the study file in a run's folder begins."""


def recorded(study: StudyConfig) -> str:
    """The study as TOML, for a run's folder, with a checksum in its first line."""
    text = to_toml(study)
    return f"{SIGN}{_checksum(text)}\n{text}"


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _require_as_recorded(path: Path, text: str) -> None:
    """Raises ConfigError; the study of an older run has no checksum, but sections."""
    first, _, rest = text.partition("\n")
    if first.startswith(SIGN):
        sound = first.removeprefix(SIGN) == _checksum(rest)
    else:
        sound = "\n[" in f"\n{text}"
    if not sound:
        hint = "restore it from a copy, or remove its first line if you changed it on purpose"
        raise ConfigError(f"{path}:", "must be as its checksum has it", hint=hint)


def load_study(path: Path | str) -> StudyConfig:
    """The study in this file; a relative ``data.path`` starts from the file's folder.

    Raises ConfigError naming the file, the key, the rule and the value.
    """
    path = Path(path)
    try:
        # utf-8-sig: Notepad on Windows writes a byte order mark
        content = io.StringIO(read_bytes(path).decode("utf-8-sig"), newline=None)
        text = content.read()
    except FileNotFoundError:
        hint = "dnsearch init writes one to start from"
        raise ConfigError(f"{path}:", "there is no such study file", hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"{path}:", f"must be a readable study file: {reason}") from None
    study = parse_study(text, source=str(path))
    if any(path.with_name(name).is_file() for name in STORAGES):
        _require_as_recorded(path, text)
    if study.data.path is None or study.data.path.is_absolute():
        return study
    try:
        resolved = (path.parent / study.data.path.expanduser()).resolve()
    except (RuntimeError, ValueError) as error:  # no such user, links in a circle, a null character
        raise ConfigError(
            f"{path}: data.path", f"cannot be followed ({error})", str(study.data.path)
        ) from None
    return study.model_copy(update={"data": study.data.model_copy(update={"path": resolved})})


def parse_study(text: str, source: str = "study") -> StudyConfig:
    """The study in this TOML text; ``source`` names it in errors. Raises ConfigError."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}:", f"must be valid TOML: {error}") from None
    try:
        return study_of(values)
    except ConfigError as error:
        raise error.within(f"{source}:") from None


def study_of(values: Mapping[str, Any]) -> StudyConfig:
    """The study with these values, by section and key as in its file. Raises ConfigError."""
    try:
        return StudyConfig.model_validate(values)
    except ValidationError as error:
        raise _readable(error) from None


def override(study: StudyConfig, **values: Any) -> StudyConfig:
    """The study with these keys of [search] and [cluster] replaced, validated as if they stood in
    its file.

    Raises ConfigError naming the flag whose value breaks a rule, such as ``--time``.
    """
    changed = {}
    for name in ("search", "cluster"):
        section = getattr(study, name)
        given = {key: value for key, value in values.items() if key in type(section).model_fields}
        try:
            changed[name] = type(section).model_validate({**dict(section), **given})
        except ValidationError as error:
            wrong = _readable(error)
            flag = f"--{wrong.field.replace('_', '-')}"
            raise ConfigError(flag, wrong.rule, wrong.got, wrong.hint) from None
    return study.model_copy(update=changed)


_RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table of keys",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "missing": "must be given",
    "model_type": "must be a table of keys",
    "path_type": "must be a path in quotes",
    "string_type": "must be text in quotes",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}
"""Our wording of pydantic's types of error; the names in braces are in the error's context."""


def _readable(error: ValidationError) -> ConfigError:
    """The first of pydantic's errors in our wording: path, rule, value, nearest known key."""
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
    """Says which section the key belongs to, or which key of its own is spelt most like it."""
    *parents, wrong = map(str, keys)
    known: Any = {n: field.annotation for n, field in StudyConfig.model_fields.items()}
    homes = [f"[{name}]" for name, section in known.items() if wrong in section.model_fields]
    if homes:
        return ConfigError(path, "is no known key here", hint=f"put it in {' or '.join(homes)}")
    words = known
    for parent in parents:
        section = _section_of(words.get(parent))
        words = (
            {n: field.annotation for n, field in section.model_fields.items()} if section else {}
        )
    return ConfigError(path, "is no known key", hint=nearest(wrong, words))


def _section_of(annotation: Any) -> type[Section] | None:
    """The section that a field holds, also where it may be left out; None where it holds none."""
    kinds = (annotation, *get_args(annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), None)


def changed_keys(old: StudyConfig, new: StudyConfig) -> list[str]:
    """Keys whose values differ, as ``section.key: old -> new``, except for those that a search may
    change between its sessions: budgets, where it runs, and where its images are."""
    budgets = ("trials", "replicates", "time", "until")
    keys = (*budgets, "workers", "device", "timeout", "keep_checkpoints", "storage")
    own = ("data.path", "data.keep")  # images have a fingerprint
    free = {*own, *(f"search.{key}" for key in keys)}
    free |= {f"cluster.{key}" for key in ClusterConfig.model_fields}
    return differences(old.model_dump(mode="json"), new.model_dump(mode="json"), free)


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str] = ()
) -> list[str]:
    """What differs between two records, as ``section.key: old -> new``, except for ``free`` keys;
    a key that one of them lacks is ``unset``."""
    old, new = _flat(before), _flat(now)
    return [
        f"{key}: {toml_value(old.get(key))} -> {toml_value(new.get(key))}"
        for key in dict.fromkeys((*new, *old))
        if old.get(key) != new.get(key) and key not in free
    ]


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        inner = value if isinstance(value, Mapping) else None
        flat |= {name: value} if inner is None else {f"{name}.{k}": v for k, v in inner.items()}
    return flat


def to_toml(
    study: StudyConfig, comments: bool = False, reasons: Mapping[str, str] | None = None
) -> str:
    """The study as TOML, with every key; ``comments`` adds what each means (``dnsearch init``), and
    ``reasons``, such as of ``data.test``, why it has its value.

    Keys without a value are written as comments, since TOML has no null.
    """
    lines: list[str] = []
    for name in type(study).model_fields:
        section: Section = getattr(study, name)
        if comments:
            lines += [f"# {'-' * 76}", f"# {(type(section).__doc__ or '').splitlines()[0]}"]
        lines += [f"[{name}]", *([""] * comments)]
        values = section.model_dump(mode="json")
        for key, entry in type(section).model_fields.items():
            value = values[key]
            text = f"{key} = {toml_value(value)}" if value is not None else f"# {key} ="
            if why := (reasons or {}).get(f"{name}.{key}"):
                text += f"  # as {why}"
            lines += [f"# {entry.description}", text, ""] if comments else [text]
        lines.append("")
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """One value as TOML, which writes strings, numbers and booleans as JSON does."""
    if value is None:
        return "unset"  # for people: TOML has no null
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items()) + "}"
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")  # the one character that JSON allows and TOML does not
