"""``dnsearch init``."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dnsearch.config import (
    AUTO_RUNGS,
    LimitsConfig,
    StudyConfig,
    TrainingConfig,
    load_study,
    suited_batch_size,
    suited_space,
)
from dnsearch.data import prepare
from dnsearch.search.outset import Outset

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


def test_headings_are_whole_sentences(dnsearch):
    """Each section's is its docstring, which so has one line."""
    dnsearch("init", "mine.toml")
    headings = re.findall(r"^# -+\n# (.*)\n\[(\w+)\]$", Path("mine.toml").read_text(), re.M)
    assert [name for _, name in headings] == [*StudyConfig.model_fields]
    for heading, name in headings:
        assert heading == StudyConfig.model_fields[name].annotation.__doc__
        assert heading.endswith(".")


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
    options = [each for name in LimitsConfig.model_fields for each in (f"--{name}", "7e9")]
    assert dnsearch("init", *(each.replace("_", "-") for each in options)).code == 0
    limits = load_study(Path("study.toml")).limits
    assert set(limits.model_dump().values()) == {7e9}


@pytest.mark.parametrize(
    ("limits", "costs"),
    [
        ([], ("macs",)),
        (["--max-macs", "3M"], ("macs",)),
        (["--max-params", "1M"], ("params",)),
        (["--max-latency-ms", "5"], ("latency_ms",)),
        (["--max-latency-ms", "5", "--max-activations", "1M"], ("activations", "latency_ms")),
        (["--max-train-bytes", "1GB"], ("macs",)),
    ],
)
def test_costs_are_what_is_limited(dnsearch, limits, costs):
    assert dnsearch("init", *limits).code == 0
    assert load_study(Path("study.toml")).objectives.costs == costs
    assert (" limited\n" in Path("study.toml").read_text()) == (costs != ("macs",))


def test_limits_that_no_network_meets_are_refused(refused):
    pictures(Path("photos"), (32, 32))
    for images in ([], ["--data", "photos"]):
        told = refused("init", "--max-macs", "3", *images)
        assert re.match(r"no point of the space has macs <= 3; the smallest has [\d.e+]+; ", told)
    assert not Path("study.toml").exists()


def test_images_are_written_as_seen_from_the_file(dnsearch):
    pictures(Path("photos"), (4, 4))
    code, out, err = dnsearch("init", "studies/mine.toml", "--data", "photos")
    assert (code, err) == (0, "")
    assert "dnsearch check studies/mine.toml" in out
    assert 'path = "../photos"' in Path("studies/mine.toml").read_text()
    data = load_study(Path("studies/mine.toml")).data
    assert (data.format, data.path) == ("folder", Path("photos").resolve())
    assert set(prepare(data).classes) == {"cat", "dog"}


def test_images_that_are_not_there_are_refused(refused):
    told = "'photos': must be a file or folder that exists"
    assert refused("init", "--data", "photos") == told


def test_a_format_by_name(dnsearch, refused):
    pictures(Path("photos"), (8, 8))
    assert dnsearch("init", "--data", "photos", "--format", "folder").code == 0
    assert load_study(Path("study.toml")).data.format == "folder"
    told = refused("init", "b.toml", "--data", "photos", "--format", "tiff")
    assert told.startswith("data.format must be ")


@pytest.mark.parametrize(
    ("sizes", "image_size", "stems"),
    [
        ([(28, 28)], None, ("cifar", "patch2")),
        ([(96, 120)], None, ("imagenet", "patch4")),
        ([(300, 320)], 224, ("imagenet", "patch4")),
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
    assert ("pictures differ in size" in out) == (len(sizes) > 1)
    Outset.of(study)


@pytest.mark.parametrize(
    ("limit", "size", "image_size"),
    [
        ("300M", (300, 320), 224),
        ("10M", (300, 320), 128),
        ("1M", (300, 320), 64),
        ("1M", (96, 120), 64),
        ("100k", (40, 40), 16),
        ("300k", (40, 40), None),
        ("3M", (96, 120), None),
    ],
)
def test_pictures_are_resized_so_that_networks_are_within_the_limits(
    dnsearch, limit, size, image_size
):
    pictures(Path("photos"), size)
    assert dnsearch("init", "--data", "photos", "--max-macs", limit).code == 0
    study = load_study(Path("study.toml"))
    assert study.data.image_size == image_size
    assert Outset.of(study).costs.macs.max() <= study.limits.max_macs


def test_an_image_size_that_is_given_stays(dnsearch):
    pictures(Path("photos"), (30, 40), (40, 30))
    code, out, _ = dnsearch("init", "--data", "photos", "--image-size", "8")
    assert (code, "pictures differ" in out) == (0, False)
    assert load_study(Path("study.toml")).data.image_size == 8


def test_pictures_of_other_splits_are_looked_at_too(dnsearch):
    pictures(Path("photos/train"), (20, 20))
    pictures(Path("photos/test"), (30, 20))
    assert dnsearch("init", "--data", "photos").code == 0
    data = load_study(Path("study.toml")).data
    assert (data.image_size, data.test) == (16, None)


@pytest.mark.parametrize(
    ("each", "classes", "test"),
    [(10, 2, 0.15), (9, 2, None), (3, 5, None), (2, 2, None), (30, 3, 0.15)],
)
def test_batches_and_test_images_suit_their_number(dnsearch, each, classes, test):
    """What require_images wants of the file is asked of the images as they are split."""
    for label in range(classes):
        Path("photos", str(label)).mkdir(parents=True)
        for number in range(each):
            Image.new("L", (8, 8), 9 * number + label).save(f"photos/{label}/{number}.png")
    assert dnsearch("init", "--data", "photos").code == 0
    study = load_study(Path("study.toml"))
    train = len(Outset.of(study).data.train)
    assert (study.data.test, study.training.batch_size <= max(train, 2)) == (test, True)
    assert (test is None) == ("# as there is no test split" not in Path("study.toml").read_text())


@pytest.mark.parametrize(
    ("images", "batch_size"),
    [(-1, 2), (1, 2), (3, 2), (15, 8), (48, 16), (256, 32), (1000, 64), (1024, 128), (50_000, 128)],
)
def test_batch_size_by_training_images(images, batch_size):
    assert suited_batch_size(images) == batch_size


def test_what_is_wrong_with_the_images_is_an_error(refused, dnsearch):
    pictures(Path("photos"), (20, 30), (30, 20))
    Path("photos/empty").mkdir()
    told = "every class must have pictures that can be read, 'empty' has none"
    assert told in refused("init", "--data", "photos")
    Path("photos/empty").rmdir()
    Path("photos/cat/0.png").write_bytes(b"")
    assert "data.skip_bad = true goes on without it" in refused("init", "--data", "photos")
    assert not Path("study.toml").exists()
    assert dnsearch("init", "--data", "photos", "--skip-bad").code == 0
    data = load_study(Path("study.toml")).data
    assert (data.image_size, data.skip_bad) == (16, True)


def test_one_class_is_refused(refused):
    pictures(Path("photos"), (20, 30))
    shutil.rmtree("photos/dog")
    told = "must have at least 2 classes, got cat"
    assert told in refused("init", "--data", "photos")
    for file in list(Path("photos/cat").iterdir())[1:]:
        file.unlink()
    assert told in refused("init", "--data", "photos")


def test_pictures_that_are_upright_by_their_tag_count_as_such(dnsearch):
    pictures(Path("photos"), (30, 40))
    turned = Image.new("L", (40, 30))
    tag = turned.getexif()
    tag[0x0112] = 6
    turned.save("photos/cat/turned.jpg", exif=tag)
    assert dnsearch("init", "--data", "photos").code == 0
    assert load_study(Path("study.toml")).data.image_size is None


def test_columns_of_a_table(refused, dnsearch):
    contents = []
    for grey in (0, 255):
        Image.new("L", (8, 8), grey).save(written := io.BytesIO(), "png")
        contents.append(written.getvalue())
    pixels = [{"bytes": content} for content in contents * 20]
    columns = {"image": pixels, "kind": [0, 1] * 20, "place": [1, 0] * 20}
    pq.write_table(pa.table(columns), "photos.parquet")
    assert "set data.label to one of them" in refused("init", "--data", "photos.parquet")
    assert dnsearch("init", "--data", "photos.parquet", "--label", "kind").code == 0
    assert load_study(Path("study.toml")).data.label == "kind"
