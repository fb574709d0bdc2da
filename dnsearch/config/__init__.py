"""``study.toml`` -> ``StudyConfig``, validated once at the door; nothing else reads TOML."""

from dnsearch.config.files import (
    changed_keys,
    differences,
    load_study,
    override,
    parse_study,
    to_toml,
)
from dnsearch.config.study import (
    DESIGNS,
    SCREENING,
    DataConfig,
    LimitsConfig,
    ObjectivesConfig,
    SearchConfig,
    SpaceConfig,
    StudyConfig,
    TrainingConfig,
)
from dnsearch.config.values import Format

__all__ = [
    "DESIGNS",
    "SCREENING",
    "DataConfig",
    "Format",
    "LimitsConfig",
    "ObjectivesConfig",
    "SearchConfig",
    "SpaceConfig",
    "StudyConfig",
    "TrainingConfig",
    "changed_keys",
    "differences",
    "load_study",
    "override",
    "parse_study",
    "to_toml",
]
