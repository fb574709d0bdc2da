"""``study.toml`` -> ``StudyConfig``, validated when it is read; nothing else reads TOML.

load_study(path), parse_study(text)   a study from its file or from text
override(study, time=..., ...)        with other values of [search]
to_toml(study)                        back to TOML
StudyConfig, DataConfig, ...          the study and its sections
"""

from dnsearch.config.files import (
    changed_keys,
    differences,
    load_study,
    override,
    parse_study,
    to_toml,
)
from dnsearch.config.study import (
    AUTO_STEPS,
    DESIGNS,
    LONGER,
    SCREENING,
    DataConfig,
    LimitsConfig,
    ObjectivesConfig,
    SearchConfig,
    SpaceConfig,
    StudyConfig,
    TrainingConfig,
    UntilConfig,
)
from dnsearch.config.values import AUTO_RUNGS, Aim, ErrorName, Format

__all__ = [
    "AUTO_RUNGS",
    "AUTO_STEPS",
    "DESIGNS",
    "LONGER",
    "SCREENING",
    "Aim",
    "DataConfig",
    "ErrorName",
    "Format",
    "LimitsConfig",
    "ObjectivesConfig",
    "SearchConfig",
    "SpaceConfig",
    "StudyConfig",
    "TrainingConfig",
    "UntilConfig",
    "changed_keys",
    "differences",
    "load_study",
    "override",
    "parse_study",
    "to_toml",
]
