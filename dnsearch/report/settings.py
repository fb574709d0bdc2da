"""The settings of a study as text in the manner of its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnsearch.config import StudyConfig


def study_text(study: StudyConfig) -> str:
    """All settings, defaults included, as TOML; those that are not set stand as comments."""
    sections = []
    for name in type(study).model_fields:
        values: Mapping[str, Any] = dict(getattr(study, name))
        lines = [
            f"{k} = {_value(v)}" if v is not None else f"# {k} is not set"
            for k, v in values.items()
        ]
        sections.append("\n".join([f"[{name}]", *lines]))
    return "\n\n".join(sections)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
