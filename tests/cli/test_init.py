"""``dnsearch init``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from dnsearch.config import (
    AUTO_RUNGS,
    LimitsConfig,
    StudyConfig,
    TrainingConfig,
    load_study,
    suited_space,
)
from dnsearch.data import prepare

WRITTEN = StudyConfig(space=suited_space(), training=TrainingConfig(rungs=AUTO_RUNGS))


def test_writes_a_study_of_defaults_whose_rungs_suit_the_images(dnsearch):
    code, out, err = dnsearch("init")
    assert (code, err) == (0, "")
    assert "study.toml written" in out
    assert load_study(Path("study.toml")) == WRITTEN


def test_mentions_every_key_with_its_meaning(dnsearch):
    dnsearch("init", "mine.toml")
    text = Path("mine.toml").read_text()
    for name, section in StudyConfig.model_fields.items():
        assert f"\n[{name}]\n" in text
        for key, field in section.annotation.model_fields.items():
            assert field.description
            assert re.search(rf"^# {re.escape(field.description)}\n(# )?{key} =", text, re.M)


def test_makes_missing_folders(dnsearch):
    assert dnsearch("init", "a/b/mine.toml").code == 0
    assert Path("a/b/mine.toml").is_file()


def test_does_not_replace_a_file_unasked(refused, dnsearch):
    Path("study.toml").write_text("mine")
    assert refused("init") == "study.toml: is there already; choose another name or pass --force"
    assert dnsearch("init", "--force").code == 0
    assert load_study(Path("study.toml")) == WRITTEN


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_folder_is_no_file(refused, force):
    Path("there").mkdir()
    told = "there: is a folder; name a file, such as there/study.toml"
    assert refused("init", "there", *force) == told


def test_folder_that_is_a_file(refused):
    Path("file").write_text("")
    assert refused("init", "file/study.toml").startswith("file/study.toml: cannot be written: ")


def pictures(folder, *sizes):
    """Ten pictures of each of two classes, of these sizes in turn."""
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            size = sizes[number % len(sizes)]
            Image.new("L", size, number).save(folder / name / f"{number}.png")


def test_limits_are_written_as_they_would_be_read(dnsearch):
    assert dnsearch("init", "--max-macs", "3M", "--max-train-bytes", "2GiB").code == 0
    study = load_study(Path("study.toml"))
    limits = study.limits
    assert study.objectives.aim == "least-error"
    assert (limits.max_macs, limits.max_train_bytes) == (3_000_000, 2 * 1024**3)
    assert limits.max_params is None


def test_a_limit_that_is_no_number_is_refused(refused):
    told = refused("init", "--max-macs", "lots")
    assert told.startswith("limits.max_macs must be a number")
    assert not Path("study.toml").exists()


def test_every_limit_has_an_option(dnsearch):
    options = [each for name in LimitsConfig.model_fields for each in (f"--{name}", "7")]
    assert dnsearch("init", *(each.replace("_", "-") for each in options)).code == 0
    limits = load_study(Path("study.toml")).limits
    assert set(limits.model_dump().values()) == {7}


def test_images_are_written_as_seen_from_the_file(dnsearch):
    pictures(Path("photos"), (4, 4))
    code, out, err = dnsearch("init", "studies/mine.toml", "--data", "photos")
    assert (code, err) == (0, "")
    assert "dnsearch check studies/mine.toml" in out
    assert 'path = "../photos"' in Path("studies/mine.toml").read_text()
    data = load_study(Path("studies/mine.toml")).data
    assert (data.format, data.path) == ("folder", Path("photos").resolve())
    assert set(prepare(data.model_copy(update={"image_size": 4})).classes) == {"cat", "dog"}


def test_images_that_are_not_there_are_refused(refused):
    told = "'photos': must be a file or folder that exists"
    assert refused("init", "--data", "photos") == told


def test_a_format_by_name(dnsearch, refused):
    Path("photos").mkdir()
    assert dnsearch("init", "--data", "photos", "--format", "folder").code == 0
    assert load_study(Path("study.toml")).data.format == "folder"
    told = refused("init", "b.toml", "--data", "photos", "--format", "tiff")
    assert told.startswith("data.format must be ")


@pytest.mark.parametrize(
    ("sizes", "image_size", "stems"),
    [
        ([(28, 28)], None, ("cifar", "patch2")),
        ([(96, 120)], None, ("imagenet", "patch4")),
        ([(500, 375), (300, 400), (640, 480)], 64, ("cifar", "patch2")),
        ([(40, 50), (50, 40), (41, 60)], 32, ("cifar", "patch2")),
        ([(9, 8), (8, 9)], 16, ("cifar", "patch2")),
    ],
)
def test_image_size_and_stems_suit_the_pictures(dnsearch, sizes, image_size, stems):
    pictures(Path("photos"), *sizes)
    code, out, _ = dnsearch("init", "--data", "photos")
    study = load_study(Path("study.toml"))
    assert (code, study.data.image_size, study.space.stem) == (0, image_size, stems)
    assert ("pictures differ in size" in out) == (image_size is not None)


def test_pictures_that_are_upright_by_their_tag_count_as_such(dnsearch):
    pictures(Path("photos"), (30, 40))
    turned = Image.new("L", (40, 30))
    tag = turned.getexif()
    tag[0x0112] = 6
    turned.save("photos/cat/turned.jpg", exif=tag)
    assert dnsearch("init", "--data", "photos").code == 0
    assert load_study(Path("study.toml")).data.image_size is None


def test_images_that_need_a_setting_are_left_to_check(dnsearch):
    Path("photos").mkdir()
    assert dnsearch("init", "--data", "photos", "--format", "cifar10").code == 0
    assert load_study(Path("study.toml")).data.format == "cifar10"
