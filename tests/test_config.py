"""``study.toml`` -> ``StudyConfig``: what is read, what is written, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dnsearch.arch.presets import PRESETS
from dnsearch.config import (
    StudyConfig,
    changed_keys,
    load_study,
    override,
    parse_study,
    to_toml,
)
from dnsearch.config.values import (
    parse_amount,
    parse_bytes,
    parse_milliseconds,
    parse_seconds,
    parse_share,
)
from dnsearch.errors import ConfigError

REFUSED = [
    # unknown keys, at every level
    ("growth_rate = 3", r"growth_rate is no known key here; put it in \[space\]"),
    ("seed = 3", r"seed is no known key here; put it in \[data\] or \[search\]"),
    ("[serch]", r"serch is no known key; did you mean 'search'\?"),
    (
        "[xyz]",
        r"xyz is no known key; known are cluster, data, limits, .*, space, training",
    ),
    (
        "[space]\ngrowht_rate = 4",
        r"space.growht_rate is no known key; did you mean 'growth_rate'\?",
    ),
    ("[space]\ngrowht = 4", r"space.growht is no known key; did you mean 'growth_rate'\?"),
    ("[space]\ntrials = 4", r"space.trials is no known key here; put it in \[search\]"),
    ("[limits]\nmax_mac = 4", r"limits.max_mac is no known key; did you mean 'max_macs'\?"),
    ("[data.x.y]\na = 1", r"data.x is no known key; known are background, .*"),
    # wrong types
    ("space = 3", r"space must be a table of keys, got 3"),
    ("[[space]]", r"space must be a table of keys, got \[\{\}\]"),
    ('[search]\ntrials = "many"', r"search.trials must be a whole number, got 'many'"),
    ("[search]\ntrials = true", r"search.trials must be a whole number, got True"),
    ("[search]\ntrials = 1.5", r"search.trials must be a whole number, got 1.5"),
    ("[search]\ntrials = inf", r"search.trials must be a whole number, got inf"),
    ("[search]\ntrials = [3]", r"search.trials must be a whole number, got \[3\]"),
    ("[search]\ntrials = {a = 1}", r"search.trials must be a whole number, got \{'a': 1\}"),
    ("[search]\ntrials = 2026-01-01", r"search.trials must be a whole number, got .*"),
    ("[training]\nrungs = 3", r"training.rungs must be a list, got 3"),
    ('[training]\nrungs = ["1"]', r"training.rungs\[0\] must be a whole number, got '1'"),
    ("[training]\nflip = 1", r"training.flip must be true or false, got 1"),
    ('[training]\nlearning_rate = "0.1"', r"training.learning_rate must be a number, got '0.1'"),
    ("[data]\nlabel = 3", r"data.label must be text in quotes, got 3"),
    ("[objectives]\nreference = 3", r"objectives.reference must be a table of keys, got 3"),
    ("[data]\npath = 3", r"data.path must be a path in quotes, got 3"),
    ("[data]\nformat = 3", r"data.format must be 'fashion-mnist-16k', .*, got 3"),
    # numbers outside
    ("[search]\ntrials = 0", r"search.trials must be greater than 0, got 0"),
    ("[search]\nseed = -1", r"search.seed must be at least 0, got -1"),
    ("[search]\nworkers = 2000", r"search.workers must be at most 1024, got 2000"),
    ("[data]\nimage_size = 1e6", r"data.image_size must be at most 4096, got 1000000.0"),
    ("[data]\nvalidation = 1", r"data.validation must be less than 1, got 1"),
    ("[data]\nvalidation = 0", r"data.validation must be greater than 0, got 0"),
    (
        "[training]\nbatch_size = 16\nmicro_batch = 17",
        r"training.micro_batch must be at most batch_size, 16, got 17",
    ),
    ("[training]\nbatch_size = 1", r"training.batch_size must be at least 2, got 1"),
    ("[training]\nlearning_rate = nan", r"training.learning_rate must be a finite number, got nan"),
    ("[training]\nwarmup = inf", r"training.warmup must be a finite number, got inf"),
    ("[training]\nrungs = []", r"training.rungs must not be empty, got \[\]"),
    ('[training]\nrungs = "long"', r"training.rungs must be a list of epochs, or auto, got 'long'"),
    ("[training]\nrungs = [3, 1]", r"training.rungs must increase, got \[3, 1\]"),
    ("[training]\nrungs = [1, 1]", r"training.rungs must increase, got \[1, 1\]"),
    ("[training]\nrungs = [0, 1]", r"training.rungs\[0\] must be greater than 0, got 0"),
    ('[limits]\nmax_macs = "lots"', r"limits.max_macs must be a number, .* '500k', .*, got 'lots'"),
    ('[limits]\nmax_macs = "1e9999999M"', r"limits.max_macs must be a finite number, got '1e.+M'"),
    (
        '[search]\ntime = "1e99999999999999999999"',
        r"search.time must be a finite number, got '1e.+",
    ),
    (
        '[objectives]\nreference = {macs = "1e400"}',
        r"objectives.reference.macs must be a finite .*",
    ),
    ('[limits]\nmax_macs = "1.5"', r"limits.max_macs must be a whole number, got 1.5"),
    ("[limits]\nmax_latency_ms = inf", r"limits.max_latency_ms must be a finite number, got inf"),
    # names
    ('[search]\nsampler = "cma"', r"search.sampler must be 'known-cost', 'mo-asha', 'tpe', .*"),
    ('[search]\ndevice = "tpu"', r"search.device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
    ("[search]\ndevice = 3", r"search.device must be auto, cpu, cuda or cuda:N, got 3"),
    ("[objectives]\ncosts = []", r"objectives.costs must not be empty, got \[\]"),
    ('[objectives]\ncosts = ["mac"]', r"objectives.costs\[0\] must be 'params', 'macs', .*'mac'"),
    ('[objectives]\ncosts = ["macs", "macs"]', r"objectives.costs must not repeat a cost, .*"),
    (
        "[objectives]\nreference = {params = 5}",
        r"objectives.reference.params must be one of error, macs, got 5.0",
    ),
    (
        "[objectives]\nreference = {error = 1.5}",
        r"objectives.reference.error must be above 0 and at most 1, got 1.5",
    ),
    (
        '[objectives]\nreference = {error = "3 points"}',
        r"objectives.reference.error must be a share such as 0.05 or '5 %', got '3 points'",
    ),
    (
        '[objectives]\nreference = {latency_ms = "5 metres"}',
        r"objectives.reference.latency_ms must be a number of milliseconds or text such as '5 ms', "
        r"got '5 metres'",
    ),
    ('[objectives]\naxis = "sqrt"', r"objectives.axis must be 'log' or 'linear', got 'sqrt'"),
    (
        "[search]\nreplicates = 2",
        r"search.replicates must be 1 with sampler 'known-cost', got 2; .*",
    ),
    # when to end
    ("[search]\nuntil = 0.2", r"search.until must be a table of keys, got 0.2"),
    ("[search]\nuntil = {}", r"search.until.regret must be given, got \{\}"),
    ("[search]\nuntil = {regret = 0}", r"search.until.regret must be greater than 0, got 0"),
    ("[search]\nuntil = {regret = 101}", r"search.until.regret must be at most 100, got 101"),
    (
        "[search]\nuntil = {regret = 1, probability = 0.5}",
        r"search.until.probability must be greater than 0.5, got 0.5",
    ),
    (
        "[search]\nuntil = {regret = 1, probability = 1}",
        r"search.until.probability must be less than 1, got 1",
    ),
    (
        "[search]\nuntil = {regret = 1, probabilty = 0.9}",
        r"search.until.probabilty is no known key; did you mean 'probability'\?",
    ),
    (
        '[search]\nsampler = "scaling"\nuntil = {regret = 1}',
        r"search.until must be left out with sampler 'scaling', .* got \{'regret': 1.0, .*",
    ),
    # times
    *(
        (f"[search]\ntime = {text}", rf"search.time must be {rule}, got .+")
        for text, rule in {
            '"5 parsecs"': r"a number of seconds or text such as '90s', '45 min', .* or '2 days'",
            '""': r"a number of seconds or text .*",
            '"-3s"': r"a number of seconds or text .*",
            '"0s"': "greater than 0",
            "-3": "greater than 0",
            "nan": "a finite number",
            "true": "a number",
            '["3s"]': "a number",
            "12:00:00": "a number",
        }.items()
    ),
    # choices
    ('[space]\ngrowth_rate = "a"', r"space.growth_rate must be an integer from 1 to 4096, got 'a'"),
    (
        "[space]\ngrowth_rate = true",
        r"space.growth_rate must be an integer from 1 to 4096, got True",
    ),
    (
        "[space]\ngrowth_rate = [[4]]",
        r"space.growth_rate must be choices for all blocks together, or 3 lists .*",
    ),
    ("[space]\ngrowth_rate = []", r"space.growth_rate must offer at least one choice, got \[\]"),
    ("[space]\ngrowth_rate = [4, 4]", r"space.growth_rate must not repeat a choice, got \[4, 4\]"),
    (
        "[space]\ngrowth_rate = 1979-05-27",
        r"space.growth_rate must be an integer .* got datetime.*",
    ),
    ("[space]\ngrowth_rate = 0", r"space.growth_rate must be an integer from 1 to 4096, got 0"),
    ("[space]\nbn_size = -1", r"space.bn_size must be an integer from 0 to 64, got -1"),
    ("[space]\nblock_config = []", r"space.block_config must give the depths of one or more .*"),
    ("[space]\nblock_config = 3", r"space.block_config must be a list, got 3"),
    ("[space]\nblock_config = [[1], [0]]", r"space.block_config\[1\] must be an integer .* got 0"),
    ('[space]\nblock_config = ["a"]', r"space.block_config\[0\]\[0\] must be a whole number, .*"),
    (
        "[space]\nblock_config = [{min = 3, max = 1}]",
        r"space.block_config\[0\] must have min <= .*",
    ),
    *(
        (f"[space]\ngrowth_rate = {text}", rf"space.growth_rate must {rule}, got \{{'min'.*\}}")
        for text, rule in {
            "{min = 4}": r"be a list, or a range \{min = .., max = .., step = ..\}",
            "{min = 4, max = 8, stp = 1}": r"be a list, or a range .*",
            "{min = 8, max = 4}": "have min <= max and step >= 1",
            "{min = 4, max = 8, step = 0}": "have min <= max and step >= 1",
            "{min = 4, max = 8.5}": "have whole numbers as min, max and step",
            '{min = 4, max = "8"}': "have whole numbers as min, max and step",
            "{min = 1, max = 100000000000}": "offer at most 10,000 choices",
        }.items()
    ),
    *(
        (f"[space]\nnum_init_features = {text}", r"space.num_init_features\[0\] must be a whole .*")
        for text in ('"3x growth"', "1.5", "true")
    ),
    ("[space]\ncompression = 1.5", r"space.compression must lie in \(0, 1\], got 1.5"),
    ("[space]\ncompression = nan", r"space.compression\[0\] must be a finite number, got nan"),
    (
        "[space]\ncompression = 0.001",
        r"space.compression leaves no channel after a transition, .*",
    ),
    ("[space]\ndrop_rate = 1", r"space.drop_rate must lie in \[0, 1\), got 1.0"),
    ('[space]\nnorm = "layer"', r"space.norm\[0\] must be 'batch' or 'group', got 'layer'"),
    (
        '[space]\nstem = ["big"]',
        r"space.stem\[0\] must be 'imagenet', .* or 'patch4', got 'big'",
    ),
    ('[space]\ntransition = "wide"', r"space.transition must be one of pool, narrow, got 'wide'"),
    (
        "[space]\nbn_size = [[1], [2]]",
        r"space.bn_size must be choices for all blocks .*, or 3 .*",
    ),
    (
        '[space]\ntransition = [["pool"]]',
        r"space.transition must be choices for all transitions together, or 2 lists of choices, .*",
    ),
    ("[space]\ntransition = [[], []]", r"space.transition\[0\] must offer at least one choice.*"),
    ("[space]\ngrowth_ratio = 0", r"space.growth_ratio must be a number above 0, got 0.0"),
    ("[space]\nbn_cap = -1", r"space.bn_cap must be 0, which is no cap, or above, got -1.0"),
    ("[space]\ngrowth_divisor = 0", r"space.growth_divisor must be .*, got 0"),
    (
        "[space]\ngrowth_rate = [[4], [8], [9]]\ngrowth_ratio = 2",
        r"space.growth_ratio must be left out where growth_rate has choices for each block, .*",
    ),
    (
        "[space]\ngrowth_rate = 1000\ngrowth_ratio = [1, 3]",
        r"space.growth_rate\[2\] must be an integer from 1 to 4096, got 9000",
    ),
    # known designs
    ('[search]\nstart = "densenet121"', r"search.start must be a list, got 'densenet121'"),
    ("[search]\nstart = [3]", r"search.start\[0\] must be a preset's name or a table .*, got 3"),
    (
        '[search]\nstart = ["densenet121", "densenet12"]',
        r"search.start\[1\] must be a known preset, got 'densenet12'; did you mean 'densenet121'\?",
    ),
    *(
        (f"[search]\nstart = [{{{text}}}]", rf"search.start\[0\].{told}")
        for text, told in {
            "growht_rate = 4": "growht_rate is no field .*; did you mean 'growth_rate'\\?",
            'growth_rate = "a"': "growth_rate must be an integer from 1 to 4096, got 'a'",
            "block_config = 3": "block_config must be a list of one or more block depths, got 3",
            "compression = nan": "compression must be a finite number, got nan",
            'stem = "x"': "stem must be one of imagenet, cifar, patch2, patch4, got 'x'",
            "num_classes = 5": "num_classes is given by the images, got 5; leave it out",
        }.items()
    ),
    # no TOML
    ("a =", r"must be valid TOML: .*line 1.*|must be valid TOML: .*end of document.*"),
    ("[search]\n[search]", r"must be valid TOML: .*"),
    ("x = " + "[" * 5000, r"must be valid TOML: .*"),
    ("[search]\ntrials = " + "1" * 5000, r"must be valid TOML: .*"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED, ids=lambda text: text[:60])
def test_refused(text, told):
    with pytest.raises(ConfigError) as refused:
        parse_study(text, source="x.toml")
    assert re.fullmatch(rf"x\.toml: (?:{told})", str(refused.value))
    assert "\n" not in str(refused.value)


def test_empty_study_is_all_defaults():
    assert parse_study("") == StudyConfig()


def test_study_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        StudyConfig().search.trials = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("text", "section", "key", "value"),
    [
        ("[search]\ntrials = 1e6", "search", "trials", 1_000_000),
        ('[search]\ntime = "1h30m"', "search", "time", 5400),
        ('[search]\ntime = "2d"', "search", "time", 172_800),
        ("[search]\ntime = 0.5", "search", "time", 0.5),
        ("[search]\nseed = 1.0", "search", "seed", 1),
        ("[space]\ngrowth_rate = 12", "space", "growth_rate", (12,)),
        ("[space]\ngrowth_rate = 1e1", "space", "growth_rate", (10,)),
        ("[space]\ngrowth_rate = {min = 4, max = 9, step = 2}", "space", "growth_rate", (4, 6, 8)),
        ("[space]\nblock_config = [1, [2, 3]]", "space", "block_config", ((1,), (2, 3))),
        ("[space]\nblock_config = [{min = 1, max = 2}]", "space", "block_config", ((1, 2),)),
        ("[space]\ncompression = 1", "space", "compression", (1.0,)),
        (
            '[space]\nnum_init_features = ["2x growth", 16]',
            "space",
            "num_init_features",
            ("2x growth", 16),
        ),
    ],
)
def test_read(text, section, key, value):
    assert getattr(getattr(parse_study(text), section), key) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("45m", 2700), ("1h 30m", 5400), ("1d1s", 86_401), ("90", 90), ("0.5", 0.5),
        ("1 hour", 3600), ("90 min", 5400), ("1h30m", 5400), ("2 days", 172_800), ("1.5h", 5400),
        (" 1 Hour and 30 Minutes ", 5400), ("1 hr, 5 secs", 3605), ("1 week", 604_800),
        ("1,000 s", 1000), ("10M", 600),
    ],
)  # fmt: skip
def test_seconds(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["h", "1h30", "1h 2h", "1 month", "-1h", "1h-30m", "1h or 2m", "1:30", "inf"]
)
def test_other_durations_are_refused(text):
    with pytest.raises(ValueError, match="must be a number of seconds or text such as '90s'"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("parse", "text", "number"),
    [
        (parse_amount, "3M", 3_000_000),
        (parse_amount, "500k", 500_000),
        (parse_amount, "2.3M", 2_300_000),
        (parse_amount, "1.5 G", 1_500_000_000),
        (parse_amount, "1e6", 1_000_000),
        (parse_amount, "1,000,000", 1_000_000),
        (parse_amount, "1_000", 1000),
        (parse_amount, "2 million", 2_000_000),
        (parse_amount, "3.2 M MACs", 3_200_000),
        (parse_amount, "10 k params", 10_000),
        (parse_amount, 7, 7),
        (parse_amount, "0.5", 0.5),
        (parse_bytes, "2GB", 2_000_000_000),
        (parse_bytes, "2GiB", 2**31),
        (parse_bytes, "1.5 MiB", 3 << 19),
        (parse_bytes, "512 mb", 512_000_000),
        (parse_bytes, "100 B", 100),
        (parse_bytes, "4k", 4000),
        (parse_milliseconds, "5", 5),
        (parse_milliseconds, "5 ms", 5),
        (parse_milliseconds, "0.1s", 100),
        (parse_milliseconds, 2.5, 2.5),
        (parse_share, "5 %", 0.05),
        (parse_share, "0.05", 0.05),
    ],
)
def test_amounts(parse, text, number):
    found = parse(text)
    assert found == pytest.approx(number, rel=1e-12)
    assert isinstance(found, int) == isinstance(number, int) or parse is parse_milliseconds


@pytest.mark.parametrize(
    ("parse", "texts", "example"),
    [
        (
            parse_amount,
            ["", "M", "3X", "-3M", "3 M M", "2GB", "1,00", "0x10", "nan", "3m2k"],
            "'500k'",
        ),
        (parse_bytes, ["", "GB", "2 iB", "2 Bytes!", "-1", "2 PB"], "'2 GiB'"),
        (parse_milliseconds, ["", "5 parsecs", "fast"], "'5 ms'"),
        (parse_share, ["", "%", "-5 %", "5 %%"], "'5 %'"),
    ],
)
def test_other_amounts_are_refused(parse, texts, example):
    for text in texts:
        with pytest.raises(ValueError, match=f"must be .* {example}"):
            parse(text)


@pytest.mark.parametrize(
    ("text", "section", "key", "value"),
    [
        ('[limits]\nmax_macs = "3M"', "limits", "max_macs", 3_000_000),
        ('[limits]\nmax_params = "500k"', "limits", "max_params", 500_000),
        ('[limits]\nmax_activations = "1.5 G"', "limits", "max_activations", 1_500_000_000),
        ('[limits]\nmax_train_bytes = "2 GiB"', "limits", "max_train_bytes", 2**31),
        ('[limits]\nmax_latency_ms = "5 ms"', "limits", "max_latency_ms", 5.0),
        ('[data]\ntrain_images = "10k"', "data", "train_images", 10_000),
        ('[objectives]\nreference = {macs = "5M"}', "objectives", "reference", {"macs": 5e6}),
        ('[objectives]\nreference = {error = "30 %"}', "objectives", "reference", {"error": 0.3}),
        ('[search]\ntime = "1 hour"', "search", "time", 3600),
        ('[search]\ntimeout = "2 days"', "search", "timeout", 172_800),
    ],
)
def test_amounts_in_study_files(text, section, key, value):
    assert getattr(getattr(parse_study(text), section), key) == value


def test_start_configs_take_the_datas_channels_and_classes():
    text = '[search]\nstart = ["densenet-40-12", {growth_rate = 7}]'
    study = parse_study(text)
    preset, ours = study.start_configs(study.space.build(in_channels=1, num_classes=4))
    assert preset == PRESETS["densenet-40-12"].replace(in_channels=1, num_classes=4)
    assert (ours.growth_rate, ours.num_init_features, ours.num_classes) == (7, 14, 4)


def test_twice_the_growth_in_a_start_table():
    text = "[space]\nnum_init_features = 16\n[search]\nstart = [{%s}, {num_init_features = %s}]"
    study = parse_study(text % ("growth_rate = 7", '"2x growth", growth_rate = 7'))
    plain, twice = study.start_configs(study.space.build(in_channels=1, num_classes=4))
    assert (plain.num_init_features, twice.num_init_features) == (16, 14)


# Files


def test_data_path_is_relative_to_the_study_file(tmp_path):
    (tmp_path / "x.toml").write_text('[data]\npath = "../images"')
    assert load_study(tmp_path / "x.toml").data.path == tmp_path.parent / "images"
    (tmp_path / "x.toml").write_text('[data]\npath = "~/images"')
    assert load_study(tmp_path / "x.toml").data.path == Path.home() / "images"


def test_mark_that_windows_writes_in_front(tmp_path):
    (tmp_path / "x.toml").write_text("[search]\ntrials = 3", encoding="utf-8-sig")
    assert load_study(tmp_path / "x.toml").search.trials == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"x.toml: there is no such study file; dnsearch init writes one to start from$"),
        (b"\xff\xfe\x00", r"x.toml: must be a readable study file: it is not UTF-8 text$"),
        (b"\x00", r"x.toml: must be valid TOML: .*"),
        (b"[space]\ngrowht = 1", r"x.toml: space.growht is no known key"),
        (
            b'[data]\npath = "~nobody-of-this-name/x"',
            r"x.toml: data.path cannot be followed .*, got '~nobody-of-this-name/x'$",
        ),
        (b'[data]\npath = "a\\u0000"', r"x.toml: data.path cannot be followed .*got 'a\\x00'$"),
    ],
)
def test_bad_file(tmp_path, content, told):
    if content is not None:
        (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        load_study(tmp_path / "x.toml")


def test_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"must be a readable study file: Is a directory$"):
        load_study(tmp_path)


def test_ring_of_links(tmp_path):
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    (tmp_path / "x.toml").write_text('[data]\npath = "ring"')
    with pytest.raises(ConfigError, match=r"x.toml: data.path cannot be followed"):
        load_study(tmp_path / "x.toml")


@pytest.mark.parametrize("study", sorted(Path(__file__).parents[1].glob("studies/*.toml")), ids=str)
def test_shipped_studies_are_valid(study):
    assert load_study(study) != StudyConfig()


# Written and read back


@pytest.mark.parametrize("comments", [False, True])
def test_defaults_come_back(comments):
    assert parse_study(to_toml(StudyConfig(), comments=comments)) == StudyConfig()


def choices(values):
    return st.lists(values, min_size=1, max_size=4, unique=True)


counts = st.integers(1, 10**12)
shares = st.floats(0, 0.99)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
STUDIES = st.fixed_dictionaries(
    {},
    optional={
        "data": st.fixed_dictionaries(
            {}, optional={"path": texts, "image_size": st.integers(1, 4096), "train_images": counts}
        ),
        "space": st.fixed_dictionaries(
            {},
            optional={
                "growth_rate": choices(st.integers(4, 64)),
                "block_config": st.lists(choices(st.integers(1, 9)), min_size=1, max_size=5),
                "bn_size": choices(st.integers(0, 8)),
                "num_init_features": choices(st.one_of(st.integers(64, 99), st.just("2x growth"))),
                "compression": choices(st.floats(0.6, 1)),
                "drop_rate": choices(shares),
                "norm": choices(st.sampled_from(["batch", "group"])),
                "stem": st.sampled_from(["cifar", "imagenet", "patch2", "patch4"]),
            },
        ),
        "limits": st.fixed_dictionaries(
            {}, optional={"max_macs": counts, "max_latency_ms": st.floats(1e-300, 1e300)}
        ),
        "objectives": st.fixed_dictionaries(
            {"costs": choices(st.sampled_from(["params", "macs", "activations", "latency_ms"]))}
        ),
        "training": st.fixed_dictionaries(
            {},
            optional={"rungs": choices(counts).map(sorted), "ema": shares, "flip": st.booleans()},
        ),
        "search": st.fixed_dictionaries(
            {},
            optional={
                "time": st.floats(1e-9, 1e12),
                "seed": st.integers(0, 2**70),
                "device": st.sampled_from(["auto", "cpu", "cuda", "cuda:3"]),
                "until": st.none()
                | st.fixed_dictionaries({"regret": st.floats(0.01, 100)})
                | st.fixed_dictionaries(
                    {"regret": st.just(0.5), "probability": st.floats(0.51, 0.99)}
                ),
                "start": st.lists(
                    st.one_of(
                        st.sampled_from(sorted(PRESETS)),
                        st.fixed_dictionaries(
                            {"growth_rate": st.integers(8, 99), "norm": st.just("group")}
                        ),
                    )
                ),
            },
        ),
    },
)


@settings(max_examples=100, deadline=None)
@given(values=STUDIES, comments=st.booleans())
def test_any_study_comes_back(values, comments):
    study = StudyConfig.model_validate(values)
    assert parse_study(to_toml(study, comments=comments)) == study


# Changes


def test_changed_keys_are_named_budgets_aside():
    old = parse_study("[space]\ngrowth_rate = 4\n[search]\ntrials = 5\nseed = 1")
    new = parse_study(
        '[limits]\nmax_macs = 1e6\n[search]\ntrials = 9\ntime = "1h"\nseed = 2\nworkers = 3\n'
        'device = "cpu"\ntimeout = 9\nkeep_checkpoints = "all"\nuntil = {regret = 1}\n'
        '[space]\ngrowth_rate = [4, 8]\n[data]\nkeep = "disk"'
    )
    assert changed_keys(old, new) == [
        "space.growth_rate: [4] -> [4, 8]",
        "limits.max_macs: unset -> 1000000",
        "search.seed: 1 -> 2",
    ]
    assert changed_keys(old, old) == []


def test_override():
    study = override(StudyConfig(), trials=3, time="2m")
    assert (study.search.trials, study.search.time) == (3, 120)
    assert override(StudyConfig()) == StudyConfig()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("time", "0s", r"^--time must be greater than 0, got '0s'$"),
        ("time", "soon", r"^--time must be a number of seconds or text .*, got 'soon'$"),
        ("device", "tpu", r"^--device must be auto, cpu, cuda or cuda:N, got 'tpu'$"),
        ("workers", 5000, r"^--workers must be at most 1024, got 5000$"),
    ],
)
def test_bad_override(key, value, told):
    with pytest.raises(ConfigError, match=told):
        override(StudyConfig(), **{key: value})


@pytest.mark.parametrize(
    ("images", "batch_size", "rungs"),
    [
        (8000, 64, (1, 3, 9)),  # the quickstart's: 3 epochs would do, but three rungs are wanted
        (50_000, 128, (1, 3, 9)),
        (300, 30, (5, 15, 45)),  # 10 steps an epoch
        (72, 16, (11, 33, 99)),
        (20, 128, (42, 126, 378)),  # one step an epoch
    ],
)
def test_auto_rungs_take_the_quickstart_s_steps_at_least(images, batch_size, rungs):
    study = parse_study(f'[training]\nrungs = "auto"\nbatch_size = {batch_size}')
    sized = study.sized(images)
    assert sized.training.rungs == rungs
    assert rungs[-1] * max(1, images // batch_size) >= 375
    assert sized.sized(10) == sized
    assert 'rungs = "auto"' in to_toml(study)
    assert parse_study(to_toml(study)) == study
    assert parse_study(to_toml(sized)).training.rungs == rungs
