"""Only the rows that are wanted are decoded, once, and they are what brute force gives."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import brute
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dnsearch.config import DataConfig
from dnsearch.data import cache, check_test, decoding, pixels, prepare, prepare_test
from dnsearch.data.formats import Options, images, open_source
from dnsearch.data.formats.images import Encoded, decode
from dnsearch.data.progress import watched
from dnsearch.data.split import draw
from dnsearch.errors import ConfigError, DataError, MachineError
from dnsearch.seeds import derived_seed

CLASSES = 4


@pytest.fixture
def folder(tmp_path, random):
    """A folder of 60 pictures of other sizes in four classes; one of a class is grey."""
    for index in range(60):
        place = tmp_path / "pictures" / f"class {index % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        size = (int(random.integers(9, 30)), int(random.integers(9, 30)), 3)
        picture = Image.fromarray(random.integers(0, 256, size, dtype=np.uint8))
        picture = picture.convert("L") if index < CLASSES else picture
        picture.save(place / f"{index}.png")
    return DataConfig(format="folder", path=tmp_path / "pictures", image_size=8)


@pytest.fixture
def table(tmp_path, random, encoded):
    """A Parquet file of 60 pictures in row groups of 7."""
    found = [encoded(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(60)]
    content = pa.table({"image": found, "label": [i % CLASSES for i in range(60)]})
    pq.write_table(content, tmp_path / "x.parquet", row_group_size=7)
    return DataConfig(format="parquet", path=tmp_path / "x.parquet")


@pytest.fixture
def archive(npz_file, labelled):
    """An archive of 60 images of 6x6."""
    drawn, labels = labelled(60)
    return DataConfig(format="npz", path=npz_file(x_train=drawn, y_train=labels))


@pytest.fixture
def mnist(tmp_path, idx_file, labelled):
    """IDX files of 60 images of 6x6."""
    drawn, labels = labelled(60)
    for name, array in (("images-idx3", drawn), ("labels-idx1", labels)):
        (tmp_path / f"train-{name}-ubyte").write_bytes(idx_file(array))
    return DataConfig(format="mnist", path=tmp_path)


@pytest.fixture(params=["folder", "table", "archive", "mnist"])
def any_kind(request):
    return request.getfixturevalue(request.param)


def expected(config):
    """Training, validation and test images and labels: all decoded, then drawn as ever."""
    everything = brute.read(open_source(config), "train", config.image_size)
    rows, test = np.arange(len(everything.labels)), np.zeros(0, np.int64)
    total = len(rows)
    if config.test:
        rng = np.random.default_rng(derived_seed("test images", config.seed))
        held = draw(everything.labels, round(config.test * total), rng, leave=2)
        rows, test = rows[~held], rows[held]
    rng = np.random.default_rng(config.seed)
    held = draw(everything.labels[rows], round(config.validation * total), rng, leave=1)
    train, validation = rows[~held], rows[held]
    if config.train_images:
        train = train[draw(everything.labels[train], config.train_images, rng)]
    return [(everything.images[own], everything.labels[own]) for own in (train, validation, test)]


def same(found, wanted):
    pictures, labels = wanted
    np.testing.assert_array_equal(found.images, pictures.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(found.labels, labels)


@pytest.mark.parametrize(
    "settings",
    [{}, {"seed": 3}, {"train_images": 9}, {"test": 0.2, "seed": 1}, {"validation": 0.5}],
)
@pytest.mark.parametrize("where", ["cached", "in memory"])
def test_images_are_those_of_decoding_everything(any_kind, settings, where, tmp_path):
    config = any_kind.model_copy(update=settings)
    place = tmp_path / "cache"
    if where == "in memory":
        place.write_text("in the way")
    train, validation, test = expected(config)
    for _ in range(2):
        data = prepare(config, place)
        same(data.train, train)
        same(data.validation, validation)
        if config.test:
            same(prepare_test(config, place), test)


def stored(place: Path) -> pixels.OnDisk:
    (only,) = (each for each in (place / "pixels").iterdir() if each.is_dir())
    return pixels.OnDisk(only)


def there(place: Path) -> int:
    """How many images are decoded."""
    return int(np.count_nonzero(stored(place).known["flags"] & pixels.THERE))


@pytest.fixture
def decoded(monkeypatch):
    """The names of the pictures that are decoded from now on."""
    seen: list[str] = []

    def counted(picture, options):
        seen.append(picture.name)
        return decode(picture, options)

    monkeypatch.setattr(decoding, "decode", counted)
    return seen


def test_only_what_is_drawn_is_decoded_and_no_image_twice(folder, tmp_path, decoded):
    few = folder.model_copy(update={"train_images": 8, "validation": 0.1})
    prepare(few, tmp_path / "c")
    assert len(decoded) == len(set(decoded)) == there(tmp_path / "c") == 8 + 6
    for seed in range(4):
        prepare(
            folder.model_copy(update={"seed": seed, "validation": 0.1 + seed / 10}), tmp_path / "c"
        )
    assert len(decoded) == len(set(decoded)) == there(tmp_path / "c") == 60


def test_test_images_are_not_decoded_by_a_search(folder, tmp_path):
    config = folder.model_copy(update={"test": 0.25})
    prepare(config, tmp_path / "c")
    assert there(tmp_path / "c") == 45
    assert check_test(config, tmp_path / "c").images == 15
    assert there(tmp_path / "c") == 60


def test_bad_pictures_that_are_not_drawn_do_no_harm(folder, tmp_path):
    few = folder.model_copy(update={"train_images": 8, "validation": 0.1})
    before = prepare(few)
    rows = {*before.train.rows.tolist(), *before.validation.rows.tolist()}
    every = sorted((tmp_path / "pictures").rglob("*.png"), key=lambda path: (path.parent, path))
    other = next(path for row, path in enumerate(every) if row not in rows)
    other.write_bytes(b"no picture")
    assert prepare(few).fingerprint == before.fingerprint
    with pytest.raises(DataError, match=f"{other.name}: must be a readable image"):
        prepare(folder)


def test_colour_is_that_of_all_pictures_not_of_those_drawn(tmp_path):
    for index in range(20):
        place = tmp_path / str(index % 2)
        place.mkdir(exist_ok=True)
        Image.new("L", (4, 4), index).convert("RGB" if index == 19 else "L").save(
            place / f"{index:02}.png"
        )
    config = DataConfig(format="folder", path=tmp_path, train_images=2, validation=0.1)
    shapes = {prepare(config.model_copy(update={"seed": seed})).shape for seed in range(6)}
    assert shapes == {(3, 4, 4)}


KILLED = """
import os, signal, sys
from pathlib import Path
from dnsearch.config import DataConfig
from dnsearch.data import decoding, prepare
from dnsearch.data.pixels import OnDisk

real, calls = OnDisk.mark, []

def mark(self, rows, known):
    real(self, rows, known)
    calls.append(len(rows))
    if sum(calls) >= 20:
        os.kill(os.getpid(), signal.SIGKILL)

OnDisk.mark = mark
decoding.AT_ONCE = 4
prepare(DataConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_decoding_goes_on_where_it_was(folder, tmp_path, decoded):
    place = tmp_path / "c"
    arguments = [sys.executable, "-c", KILLED, folder.model_dump_json(), str(place)]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    done = there(place)
    assert 20 <= done < 60
    same(prepare(folder, place).train, expected(folder)[0])
    assert len(decoded) == 60 - done


def test_what_is_written_goes_where_it_was_opened(tmp_path, random):
    """Not into a folder of the same name that another process has made since: its images are not
    there yet, and ours are, for us."""
    drawn = random.integers(0, 256, (4, 3, 2, 2), dtype=np.uint8)
    rows, known = np.arange(4), np.zeros(4, pixels.ROW)
    known["flags"] = pixels.THERE
    ours = pixels.OnDisk.make(tmp_path / "key", 4, (3, 2, 2))
    shutil.rmtree(tmp_path / "key")
    pixels.OnDisk.make(tmp_path / "key", 4, (3, 2, 2))
    ours.write(rows, drawn)
    ours.mark(rows, known)
    np.testing.assert_array_equal(ours.array(rows)[0], drawn)
    assert not pixels.OnDisk(tmp_path / "key").known["flags"].any()


def test_why_pictures_are_bad_is_known_when_the_cache_is_gone(
    folder, tmp_path, monkeypatch, caplog
):
    next((tmp_path / "pictures").rglob("*.png")).write_bytes(b"no picture")
    mark = pixels.OnDisk.mark

    def last(held, rows, known):
        mark(held, rows, known)
        shutil.rmtree(tmp_path / "c", ignore_errors=True)

    monkeypatch.setattr(pixels.OnDisk, "mark", last)
    data = prepare(folder.model_copy(update={"skip_bad": True}), tmp_path / "c")
    assert "1 bad picture left out" in " ".join(data.notes)
    assert caplog.text == ""  # nothing had to be decoded again


def test_a_damaged_image_is_decoded_again_and_said(folder, tmp_path, caplog):
    place = tmp_path / "c"
    row = int(prepare(folder, place).train.rows[5])
    held = stored(place)
    file = held.folder / pixels.IMAGES
    content = bytearray(file.read_bytes())
    content[-(60 - row) * 3 * 8 * 8 + 10] ^= 1
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        same(prepare(folder, place).train, expected(folder)[0])
    assert "1 image in the cache is damaged and decoded again" in caplog.text
    caplog.clear()
    same(prepare(folder, place).train, expected(folder)[0])
    assert caplog.text == ""


@pytest.mark.parametrize("name", [pixels.IMAGES, pixels.ROWS])
@pytest.mark.parametrize("content", [b"", None])
def test_a_damaged_file_is_made_again(folder, tmp_path, name, content):
    place = tmp_path / "c"
    prepare(folder, place)
    file = stored(place).folder / name
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    same(prepare(folder, place).train, expected(folder)[0])
    assert there(place) == 60


def test_what_a_truncated_file_gave_is_not_trusted(mnist, tmp_path, monkeypatch):
    """Its end, which says so, is read after its images were written."""
    monkeypatch.setattr("dnsearch.data.formats.source.AT_ONCE", 300)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    for _ in range(2):
        with pytest.raises(DataError, match=r"must hold 2160 bytes .*got 2159"):
            prepare(mnist, tmp_path / "c")
    assert there(tmp_path / "c") == 0


def decode_in_process(config, place, barrier):
    barrier.wait(20)
    same(
        prepare(DataConfig.model_validate_json(config), Path(place)).train,
        expected(DataConfig.model_validate_json(config))[0],
    )


def test_processes_that_decode_at_once(folder, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    arguments = (folder.model_dump_json(), str(tmp_path / "c"), barrier)
    processes = [context.Process(target=decode_in_process, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 3
    assert there(tmp_path / "c") == 60


def test_a_full_disk_is_no_end(folder, tmp_path, monkeypatch, caplog):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixels.OnDisk, "write", full)
    same(prepare(folder, tmp_path / "c").train, expected(folder)[0])
    assert "not cached: [Errno 28] No space left on device" in caplog.text


def test_too_little_memory_is_told_with_what_it_takes(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(pixels, "free_memory", lambda: 10_000)
    told = r"decoding 60 images takes 0\.0 GB of memory where they cannot be cached \(.*\); 0\.0 GB"
    with pytest.raises(MachineError, match=told):
        prepare(folder, tmp_path / "file")


@contextlib.contextmanager
def no_file_can_be_opened():
    """As this process has too many open."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read(split):
    """Decodes all of it."""
    for batch in split.batches(np.arange(len(split))):
        if not isinstance(batch.pictures, np.ndarray):
            for picture in batch.pictures:
                decode(picture, Options())


@pytest.fixture
def pickles(tmp_path):
    """CIFAR-100's, of two images."""
    for name in ("train", "test"):
        content = {"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1]}
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": ["a", "b"]}, 2))
    return DataConfig(format="cifar100", path=tmp_path)


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        *[(kind, "found") for kind in ("folder", "archive", "mnist")],
        *[(kind, "opened") for kind in ("table", "archive", "mnist", "pickles")],
        *[(kind, "read") for kind in ("folder", "table", "archive", "mnist")],
    ],
)
def test_a_fault_of_the_machine_is_not_blamed_on_the_data(request, tmp_path, kind, when):
    config = request.getfixturevalue(kind)
    source = open_source(config)
    split = source.open("train")
    read(split)  # with all that is imported for it
    steps = {
        "found": lambda: open_source(config),
        "opened": lambda: source.open("train"),
        "read": lambda: read(split),
    }
    told = rf"^{re.escape(str(tmp_path))}.*: cannot be read: .*Too many open files"
    with no_file_can_be_opened(), pytest.raises(MachineError, match=told):
        steps[when]()


def test_a_picture_without_memory_is_not_called_broken(folder, tmp_path, monkeypatch):
    def none(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(images.ImageOps, "fit", none)
    config = folder.model_copy(update={"skip_bad": True})
    with pytest.raises(MachineError, match=r"\.png: there is no memory to decode it, which takes"):
        prepare(config, tmp_path / "c")


@pytest.mark.parametrize("side", [9_500, 13_500])
def test_a_picture_may_have_any_number_of_pixels(tmp_path, recwarn, side):
    """Pillow warns from 89 million on, and refuses twice as many."""
    Image.new("1", (side, side), 1).save(tmp_path / "x.png")
    found = decode(Encoded("x", tmp_path / "x.png"), Options(2)).pixels
    assert found.tolist() == [[[255], [255]]] * 2
    assert not recwarn.list


def test_a_picture_larger_than_the_free_memory_is_not_decoded(tmp_path, monkeypatch):
    """The system would end the process that tries, without a word."""
    for index in range(4):
        place = tmp_path / "pictures" / "ab"[index % 2] / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (600, 600), index).save(place)
    config = DataConfig(format="folder", path=tmp_path / "pictures", image_size=8, skip_bad=True)
    monkeypatch.setattr(images, "_room", images._Room(images.ONE_OF_MANY))
    monkeypatch.setattr(images, "free_memory", lambda: 1_439_999)
    told = r"/[ab]/\d\.png: there is no memory to decode it, which takes about 1 MB; .* remove it"
    with pytest.raises(MachineError, match=told):
        prepare(config, tmp_path / "c")
    for enough in (1_440_000, None):
        monkeypatch.setattr(images, "free_memory", lambda free=enough: free)
        assert prepare(config, tmp_path / str(enough)).counts == {"train": 2, "validation": 2}


def test_large_pictures_wait_for_room():
    room, at_once, most = images._Room(10 << 20), [], []

    def take():
        with room.taken(6 << 20):
            at_once.append(1)
            most.append(len(at_once))
            time.sleep(0.005)
            at_once.pop()

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(take) for _ in range(12)]:
            each.result()
        assert max(most) == 1
        pool.submit(lambda: room.taken(99 << 20).__enter__()).result(20)  # larger than all room


def photo(random, side):
    """Smooth in parts, with edges: as JPEG expects."""
    small = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return small.resize((side * 4 // 3, side), Image.Resampling.BICUBIC)


def test_drafts_are_nearly_the_same_and_kept_apart(tmp_path, random):
    for index in range(12):
        place = tmp_path / "pictures" / str(index % 2)
        place.mkdir(parents=True, exist_ok=True)
        photo(random, 480).save(place / f"{index}.jpg", quality=95)
    config = DataConfig(format="folder", path=tmp_path / "pictures", image_size=32)
    exact = prepare(config, tmp_path / "c")
    draft = prepare(config.model_copy(update={"draft": True}), tmp_path / "c")
    assert len(list((tmp_path / "c" / "pixels").glob("[!.]*"))) == 2
    difference = np.abs(exact.train.images.astype(int) - draft.train.images)
    assert 0 < difference.max() <= 6
    assert difference.mean() < 1
    assert prepare(config, tmp_path / "c").fingerprint == exact.fingerprint != draft.fingerprint


@pytest.mark.parametrize(("side", "decoded"), [(127, 127), (128, 64), (256, 64), (600, 75)])
def test_a_draft_has_twice_the_side_that_is_wanted(tmp_path, random, side, decoded):
    photo(random, side).save(tmp_path / "x.jpg")
    with Image.open(tmp_path / "x.jpg") as picture:
        images._shrink_jpeg(picture, images.DRAFT * 32, "crop")
        picture.load()
        assert min(picture.size) == decoded
    full = decode(Encoded("x", tmp_path / "x.jpg"), Options(32)).pixels
    draft = decode(Encoded("x", tmp_path / "x.jpg"), Options(32, draft=True)).pixels
    assert full.shape == draft.shape


def test_progress_is_told_from_start_to_end(folder, tmp_path):
    told = []
    with watched(told.append):
        prepare(folder, tmp_path / "c")
    first, *_, last = told
    assert (first.what, first.done, first.total, first.left) == (
        "pictures (folder), train",
        0,
        60,
        None,
    )
    assert (last.done, last.shape) == (60, (3, 8, 8))
    assert [each.done for each in told] == sorted(each.done for each in told)
    told.clear()
    with watched(told.append):
        prepare(folder.model_copy(update={"seed": 1}), tmp_path / "c")
    assert told == []


def test_the_cache_keeps_within_its_bound(folder, archive, tmp_path, monkeypatch):
    place = tmp_path / "c"
    for index, size in enumerate((64, 65, 66)):  # 60 images of 12 KB each
        prepare(folder.model_copy(update={"image_size": size}), place)
        for entry in [*(place / "pixels").iterdir(), *(place / "data").iterdir()]:
            if entry.is_dir() and entry.stat().st_mtime > 1e6 + 9:
                os.utime(entry, (1e6 + index, 1e6 + index))
    taken = {each.path: each.size for part in cache.PARTS for each in cache._entries(place / part)}
    oldest = min((place / "pixels").glob("[!.]*"), key=lambda path: path.stat().st_mtime)
    monkeypatch.setenv("DNSEARCH_CACHE_LIMIT", str(sum(taken.values()) - 1))
    prepare(archive, place)  # something new, which asks for room
    assert not oldest.exists()
    assert len(list((place / "pixels").glob("[!.]*"))) == 3


@pytest.fixture
def splits(folder, tmp_path):
    """60 pictures for training, 16 each for validation and tests."""
    (tmp_path / "pictures").rename(tmp_path / "train")
    for split in ("validation", "test"):
        for index, file in enumerate(sorted((tmp_path / "train").rglob("*.png"))[::4]):
            place = tmp_path / "pictures" / split / file.parent.name / f"{index}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    (tmp_path / "train").rename(tmp_path / "pictures" / "train")
    return folder


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_data_set_beyond_the_bound_is_decoded_once_all_the_same(
    splits, tmp_path, decoded, monkeypatch, caplog, part
):
    """With each split, and for other studies of it, which take more or other images of them."""
    place, config = tmp_path / "c", splits
    if part == "test":
        shutil.rmtree(tmp_path / "pictures" / "validation")
    monkeypatch.setenv("DNSEARCH_CACHE_LIMIT", "1 KB")
    prepare(config.model_copy(update={"train_images": 20}), place)
    check_test(config, place)
    for seed in range(3):
        again = config.model_copy(update={"seed": seed})
        prepare(again, place)
        check_test(again, place)
    assert len(decoded) == len(set(decoded)) == len(list((tmp_path / "pictures").rglob("*.png")))
    told = r"this data set and what others use take 0 MB of the cache, over its bound of 0 MB"
    (line,) = {record.getMessage() for record in caplog.records}
    assert re.match(told + r"; .*DNSEARCH_CACHE_LIMIT", line)


def test_what_is_in_use_stays_beyond_the_bound(folder, archive, tmp_path, monkeypatch):
    """Nothing would be free before the process ends that uses it, and its workers would decode all
    of it again."""
    place = tmp_path / "c"
    data = prepare(folder, place)
    (used,) = (place / "pixels").glob("[!.]*")
    monkeypatch.setenv("DNSEARCH_CACHE_LIMIT", "1")
    prepare(archive, place)
    assert used.exists()
    assert data.counts == {"train": 48, "validation": 12}
    del data
    prepare(archive.model_copy(update={"seed": 1}), place)
    assert not used.exists()


@pytest.mark.parametrize("ending", ["leaves", "is killed"])
def test_what_another_process_uses_stays_as_long_as_it_lives(
    folder, archive, tmp_path, monkeypatch, ending
):
    code = (
        "import sys; from pathlib import Path; from dnsearch.config import DataConfig;"
        "from dnsearch.data import prepare;"
        "data = prepare(DataConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]));"
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, folder.model_dump_json(), str(tmp_path / "c")]
    monkeypatch.setenv("DNSEARCH_CACHE_LIMIT", "1")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        (used,) = (tmp_path / "c" / "pixels").glob("[!.]*")
        prepare(archive, tmp_path / "c")
        assert used.exists()
        if ending == "is killed":
            other.kill()
    prepare(archive.model_copy(update={"seed": 1}), tmp_path / "c")
    assert not used.exists()


def test_a_bound_that_is_no_number_is_refused(folder, monkeypatch):
    monkeypatch.setenv("DNSEARCH_CACHE_LIMIT", "much")
    with pytest.raises(ConfigError, match="DNSEARCH_CACHE_LIMIT must be a number of bytes or text"):
        prepare(folder)


PEAK = """
import json, sys
from pathlib import Path
from dnsearch.config import DataConfig
from dnsearch.data import prepare
def peak():  # getrusage's is at least that of the process that started this one
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
config = DataConfig.model_validate_json(sys.argv[1])
prepare(config.model_copy(update={"train_images": 8, "validation": 0.01}), Path(sys.argv[2]))
before = peak()
data = prepare(config, Path(sys.argv[2]))
print(json.dumps([peak() - before, data.train.nbytes + data.validation.nbytes]))
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="peak memory is measured as on Linux")
def test_memory_does_not_grow_with_the_images(tmp_path, idx_file):
    shape = (1000, 400, 400)
    base = np.zeros(shape, np.uint8)
    base[:, 0, :8] = np.arange(shape[0]).astype("<u8").view(np.uint8).reshape(-1, 8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_file(base))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_file(np.arange(shape[0]) % 4))
    config = DataConfig(format="mnist", path=tmp_path)
    arguments = [sys.executable, "-c", PEAK, config.model_dump_json(), str(tmp_path / "c")]
    peak, decoded = json.loads(subprocess.check_output(arguments))
    assert decoded == 160_000_000
    assert peak < 100_000_000
