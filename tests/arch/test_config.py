import hashlib
import json
from dataclasses import fields
from fractions import Fraction
from itertools import combinations_with_replacement
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsearch.arch import PRESETS, ArchArrays, ArchConfig, preset
from dnsearch.errors import ConfigError

BENCH = Path(__file__).parents[2] / "studies/densenet-bench/fashion14.parquet"


def one_or_each(value, count):
    """One value, or a tuple of so many."""
    return value | st.tuples(*[value] * count)


def of_blocks(blocks):
    return st.builds(
        ArchConfig,
        growth_rate=one_or_each(st.integers(1, 48), blocks),
        block_config=st.tuples(*[st.integers(1, 9)] * blocks),
        num_init_features=st.integers(16, 64),
        bn_size=one_or_each(st.integers(0, 8), blocks),
        compression=st.sampled_from([0.5, 0.61, 0.6100001, 1.0]),
        drop_rate=st.sampled_from([0.0, 0.2, 0.2000001]),
        norm=st.sampled_from(["batch", "group"]),
        stem=st.sampled_from(["imagenet", "cifar", "patch2", "patch4"]),
        transition=one_or_each(st.sampled_from(["pool", "narrow"]), blocks - 1),
        in_channels=st.integers(1, 4),
        num_classes=st.integers(1, 200),
    )


configs = st.integers(1, 5).flatmap(of_blocks)


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
        ({"stem": "none"}, "stem must be one of imagenet, cifar, patch2, patch4"),
        (
            {"growth_rate": [4, 8]},
            r"growth_rate must be one value, or one for each block, which are 4, got \[4, 8\]",
        ),
        ({"growth_rate": []}, "growth_rate must be one value, or one for each block"),
        (
            {"growth_rate": [4, 8, 0, 9]},
            r"growth_rate\[2\] must be an integer from 1 to 4096, got 0",
        ),
        ({"growth_rate": [4, 4, 4, 4.0]}, r"growth_rate\[3\] must be an integer"),
        ({"bn_size": (4, 4, 4)}, "bn_size must be one value, or one for each block, which are 4"),
        ({"bn_size": (4, 4, -1, 4)}, r"bn_size\[2\] must be an integer from 0 to 64, got -1"),
        ({"transition": "none"}, "transition must be one of pool, narrow, got 'none'"),
        (
            {"transition": ("pool", "none", "pool")},
            "transition must be one of pool, narrow, got 'n",
        ),
        ({"transition": "none", "block_config": (3,)}, "transition must be one of pool, narrow"),
        ({"transition": (["pool"], "pool", "pool")}, "transition must be one of pool, narrow, got"),
        (
            {"transition": ("pool", "narrow")},
            "transition must be one value, or one for each block but the last, which are 3, got",
        ),
        ({"transition": (), "block_config": (3, 3)}, "transition must be one value, or one for"),
        ({"norm": ("batch", "batch")}, "norm must be one of batch, group, got"),
    ],
)
def test_a_broken_rule_is_named_with_the_value_in_one_line(fields, message):
    with pytest.raises(ConfigError, match=message) as caught:
        ArchConfig(**fields)
    assert "\n" not in str(caught.value)


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
    table = pq.read_table(BENCH, columns=["key", "arch"]).to_pydict()
    known = dict(zip(table["key"], table["arch"], strict=True))
    assert len(known) > 300
    for key, arch in known.items():
        assert ArchConfig.from_dict(json.loads(arch)).key == key


def test_key_is_a_hash_of_all_that_differs_from_block_to_block():
    config = ArchConfig((6, 11), (1, 2), 16, (0, 4), transition="narrow", num_classes=10)
    text = (
        '{"block_config":[1,2],"bn_size":[0,4],"compression":0.5,"drop_rate":0.0,'
        '"growth_rate":[6,11],"in_channels":3,"norm":"batch","num_classes":10,'
        '"num_init_features":16,"stem":"imagenet","transition":"narrow"}'
    )
    assert config.key == hashlib.sha256(text.encode()).hexdigest()[:12]


@given(configs)
def test_what_is_the_same_for_all_blocks_is_one_value(config):
    kinds = tuple("pool" if pools else "narrow" for pools in config.pools)
    again = config.replace(
        growth_rate=config.growth_rates, bn_size=list(config.bn_sizes), transition=kinds
    )
    assert again == config
    assert hash(again) == hash(config)
    assert again.key == config.key
    for value in (config.growth_rate, config.bn_size, config.transition):
        assert not isinstance(value, tuple) or len(set(value)) > 1
    if len(config.block_config) == 1:
        assert config.transition == "pool"
    assert ("transition" in config.to_dict()) == (False in config.pools)


@given(configs)
def test_widths_are_those_of_adding_layer_by_layer(config):
    channels, widths = config.num_init_features, []
    for block, layers in enumerate(config.block_config):
        widths.append(channels)
        for _ in range(layers):
            channels += config.growth_rates[block]
        if block + 1 < len(config.block_config):
            channels = int(Fraction(str(config.compression)) * channels)
    assert config.widths == (*widths, channels)


def test_depth_counts_both_convolutions_only_where_there_is_a_bottleneck():
    config = ArchConfig(8, (2, 3, 4), bn_size=(0, 4, 0), transition=("narrow", "pool"))
    assert config.depth == 1 + 2 + 1 + 2 * 3 + 1 + 4 + 1


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


@given(st.integers(1, 4).flatmap(lambda blocks: st.tuples(of_blocks(blocks), of_blocks(blocks))))
def test_architectures_have_the_same_description_where_only_data_fields_differ(both):
    """Whichever one or two fields of the one are those of the other."""
    one, other = both
    data = {"in_channels": 3, "num_classes": 10}
    names = [field.name for field in fields(ArchConfig)]
    for changed in combinations_with_replacement(names, 2):
        mixed = one.replace(**{name: getattr(other, name) for name in changed})
        same = one.replace(**data) == mixed.replace(**data)
        assert (one.describe() == mixed.describe()) == same


def test_descriptions_of_usual_networks_are_short():
    """Of those behind a cifar stem nothing but growth rates, depths and bottlenecks is named."""
    network = ArchConfig(12, (6, 12, 24), 24, stem="cifar", num_classes=10)
    assert network.describe() == "k=12 blocks 6-12-24 bottleneck 4"
    assert network.replace(bn_size=0).describe() == "k=12 blocks 6-12-24 no bottleneck"
    dense = network.replace(compression=1.0, norm="group", drop_rate=0.2)
    assert dense.describe() == "k=12 blocks 6-12-24 bottleneck 4 θ 1 group-norm drop 0.2"


def test_descriptions_tell_what_differs_from_block_to_block():
    config = ArchConfig(
        (6, 11, 23), (1, 2, 3), 12, (0, 4, 4), transition=("narrow", "pool"), stem="cifar"
    )
    assert config.describe() == "k=6-11-23 blocks 1+2-3 bottleneck 0-4-4"
    wide = config.replace(num_init_features=16)
    assert wide.describe() == "k=6-11-23 blocks 1+2-3 bottleneck 0-4-4 init 16"
    assert config.replace(bn_size=0).describe() == "k=6-11-23 blocks 1+2-3 no bottleneck"
    patches = config.replace(bn_size=0, stem="patch2")
    assert patches.describe() == "k=6-11-23 blocks 1+2-3 no bottleneck patch2"
    assert config.replace(bn_size=0, stem="imagenet").describe().endswith("no bottleneck imagenet")
