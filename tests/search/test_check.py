"""What is known of a study before training, and what is warned of."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from dnsearch.arch.config import ArchArrays
from dnsearch.config import parse_study
from dnsearch.cost import predicted_peak_bytes
from dnsearch.errors import ConfigError, SpaceError
from dnsearch.search.check import check
from tests.cache import make_cache

PLENTY = 10**12


@pytest.fixture
def images(tmp_path, monkeypatch):
    """(train, validation, test, classes, side): an archive of noise, and a study's section on it;
    ``labels`` are of all images, which take turns unless they are given."""
    monkeypatch.setenv("DNSEARCH_CACHE", make_cache(tmp_path / "cache"))

    def make(train=4000, validation=1000, test=100, classes=4, side=4, labels=None, channels=()):
        random, arrays = np.random.default_rng(0), {}
        for split, count in (("train", train), ("val", validation), ("test", test)):
            if count:
                shape = (count, side, side, *channels)
                arrays[f"x_{split}"] = random.integers(0, 256, shape, dtype=np.uint8)
                turns = np.arange(count) % classes
                arrays[f"y_{split}"] = turns if labels is None else labels[:count]
        np.savez(tmp_path / "toy.npz", **arrays)
        return f'[data]\nformat = "npz"\npath = "{tmp_path / "toy.npz"}"\n'

    return make


SPACE = """
[space]
growth_rate = [2, 4, 6]
block_config = [[1, 2], [1, 2]]
bn_size = [0]
[training]
shift = 0
"""


def checked(data, rest=SPACE, memory=PLENTY, timer=lambda outset, arch: 0.01):
    return check(parse_study(data + rest), timer, lambda device: memory)


def test_a_sound_study_has_no_warnings(images):
    found = checked(images(), SPACE + "rungs = [1, 13]\n[search]\ntrials = 12\nworkers = 2")
    assert found.warnings == ()
    assert found.test == (None, 100, ())
    assert found.baseline.error == 0.75
    assert found.steps == {1: 31, 13: 403}
    assert len(found.outset.points) == found.outset.space.size == 12
    macs = found.outset.costs.macs
    assert (found.cheapest.cost.macs, found.dearest.cost.macs) == (macs.min(), macs.max())
    # two standard errors of the difference of two shares of 1,000 images, 20 % each
    assert found.difference == pytest.approx(2 * math.sqrt(2 * 0.2 * 0.8 / 1000))
    # all networks take 0.01 s a step; 1,000 images are evaluated in a third of the time of a step
    length = 0.01 * 13 * (31 + 1000 / 128 / 3)
    assert found.dearest.seconds == pytest.approx(length)
    assert found.seconds == pytest.approx((6 * length, 6 * length))


def test_times_grow_with_macs_and_are_cut_by_the_budget(images):
    def timer(outset, arch):
        return 0.001 + outset.model.cost(arch).macs * 1e-9

    search = "\n[search]\ntrials = 10\nworkers = 1"
    found = checked(images(), SPACE + search, timer=timer)
    macs, length = found.outset.costs.macs, 9 * (31 + 1000 / 128 / 3)
    for point in (found.cheapest, found.dearest):
        assert point.seconds == pytest.approx(length * (0.001 + point.cost.macs * 1e-9))
    low, high = found.seconds
    assert low == pytest.approx(10 * found.cheapest.seconds)
    assert high == pytest.approx(10 * length * (0.001 + macs.mean() * 1e-9))
    assert checked(images(), SPACE + search + '\ntime = "1s"', timer=timer).seconds[1] == 1


def test_training_that_does_not_fit_has_no_time(images):
    found = checked(images(), timer=lambda outset, arch: None)
    assert found.seconds is None
    assert found.dearest.seconds is None


@pytest.mark.parametrize(
    ("given", "rest", "told"),
    [
        (
            {"train": 300},
            SPACE + "rungs = [1, 3, 9]\nbatch_size = 30",
            r"9 epochs are 90 steps of training, too few .*training\.rungs = \[5, 15, 45\]",
        ),
        (
            {},
            SPACE + 'crop = "resized"\nmixup = 0.2',
            r"training\.crop and training\.mixup are for long trainings, and one of 9 epochs may",
        ),
        ({"train": 100}, SPACE, "every step takes all 100 training images, as a batch .* 128"),
        ({"validation": 320}, SPACE, "320 validation images cannot show .* below 6.3 points"),
        (
            {"train": 1280, "validation": 10_000},
            SPACE,
            r"10,000 images takes 72 % of each epoch's time; with data\.validation_images = 1280 "
            r"it takes 25 % and detects differences of error of 3\.2 points or more",
        ),
        ({"test": 0}, SPACE, r"there are no test images.*data\.test = 0\.15"),
        ({"train": 36}, SPACE, "4 classes have fewer than 10 training images: 0, 1, 2, 3"),
        (
            {"labels": np.arange(4000) % 20 == 0},
            SPACE,
            "an error of 5.0 % is that of always answering 'false'",
        ),
        ({"side": 65, "train": 80}, SPACE, "images of 65x65 pixels .* by the cifar stem"),
        ({}, SPACE + "[search]\ntrials = 50", "only 12 networks within the limits, for 50 trials"),
        (
            {},
            SPACE + '[search]\ntime = "1s"\nworkers = 1',
            r"mean cost takes about 3\.0 s, longer than search\.time \(1\.0 s\)",
        ),
        ({}, SPACE + '[search]\ntimeout = "1s"', r"longer than search\.timeout \(1\.0 s\)"),
    ],
)
def test_what_is_doubtful_is_warned_of(images, given, rest, told):
    found = checked(images(**given), rest)
    assert [text for text in found.warnings if re.search(told, text)], found.warnings
    sound = checked(images(), SPACE + "[search]\ntrials = 12")
    assert not any(re.search(told, text) for text in sound.warnings)


def test_long_trainings_may_augment_as_they_like(images):
    long = SPACE + "rungs = [30]\nmixup = 0.2"
    assert not any("mixup" in text for text in checked(images(), long).warnings)


def test_memory_of_all_workers_counts(images):
    three = SPACE + "[search]\nworkers = 3"
    dearest = ArchArrays.of([checked(images(), three).dearest.arch])
    taken = int(predicted_peak_bytes(dearest, 4, 4, 128)[0])
    told = "the largest network takes"
    assert told in " ".join(checked(images(), three, memory=3 * taken - 1).warnings)
    assert told not in " ".join(checked(images(), three, memory=3 * taken).warnings)


def test_colour_without_colours(images):
    data = images(train=80, channels=(3,))
    assert not any("grey" in text for text in checked(data).warnings)
    path = data.split('"')[-2]
    arrays = dict(np.load(path))
    for name in ("x_train", "x_val", "x_test"):
        arrays[name] = arrays[name][..., :1].repeat(3, axis=3)
    np.savez(path, **arrays)
    assert any("all images are grey, but stored in colour" in t for t in checked(data).warnings)


def test_a_test_split_that_cannot_be_used_is_told_once(images):
    data = images()
    path = data.split('"')[-2]
    arrays = dict(np.load(path)) | {"y_test": np.full(100, -1)}
    np.savez(path, **arrays)
    found = checked(data)
    told = [text for text in (*found.notes, *found.warnings) if "all are -1 (hidden" in text]
    assert told == ["the test split cannot be used: toy.npz (npz), test: has no labels, as all are "
                    "-1 (hidden, by custom)"]  # fmt: skip
    assert found.outset.data.test_split is False


def test_what_would_keep_a_search_from_starting_is_an_error(images):
    with pytest.raises(ConfigError, match=r"training\.batch_size must be at most 50, .* got 51"):
        checked(images(train=50), SPACE + "batch_size = 51")
    with pytest.raises(SpaceError, match="no point of the space"):
        checked(images(), SPACE + "[limits]\nmax_macs = 1")


def test_it_is_timed_by_real_training(images, monkeypatch):
    monkeypatch.setattr("dnsearch.training.pace.set_up", lambda *_: None)  # for the whole process
    study = parse_study(images(train=200) + SPACE + '[search]\nworkers = 1\ndevice = "cpu"')
    found = check(study)
    assert found.cheapest.seconds > 0
    assert found.dearest.seconds >= found.cheapest.seconds


@pytest.mark.parametrize(("takes", "warned"), [(0.4, True), (0.3, False), (0.2, False)])
def test_a_latency_limit_that_the_smallest_network_exceeds_is_warned_of(images, takes, warned):
    asked = []

    def latency(outset, arch):
        asked.append(arch)
        return takes

    study = parse_study(images() + SPACE + "rungs = [1, 13]\n[limits]\nmax_latency_ms = 0.3")
    found = check(study, lambda outset, arch: 0.01, lambda device: PLENTY, latency)
    assert asked == [found.cheapest.arch]
    assert found.latency_ms == takes
    told = [each for each in found.warnings if "latency" in each]
    expected = (
        "the smallest network takes 0.4 ms here, more than limits.max_latency_ms = 0.3; raise it, "
        "offer smaller choices in [space], or check again if the machine was busy"
    )
    assert told == [expected] * warned


def test_without_a_limit_no_latency_is_measured(images):
    study = parse_study(images() + SPACE + "rungs = [1, 13]")
    found = check(study, lambda outset, arch: 0.01, lambda device: PLENTY, latency=None)
    assert found.latency_ms is None
