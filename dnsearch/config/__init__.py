"""``study.toml`` -> ``StudyConfig``, validated when it is read; nothing else reads TOML.

load_study(path), parse_study(text)   a study from its file or from text
study_of({"data": {...}, ...})        a study from its values
suited_space(side)                    what dnsearch init lets vary for images of that size
suited_batch_size(images)             and its batch size for so many of them
override(study, time=..., ...)        with other values of [search] and [cluster]
to_toml(study), recorded(study)       back to TOML; with a checksum; toml_value(v), one value of it
StudyConfig, DataConfig, ...          the study and its sections
"""

from dnsearch.config.files import (
    SIGN,
    changed_keys,
    differences,
    load_study,
    override,
    parse_study,
    recorded,
    study_of,
    to_toml,
    toml_value,
)
from dnsearch.config.study import (
    AUTO_STEPS,
    DESIGNS,
    FULL_LENGTH,
    SCREENING,
    ClusterConfig,
    DataConfig,
    LimitsConfig,
    ObjectivesConfig,
    SearchConfig,
    SpaceConfig,
    StudyConfig,
    TrainingConfig,
    UntilConfig,
)
from dnsearch.config.suited import CIFAR_SIDE, USUAL_SIDE, suited_batch_size, suited_space
from dnsearch.config.values import AUTO_RUNGS, Aim, CostName, Crop, ErrorName, Fit, Format, Keep

__all__ = [
    "AUTO_RUNGS",
    "AUTO_STEPS",
    "CIFAR_SIDE",
    "DESIGNS",
    "FULL_LENGTH",
    "SCREENING",
    "SIGN",
    "USUAL_SIDE",
    "Aim",
    "ClusterConfig",
    "CostName",
    "Crop",
    "DataConfig",
    "ErrorName",
    "Fit",
    "Format",
    "Keep",
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
    "recorded",
    "study_of",
    "suited_batch_size",
    "suited_space",
    "to_toml",
    "toml_value",
]
