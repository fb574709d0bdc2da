"""Which column holds the labels, of whatever type, and how splits and shards agree on classes."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnsearch.config import DataConfig, parse_study
from dnsearch.data import check_test, prepare, prepare_test
from dnsearch.data.assemble import fingerprint
from dnsearch.errors import ConfigError, DataError

PICTURES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ANIMALS = ("cat", "dog", "owl")
ROWS = 12
NUMBERS = np.arange(ROWS) % 3
TEXT = [ANIMALS[i] for i in NUMBERS]
AGES = pa.array(20 + np.arange(ROWS) % 5)


@pytest.fixture
def write(tmp_path, encoded, random):
    """(name, names=None, **columns): a table of so many pictures, different each time; ``names``
    are what Hugging Face's metadata calls the numbers of the column ``label``."""

    def make(name, names=None, **columns):
        pictures = [
            {"bytes": encoded(random.integers(0, 256, (6, 6), dtype=np.uint8)), "path": None}
            for _ in range(ROWS)
        ]
        table = pa.table({"image": pa.array(pictures, PICTURES), **columns})
        if names:
            feature = {"label": {"names": names, "_type": "ClassLabel"}}
            metadata = json.dumps({"info": {"features": feature}})
            table = table.replace_schema_metadata({"huggingface": metadata})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        return DataConfig(format="parquet", path=tmp_path)

    return make


def classes_of(data):
    """Of all images, sorted: the class's name and how many it has."""
    counts = np.sum(list(data.class_counts.values()), axis=0)
    return dict(zip(data.classes, counts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(TEXT), {"cat": 4, "dog": 4, "owl": 4}),
        (pa.array(TEXT, pa.large_string()), {"cat": 4, "dog": 4, "owl": 4}),
        (pa.array(TEXT).dictionary_encode(), {"cat": 4, "dog": 4, "owl": 4}),
        (pa.array([[i] for i in NUMBERS.tolist()]), {"0": 4, "1": 4, "2": 4}),
        (pa.array([[t] for t in TEXT]), {"cat": 4, "dog": 4, "owl": 4}),
        (pa.array(NUMBERS).dictionary_encode(), {"0": 4, "1": 4, "2": 4}),
        (pa.array(NUMBERS.astype(float)), {"0": 4, "1": 4, "2": 4}),
        (pa.array(NUMBERS.astype(np.uint8)), {"0": 4, "1": 4, "2": 4}),
        (pa.array(NUMBERS == 1), {"false": 8, "true": 4}),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
@pytest.mark.parametrize("name", ["label", "labels", "Class", "target", "y", "fine_label"])
def test_what_is_called_a_label_is_it_whatever_its_type(write, column, expected, name):
    config = write("train-0", age=AGES, **{name: column})
    assert classes_of(prepare(config)) == expected


def test_a_whole_number_alone_is_the_label_and_that_is_said(write):
    captions = pa.array([f"picture {i}" for i in range(ROWS)])
    data = prepare(write("train-0", kind=pa.array(NUMBERS), caption=captions))
    assert classes_of(data) == {"0": 4, "1": 4, "2": 4}
    assert data.notes == ("training images: labels are those of column 'kind' (data.label)",)


def test_declared_names_make_a_label_of_a_column(write, tmp_path):
    write("train-0", animal=pa.array(NUMBERS), age=AGES)
    table = pq.read_table(tmp_path / "train-0.parquet")
    features = {"animal": {"names": ANIMALS, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "train-0.parquet")
    assert prepare(DataConfig(format="parquet", path=tmp_path)).classes == ANIMALS


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"species": pa.array(TEXT), "age": AGES}, "age and species"),
        ({"sick": pa.array(NUMBERS == 1), "age": AGES}, "age and sick"),
        ({"grade": pa.array(NUMBERS.astype(float)), "age": AGES}, "age and grade"),
        ({"kind": pa.array([[i] for i in NUMBERS.tolist()]), "age": AGES}, "age and kind"),
        ({"year": AGES, "age": AGES}, "year and age"),
        ({"target": AGES, "class": pa.array(TEXT)}, "class and target"),
    ],
)
def test_what_is_doubtful_is_refused_and_settled_by_the_study(write, columns, told):
    config = write("train-0", **columns)
    message = f"cannot tell which column holds the labels, {told} .*; set data.label to one of them"
    with pytest.raises(DataError, match=message):
        prepare(config)
    chosen = config.model_copy(update={"label": "age" if "age" in columns else "class"})
    assert len(prepare(chosen).classes) == (5 if "age" in columns else 3)


def test_label_beside_another_of_its_names_is_taken_and_said(write):
    data = prepare(write("train-0", label=pa.array(TEXT), target=AGES))
    assert data.classes == ANIMALS
    assert data.notes == ("training images: labels are those of column 'label', not target",)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([[0, 1]] * ROWS), "must hold one label a row, got lists of several or none"),
        (pa.array([[]] * ROWS, pa.list_(pa.int64())), "must hold one label a row"),
        (pa.array([None, *TEXT[1:]]), "must have a label in every row, 1 have none"),
        (pa.array([0.5, *[1.0] * (ROWS - 1)]), "must be whole numbers or text, got 0.5"),
        (pa.array([float("nan"), *[1.0] * (ROWS - 1)]), "must be whole numbers or text, got nan"),
        (pa.array([{"a": 1}] * ROWS), "must hold whole numbers or text, got struct"),
    ],
)
def test_labels_that_are_none_are_refused(write, column, told):
    with pytest.raises(DataError, match=told) as refused:
        prepare(write("train-0", label=column, age=AGES))
    assert "\n" not in str(refused.value)


def test_chosen_columns_must_be_there(write):
    config = write("train-0", label=pa.array(TEXT))
    for key in ("label", "image"):
        wrong = config.model_copy(update={key: "nothing"})
        with pytest.raises(ConfigError, match=rf"data\.{key} must be one of the columns"):
            prepare(wrong)
    with pytest.raises(ConfigError, match="label must be unset for format 'npz'"):
        parse_study('[data]\nformat = "npz"\nlabel = "y"')


def test_pictures_may_be_plain_bytes_and_which_is_settled_by_the_study(tmp_path, encoded, random):
    def pictures():
        shape = (6, 6)
        return [encoded(random.integers(0, 256, shape, dtype=np.uint8)) for _ in range(ROWS)]

    left, right = pictures(), pictures()
    table = pa.table({"left": left, "label": TEXT})
    pq.write_table(table, tmp_path / "x.parquet")
    config = DataConfig(format="parquet", path=tmp_path / "x.parquet")
    assert prepare(config).shape == (1, 6, 6)
    pq.write_table(table.append_column("right", pa.array(right)), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"one column of pictures .*left, right.*set data\.image"):
        prepare(config)
    chosen = [config.model_copy(update={"image": name}) for name in ("left", "right")]
    assert len({prepare(each).fingerprint for each in chosen}) == 2


def test_shards_with_names_in_another_order_are_renumbered(write):
    write("train-00000-of-00002", ["a", "b", "c"], label=pa.array([0] * ROWS))
    config = write("train-00001-of-00002", ["c", "a", "b"], label=pa.array([0] * ROWS))
    assert classes_of(prepare(config)) == {"a": ROWS, "c": ROWS}


@pytest.mark.parametrize("wrong", [-1, 2])
@pytest.mark.parametrize(
    ("names", "column"),
    [
        (["cat", "dog"], NUMBERS % 2),
        (["dog", "cat"], NUMBERS % 2),
        (None, NUMBERS % 2),
        (None, ["cat", "dog"] * (ROWS // 2)),
    ],
)
def test_numbers_that_have_no_name_are_refused_whatever_other_shards_hold(
    write, names, column, wrong
):
    write("train-00000-of-00002", names, label=pa.array(column))
    labels = pa.array([0, 1, wrong] * (ROWS // 3))
    config = write("train-00001-of-00002", ["cat", "dog"], label=labels)
    with pytest.raises(DataError, match=f": labels must be among 0 to 1, got {wrong}$"):
        prepare(config)


def test_numbers_without_names_are_refused_beside_shards_of_other_orders(write):
    write("train-0", ["cat", "dog"], label=pa.array(NUMBERS % 2))
    write("train-1", ["dog", "cat"], label=pa.array(NUMBERS % 2))
    config = write("train-2", label=pa.array(NUMBERS))
    with pytest.raises(DataError, match=r"train-2.*: labels must be among 0 to 1, got 2"):
        prepare(config)


def test_hidden_labels_are_told_as_such_whatever_the_order_of_names(write):
    write("train-0", ["cat", "dog"], label=pa.array(NUMBERS % 2))
    write("test-0", ["cat", "dog"], label=pa.array([-1] * ROWS))
    config = write("test-1", ["dog", "cat"], label=pa.array([-1] * ROWS))
    assert "test: has no labels, as all are -1 (hidden" in (check_test(config).reason or "")


def test_text_in_shards_is_numbered_together(write):
    write("train-0", label=pa.array(["b", "c"] * (ROWS // 2)))
    config = write("train-1", label=pa.array(["a", "b"] * (ROWS // 2)))
    assert classes_of(prepare(config)) == {"a": 6, "b": 12, "c": 6}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["train-00000-of-00003", "train-00002-of-00003"], "all 3 files .*lacks number 1 "),
        (["train-00001-of-00002"], "all 2 files of the train split, lacks number 0"),
        (["train-00000-of-00001-ab", "train-00000-of-00001-cd"], "has two versions of it"),
        (["train-00000-of-00001", "train-00000-of-00002"], "has two versions of it"),
    ],
)
def test_missing_and_surplus_shards_are_refused(write, names, told):
    for name in names:
        config = write(name, label=pa.array(TEXT))
    with pytest.raises(DataError, match=told):
        prepare(config)


@pytest.mark.parametrize("named", ["train", "test"])
def test_names_in_one_split_only_are_those_of_both(write, named):
    names = {split: list("abc") if split == named else None for split in ("train", "test")}
    for split in names:
        config = write(f"{split}-0", names[split], label=pa.array(NUMBERS))
    assert prepare(config).classes == (("a", "b", "c") if named == "train" else ("0", "1", "2"))
    assert prepare_test(config).labels.tolist() == NUMBERS.tolist()


def test_other_splits_are_matched_by_name(write):
    write("train-0", ["a", "b", "c"], label=pa.array(NUMBERS))
    config = write("test-0", ["c", "B", "a"], label=pa.array(NUMBERS))
    assert prepare_test(config).labels.tolist() == [2, 1, 0] * 4
    write("train-0", label=pa.array(TEXT))
    write("test-0", label=pa.array(["owl"] * ROWS))
    assert prepare_test(config).labels.tolist() == [2] * ROWS


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (pa.array([-1] * ROWS), r"test: has no labels, as all are -1 \(hidden"),
        (pa.array(NUMBERS), "test: labels must be among cat, dog and owl, got '0'"),
        (
            pa.array(["cat"] * 11 + ["cow"]),
            "labels must be among cat, dog and owl, got 'cow'",
        ),
    ],
)
def test_a_test_split_of_other_labels_is_told_and_costs_nothing_else(write, labels, told):
    write("train-0", label=pa.array(TEXT))
    config = write("test-0", label=labels)
    assert prepare(config).classes == ANIMALS
    with pytest.raises(DataError, match=told):
        prepare_test(config)
    found = check_test(config)
    assert found.images == 0
    assert found.reason.startswith(config.path.name)


def test_names_without_images_are_said(write):
    data = prepare(write("train-0", list("abcdefgh"), label=pa.array(NUMBERS + 1)))
    assert data.classes == ("b", "c", "d")
    assert set(data.train.labels.tolist()) == {0, 1, 2}
    assert data.notes == ("3 of 8 classes occur in the training images; a, e, f, g, h have none",)


def test_classes_of_the_same_name_are_told_apart_by_their_numbers(write):
    data = prepare(write("train-0", ["crane", "owl", "crane"], label=pa.array(NUMBERS)))
    assert classes_of(data) == {"crane (0)": 4, "owl": 4, "crane (2)": 4}
    told = "1 name is that of several classes, told apart by their numbers: crane (0), crane (2)"
    assert data.notes == (told,)


def test_they_are_where_some_have_no_images_or_numbers_in_their_names(write):
    names = ["crane (1)", "crane", "owl", "crane", "owl"]
    data = prepare(write("train-0", names, label=pa.array(NUMBERS)))
    assert data.classes == ("crane (1) (0)", "crane (1) (1)", "owl (2)")
    assert data.notes == (
        "3 names are those of several classes, told apart by their numbers: crane (1) (0), "
        "crane (1) (1), owl (2)",
        "3 of 5 classes occur in the training images; crane (3), owl (4) have none",
    )


def test_runs_on_classes_of_the_same_name_go_on(write):
    """Their fingerprint is that of the names in the files."""
    names = ["crane", "owl", "crane"]
    data = prepare(write("train-0", names, label=pa.array(NUMBERS)))
    assert data.fingerprint == fingerprint(tuple(names), data.train, data.validation)


def test_classes_of_the_same_name_are_matched_by_number_where_all_list_them_alike(write):
    names = ["crane", "owl", "crane"]
    for split in ("train-0", "train-1", "test-0"):
        config = write(split, names, label=pa.array(NUMBERS))
    assert classes_of(prepare(config)) == {"crane (0)": 8, "owl": 8, "crane (2)": 8}
    assert prepare_test(config).labels.tolist() == NUMBERS.tolist()


SEVERAL = r".* or give each a name of its own; several are called {!r}$"


@pytest.mark.parametrize(
    ("names", "others", "labels", "told"),
    [
        (["crane", "owl", "crane"], ["owl", "crane", "crane"], NUMBERS, "crane"),
        (["crane", "owl", "crane"], ["owl", "crane", "bat"], NUMBERS % 2, "crane"),
        (["crane", "owl", "bat"], ["owl", "crane", "crane"], NUMBERS, "crane"),
        (["bat", "owl", "crane", "crane"], ["Crane", "owl", "bat"], NUMBERS, "Crane"),
        (["crane", "owl", "crane"], None, ["crane"] * ROWS, "crane"),
    ],
)
def test_a_name_of_several_classes_does_not_tell_which_is_meant(write, names, others, labels, told):
    write("train-0", names, label=pa.array(NUMBERS))
    config = write("test-0", others, label=pa.array(labels))
    prepare(config)
    with pytest.raises(DataError, match="test: must list the" + SEVERAL.format(told)):
        prepare_test(config)


def test_other_names_do(write):
    write("train-0", ["crane", "owl", "crane"], label=pa.array(NUMBERS))
    config = write("test-0", ["owl", "crane", "crane"], label=pa.array([0] * ROWS))
    assert prepare_test(config).labels.tolist() == [1] * ROWS


@pytest.mark.parametrize("labels", [NUMBERS, ["crane"] * ROWS])
def test_shards_in_another_order_do_not_merge_classes_of_the_same_name(write, labels):
    write("train-0", ["crane", "owl", "crane"], label=pa.array(NUMBERS))
    names = ["owl", "crane", "crane"] if labels is NUMBERS else None
    config = write("train-1", names, label=pa.array(labels))
    with pytest.raises(DataError, match=r"train-0.*: must list" + SEVERAL.format("crane")):
        prepare(config)
