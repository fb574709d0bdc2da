"""The model card tells what is known of a network, with intervals, and what is not."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binom

from dnsearch.config import DataConfig, TrainingConfig
from dnsearch.export.card import WORST, Card, ClassErrors, error_text

DATA = {
    "name": "flowers (folder)",
    "shape": [3, 32, 24],
    "classes": ["rose", "a|b\nc", "tulip"],
    "images": {"train": 1200, "validation": 300},
    "mean": [0.5] * 3,
    "std": [0.2] * 3,
    "fingerprint": "0123456789abcdef",
    "notes": ["2 pictures with several frames: the first is used"],
}


def card(**changes) -> str:
    own = Card(
        title="net",
        intro="A network.",
        figures=[("parameters", "12 k params")],
        remark="Errors are errors.",
        classes=ClassErrors("test", (10, 45, 0), (100, 90, 0)),
        data=DATA,
        source=DataConfig(format="folder", path="flowers"),
        recipe=TrainingConfig(batch_size=64, cutout=3, flip=False, label_smoothing=0.1, ema=0),
        epochs=30,
        seed=7,
        unchecked=["Other seeds."],
    )
    return own._replace(**changes).text()


def numbers(text: str) -> tuple[float, float, float]:
    value, rest = text.split(" % (")
    low, high = rest.split(" %)")[0].split(" to ")
    return float(value), float(low), float(high)


@pytest.mark.parametrize(("wrong", "images"), [(13, 100), (1, 40), (87, 100)])
def test_intervals_are_clopper_and_pearsons(wrong, images):
    """At either end as many errors, or as few, as were seen have a probability of 5 %."""
    value, low, high = numbers(error_text("top1", wrong / images, [images], "test"))
    assert value == pytest.approx(100 * wrong / images, abs=0.005)
    assert binom.sf(wrong - 1, images, low / 100) == pytest.approx(0.05, abs=0.003)
    assert binom.cdf(wrong, images, high / 100) == pytest.approx(0.05, abs=0.003)


def test_a_balanced_error_has_the_interval_of_its_smallest_class():
    """A class of ten images decides, however many the other has."""
    _, low, high = numbers(error_text("balanced", 0.2, [10, 100_000], "test"))
    _, least, most = numbers(error_text("top1", 0.2, [40], "test"))
    assert (low, high) == pytest.approx((least, most), abs=0.05)
    assert error_text("balanced", 0.2, [10, 90], "test").endswith(" on 100 test images")
    assert error_text("top1", math.nan, [10], "test") == "–"


def test_initial_weights_and_all_augmentation_are_told():
    recipe = TrainingConfig(crop="resized", jitter=0.4, mixup=0.2, cutmix=1)
    text = card(recipe=recipe, init="w.pth (SHA-256 0123)")
    assert "seed 7, from the weights of w.pth (SHA-256 0123)" in text
    assert (
        "- images mirrored at random, cropped at random and resized, colours changed by up to 40 "
        "%, mixed in pairs by mixup (0.2), mixed in pairs by CutMix (1)"
    ) in text


def test_classes_are_told_with_the_worst_first():
    lines = card().splitlines()
    rows = [line for line in lines if line.startswith(("| rose", "| a", "| tulip"))]
    assert [row.split(" | ")[0] for row in rows] == ["| a\\|b c", "| rose"]  # none of tulip
    assert " | 90 | 50.00 % (" in rows[0]
    assert "| class | test images | error |" in lines


def test_of_many_classes_the_worst():
    count = WORST + 5
    data = DATA | {"classes": [f"c{i}" for i in range(count)]}
    text = card(data=data, classes=ClassErrors("validation", range(count), [100] * count))
    assert f"These are the {WORST} worst of {count} classes." in text
    assert f"| c{count - 1} | 100 | " in text
    assert "| c4 | 100 | " not in text


def test_what_is_not_known_is_left_out():
    assert "by class" not in card(classes=None)


@pytest.mark.parametrize(
    "told",
    [
        "- flowers (folder): 1,200 training and 300 validation images of 3 classes, RGB, 32x24 pix",
        "- licence of the data: not known to dnsearch; find out what it allows before you publish",
        "- fingerprint of the images: `0123456789abcdef`",
        "- 2 pictures with several frames: the first is used",
        "- 30 epochs in batches of 64, seed 7, from random weights",
        "- label smoothing 0.1",
        "- images shifted by up to 2 pixels, a square of 3 pixels blanked",
        "- Other seeds.",
        "- The probabilities: ",
        "with a probability of 90 %.",
    ],
)
def test_data_recipe_and_what_was_not_checked(told):
    assert told in card()
    assert "averages" not in card()


def test_the_licence_of_the_bundled_images_is_known():
    assert "licence of the data: MIT, by Zalando SE" in card(source=DataConfig())
