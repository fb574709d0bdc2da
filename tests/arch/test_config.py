import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsearch.arch import PRESETS, ArchArrays, ArchConfig, preset
from dnsearch.errors import ConfigError

configs = st.builds(
    ArchConfig,
    growth_rate=st.integers(1, 48),
    block_config=st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple),
    num_init_features=st.integers(16, 64),
    bn_size=st.integers(0, 8),
    compression=st.sampled_from([0.5, 0.61, 1.0]),
    drop_rate=st.sampled_from([0.0, 0.2]),
    norm=st.sampled_from(["batch", "group"]),
    stem=st.sampled_from(["imagenet", "cifar"]),
    in_channels=st.integers(1, 4),
    num_classes=st.integers(1, 200),
)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"growth_rate": -4}, "growth_rate must be an integer from 1 to 4096, got -4"),
        ({"growth_rate": 4.0}, "growth_rate must be an integer"),
        ({"growth_rate": True}, "growth_rate must be an integer"),
        ({"block_config": ()}, "block_config must be a list of one or more block depths"),
        ({"block_config": (3, 0)}, r"block_config\[1\] must be an integer from 1 to 1024, got 0"),
        ({"bn_size": -1}, "bn_size must be an integer from 0 to 64"),
        ({"compression": 0}, r"compression must lie in \(0, 1\]"),
        ({"compression": float("nan")}, "compression must be a finite number"),
        ({"compression": 0.003}, "leaves no channel after a transition"),
        ({"drop_rate": 1}, r"drop_rate must lie in \[0, 1\)"),
        ({"norm": "layer"}, "norm must be one of batch, group, got 'layer'"),
        ({"stem": "none"}, "stem must be one of imagenet, cifar"),
    ],
)
def test_a_broken_rule_is_named_with_the_value(fields, message):
    with pytest.raises(ConfigError, match=message):
        ArchConfig(**fields)


def test_an_unknown_field_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"growth is no field.*did you mean 'growth_rate'"):
        ArchConfig.from_dict({"growth": 3})


@given(configs)
def test_json_round_trip_keeps_the_key(config):
    again = ArchConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.key == config.key


def test_key_is_stable_over_releases():
    """Files and tables carry keys: a change of their making loses them all."""
    assert preset("densenet121").key == "759aa3205ad8"


@given(configs, configs)
def test_different_architectures_have_different_keys(one, other):
    assert (one.key == other.key) == (one == other)


@given(st.lists(configs, min_size=1, max_size=4))
def test_arrays_give_back_the_configs(drawn):
    arrays = ArchArrays.of(drawn)
    assert [arrays.config(i) for i in range(len(arrays))] == drawn


@pytest.mark.parametrize(
    ("name", "depth"), [("densenet121", 121), ("densenet201", 201), ("densenet-bc-190-40", 190)]
)
def test_depth_is_counted_as_in_the_paper(name, depth):
    assert preset(name).depth == depth


def test_preset_names_carry_their_depth_and_growth():
    for name, config in PRESETS.items():
        *_, depth, growth = (
            name.removeprefix("densenet").replace("bc-", "").rjust(9, "-").split("-")
        )
        if config.stem == "cifar":
            assert (config.depth, config.growth_rate) == (int(depth), int(growth))


def test_unknown_preset():
    with pytest.raises(
        ConfigError, match="known preset, got 'densnet121'; did you mean 'densenet121'"
    ):
        preset("densnet121")


def test_descriptions_are_short_and_tell_apart():
    texts = {
        ArchConfig(growth_rate=k, block_config=b, bn_size=s).describe()
        for k in (4, 8)
        for b in ((1, 2), (2, 1))
        for s in (0, 4)
    }
    assert len(texts) == 8
    assert max(map(len, texts)) < 40
