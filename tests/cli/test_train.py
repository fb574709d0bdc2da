"""``dnsearch train``: one network from the command to its figures, interrupted or not."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn import functional as F

from dnsearch.arch import ArchConfig, DenseNet, load_network
from dnsearch.cli import watch

from .conftest import snapshot

STUDY = """
[data]
format = "npz"
path = "toy.npz"
[training]
rungs = [1]
batch_size = 32
shift = 1
cutout = 2
[search]
device = "cpu"
"""
NETWORK = ArchConfig(4, (1, 2), 8, 2, drop_rate=0.1, stem="cifar")
TRAIN = ("train", "net.json", "--study", "toy.toml", "--epochs", 3, "--threads", 1)


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with bright rows (class 0), columns (1) or neither (2)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    pixels = rng.integers(0, 200, (count, 8, 8))
    pixels[labels == 0, ::2] += 50
    pixels[labels == 1, :, ::2] += 50
    return pixels.astype(np.uint8), labels


def write_images(**splits: tuple[int, int]) -> None:
    arrays = {}
    for split, (count, seed) in splits.items():
        arrays[f"x_{split}"], arrays[f"y_{split}"] = images(count, seed)
    np.savez("toy.npz", **arrays)


@pytest.fixture(autouse=True)
def _folder(dnsearch, monkeypatch) -> None:
    """A network, a study and its images in the present folder."""
    monkeypatch.setattr("dnsearch.training.full.set_up", lambda *_: None)  # for the whole process
    Path("toy.toml").write_text(STUDY)
    Path("net.json").write_text(json.dumps(NETWORK.to_dict()))
    write_images(train=(160, 0), test=(90, 1))


def result(name: str = "net") -> dict:
    return json.loads(Path(f"reports/{name}/result.json").read_text())


def timeless(found: dict) -> dict:
    timed = ("seconds", "images_per_second", "checksum")
    return {k: v for k, v in found.items() if k not in timed}


def test_the_test_error_is_that_of_the_exported_network(dnsearch):
    """Measured again by hand: raw pixels, the export's statistics, plain torch."""
    code, out, err = dnsearch(*TRAIN)
    assert (code, err) == (0, "")
    pixels, labels = images(90, 1)
    folder = Path("reports/net/network")
    prepared = json.loads((folder / "preprocessing.json").read_text())
    x = (torch.tensor(pixels)[:, None] / 255 - prepared["mean"][0]) / prepared["std"][0]
    with torch.inference_mode():
        logits = load_network(folder)(x)
    found, error = result(), float((logits.argmax(1).numpy() != labels).mean())
    assert found["test"]["error"] == pytest.approx(error, abs=1e-7)
    assert found["test"]["images"] == 90
    assert found["test"]["standard_error"] == pytest.approx(math.sqrt(error * (1 - error) / 90))
    loss = F.cross_entropy(logits, torch.tensor(labels)).item()
    assert found["test"]["loss"] == pytest.approx(loss, rel=1e-4)
    assert f"{100 * error:.2f} ± {100 * math.sqrt(error * (1 - error) / 90):.2f} % test" in out


def test_what_is_told_and_written(dnsearch):
    code, out, _ = dnsearch(*TRAIN)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("net: k=4 blocks 1-2 bottleneck 2 drop 0.1 (")
    assert lines[0].endswith("; 3 epochs on 1 CPU thread")
    assert (
        "128 training and 32 validation images, 1x8x8, 3 classes; test images are used" in lines[1]
    )
    assert [line.split()[0] for line in lines[2:5]] == ["1/3", "2/3", "3/3"]
    assert lines[-2] == (
        "next:      dnsearch train net.json --name net-seed1 --study toy.toml --epochs 3 --seed 1 "
        "--threads 1"
    )
    found = result()
    assert [point["epoch"] for point in found["curve"]] == [1, 2, 3]
    assert found["validation"]["error"] == found["curve"][-1]["error"]
    assert found["validation"]["images"] == 32
    assert found["environment"]["device_kind"] == "cpu"
    assert found["cost"]["macs"] > 0
    assert (found["network"]["in_channels"], found["network"]["num_classes"]) == (1, 3)
    assert "test error | " in Path("reports/net/network/README.md").read_text()


def test_an_interruption_changes_nothing(dnsearch, monkeypatch):
    assert dnsearch(*TRAIN, "--name", "straight").code == 0
    monkeypatch.setattr("dnsearch.training.trainer.SAVE_SECONDS", 0)

    def interrupt(self, point):
        if point.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(watch.Lines, "epoch", interrupt)
        code, _, err = dnsearch(*TRAIN)
    assert code == 130
    assert "stopped by Ctrl-C; to go on:  dnsearch" in err  # and what was typed: here, by pytest
    assert not Path("reports/net/result.json").exists()
    code, out, _ = dnsearch(*TRAIN)
    assert code == 0
    assert "3 epochs on 1 CPU thread, continuing after epoch 1\n" in out
    assert timeless(result()) == timeless(result("straight"))
    ours, theirs = (Path(f"reports/{n}/network/model.safetensors") for n in ("net", "straight"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_cut_off_before_the_result_was_written(dnsearch):
    dnsearch(*TRAIN)
    before = result()
    Path("reports/net/result.json").unlink()
    Path("reports/net/network/model.safetensors").unlink()
    assert dnsearch(*TRAIN).code == 0
    assert result() == before
    load_network("reports/net/network")


def test_finished_before(dnsearch):
    first = dnsearch(*TRAIN)
    before = snapshot()
    again = dnsearch(*TRAIN)
    assert again.code == 0
    assert "finished before: 3 epochs in " in again.out
    assert again.out.splitlines()[-7:] == first.out.splitlines()[-7:]
    assert snapshot() == before


def test_one_epoch_is_no_epochs(dnsearch):
    out = dnsearch(*[1 if word == 3 else word for word in TRAIN]).out
    card = Path("reports/net/network/README.md").read_text()
    assert "1 epoch " in out
    assert "1 epochs" not in out + card


@pytest.mark.parametrize("kept", [True, False])
def test_what_finished_before_is_no_answer_to_another_request(dnsearch, refused, kept):
    """Whether or not its checkpoints were removed, to save space."""
    assert dnsearch(*TRAIN).code == 0
    if not kept:
        shutil.rmtree("reports/net/checkpoints")
    assert "finished before: 3 epochs" in dnsearch(*TRAIN).out
    longer = [4 if word == 3 else word for word in TRAIN]
    for request, change in ((longer, "epochs: 3 -> 4"), ([*TRAIN, "--seed", 1], "seed: 0 -> 1")):
        assert f"holds another training ({change})" in refused(*request)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda: ["--epochs", 4], "epochs: 3 -> 4"),
        (lambda: ["--seed", 1], "seed: 0 -> 1"),
        (
            lambda: Path("toy.toml").write_text(STUDY.replace("cutout = 2", "learning_rate = 0.2")),
            "training.learning_rate: 0.1 -> 0.2; training.cutout: 2 -> 0",
        ),
        (
            lambda: Path("net.json").write_text(json.dumps(NETWORK.replace(bn_size=0).to_dict())),
            "network.bn_size: 2 -> 0",
        ),
        (
            lambda: Path("toy.toml").write_text(
                STUDY.replace("[training]", "seed = 1\n[training]")
            ),
            "data.seed: 0 -> 1",
        ),
    ],
)
def test_another_training_under_the_same_name(dnsearch, refused, change, told):
    dnsearch(*TRAIN)
    options = change()
    assert refused(*TRAIN, *(options if isinstance(options, list) else [])) == (
        f"reports/net: holds another training ({told}); change it back, or give this training "
        "another --name"
    )


@pytest.fixture
def weights(dnsearch) -> Path:
    """Those of a network of five classes."""
    torch.manual_seed(5)
    torch.save(DenseNet(NETWORK.replace(in_channels=1, num_classes=5)).state_dict(), "five.pth")
    return Path("five.pth")


def test_fine_tuning(dnsearch, weights):
    """From weights of a file, told as such wherever the training is told of."""
    code, out, err = dnsearch(*TRAIN, "--init", weights)
    assert (code, err) == (0, "")
    assert "note: weights are those of five.pth, but for the classifier (3 classes), which" in out
    assert "--init five.pth" in out.splitlines()[-2]  # the command for another seed
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    for name in ("result.json", "training.json"):
        found = json.loads(Path(f"reports/net/{name}").read_text())["init"]
        assert found == {"file": "five.pth", "sha256": digest, "reinitialised": ["classifier"]}
    card = Path("reports/net/network/README.md").read_text()
    assert f"seed 0, from the weights of five.pth (SHA-256 {digest})" in card
    dnsearch(*TRAIN, "--name", "random")
    assert result("random")["curve"] != result()["curve"]


def test_other_initial_weights_under_the_same_name(dnsearch, refused, weights):
    dnsearch(*TRAIN, "--init", weights)
    before = snapshot(Path("reports/net"))
    held = result()["init"]["sha256"]
    assert f'holds another training (init.sha256: "{held}" -> unset); change it' in refused(*TRAIN)
    shutil.copy(weights, "renamed.pth")
    assert dnsearch(*TRAIN, "--init", "renamed.pth").code == 0  # the content decides
    torch.save(DenseNet(NETWORK.replace(in_channels=1)).state_dict(), weights)
    assert f'init.sha256: "{held}" -> "' in refused(*TRAIN, "--init", weights)
    assert snapshot(Path("reports/net")) == before


def test_an_interrupted_fine_tuning_goes_on(dnsearch, weights, monkeypatch):
    straight = (*TRAIN, "--init", weights, "--quiet")
    dnsearch(*straight, "--name", "straight")

    def stop(lines, point):
        if point.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("dnsearch.training.trainer.SAVE_SECONDS", 0)
    with monkeypatch.context() as patch:
        patch.setattr(watch.Silence, "epoch", stop)
        assert dnsearch(*straight).code == 130
    assert dnsearch(*straight).code == 0
    assert timeless(result())["curve"] == timeless(result("straight"))["curve"]
    assert result()["test"] == result("straight")["test"]


def test_weights_of_another_network_are_refused(dnsearch, refused, weights):
    torch.save(DenseNet(NETWORK.replace(growth_rate=5)).state_dict(), "other.pth")
    assert re.fullmatch(
        r"other\.pth: features\.denseblock1\.denselayer1\.conv1\.weight must have shape "
        r"\(8, 8, 1, 1\), got \(10, 8, 1, 1\); is it another architecture's file\?",
        refused(*TRAIN, "--init", "other.pth"),
    )
    assert refused(*TRAIN, "--init", "none.pth") == "none.pth: no such weights file"
    assert not Path("reports").exists()


def test_other_images_under_the_same_name(dnsearch, refused):
    dnsearch(*TRAIN)
    write_images(train=(160, 5), test=(90, 1))
    assert re.fullmatch(
        r"reports/net: the images changed since it was trained \(fingerprint .*\); give this .*",
        refused(*TRAIN),
    )


def test_no_test_images(dnsearch):
    write_images(train=(160, 0))
    code, out, _ = dnsearch(*TRAIN)
    assert code == 0
    assert "3 classes; there are no test images\n" in out
    assert "no test error: the data set has no test images" in out
    assert result()["test"] is None


def test_a_network_of_a_search(dnsearch, trained):
    """Images and recipe are the search's own, and it is trained ten times as long."""
    shutil.copytree(trained.path, "reports/small")
    code, out, err = dnsearch("train", "small:knee", "--threads", 1)
    assert (code, err) == (0, "")
    assert "note: 20 epochs, 10 times the top rung; --epochs sets another number\n" in out
    found = result("small-knee")
    assert found["epochs"] == 20
    assert found["images"]["images"] == {"train": 2000, "validation": 4000}
    key = found["key"]
    code, out, _ = dnsearch("train", f"reports/small:{key[:6]}", "--epochs", 1, "--threads", 1)
    assert code == 0
    assert result(f"small-{key}")["key"] == key
    assert load_network(f"reports/small-{key}/network").config.key == key


def test_what_is_typed_can_be_an_export(dnsearch):
    assert dnsearch(*TRAIN).code == 0
    again = ["train", "reports/net/network", *TRAIN[2:], "--name", "again"]
    assert dnsearch(*again).code == 0
    assert timeless(result("again")) == timeless(result())


def test_without_a_study_the_bundled_one_is_taken_and_told(dnsearch, monkeypatch):
    monkeypatch.setattr("dnsearch.cli.train.bundled_study", lambda: Path("toy.toml"))
    code, out, _ = dnsearch("train", "net.json", "--threads", 1, "--epochs", 1)
    assert code == 0
    assert "note: images and recipe of the bundled study, quickstart; --study takes others" in out


def test_on_a_terminal(dnsearch, monkeypatch):
    console = Console(force_terminal=True, width=100)
    monkeypatch.setattr(watch, "Console", lambda: console)
    code, out, _ = dnsearch(*TRAIN)
    assert code == 0
    assert "epoch 3/3" in out
    assert "after epoch 3: loss " in out


def test_a_preset_is_not_hidden_by_a_folder_of_its_name(refused):
    """Such as that of its own training, where --to is the present folder."""
    Path("densenet121").mkdir()
    told = refused("train", "densenet121", "--study", "toy.toml", "--to", ".")
    assert told.startswith("input size must be at least 29x29 for 4 blocks after the imagenet")


def test_divergence_is_one_line(dnsearch):
    Path("toy.toml").write_text(STUDY.replace("cutout = 2", "learning_rate = 1e30\nwarmup = 0"))
    code, _, err = dnsearch(*TRAIN)
    assert code == 1
    assert re.fullmatch(r"dnsearch: reports/net: training loss became nan in epoch 1; .*\n", err)
    Path("toy.toml").write_text(STUDY)
    assert dnsearch(*TRAIN).code == 0  # nothing was found that another recipe could spoil


def test_folders_of_searches_and_trainings_are_told_apart(dnsearch, refused, trained):
    shutil.copytree(trained.path, "reports/small")
    told = refused(*TRAIN, "--name", "small")
    assert told == "reports/small: holds a search; choose another --name"
    dnsearch(*TRAIN)
    told = refused("run", "toy.toml", "--name", "net")
    assert told == "reports/net: holds the training of one network; choose another --name"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["densenet12"],
            r"there is no run, preset or file 'densenet12'; did you mean 'densenet121'\?",
        ),
        (["none.json"], r"none.json: cannot be read: No such file or directory"),
        (["toy.toml"], r"toy.toml: must be valid JSON: .*"),
        (["."], r"config.json: cannot be read: No such file or directory"),
        (["none:knee"], r"there is no run 'none'; there are no runs in reports/ yet"),
        ([":"], r"there is no run ''; there are no runs in reports/ yet"),
        (["x" * 300], r"there is no run, preset or file 'xxx.*; known are densenet-100-12, .*"),
        (["net.json", "--study", "none.toml"], r"none.toml: there is no such study file; .*"),
        (["net.json", "--epochs", "0"], r"invalid value for '--epochs': 0 is not in the range .*"),
        (["net.json", "--gpus", "2000"], r"--gpus must be at most 1024, got 2000"),
        (["net.json", "--seed", "-1"], r"invalid value for '--seed': -1 is not in the range .*"),
        (["net.json", "--device", "tpu"], r"--device must be auto, cpu, cuda or .*, got 'tpu'"),
        (["net.json", "--device", "cuda:99"], r"search.device must be a device of this .*"),
        (["net.json", "--name", "a b"], r"a run's name must be .* got 'a b'; choose another .*"),
        (["densenet121"], r"input size must be at least 29x29 for 4 blocks after the imagenet .*"),
        (["net.json", "--to", "net.json"], r"net.json/net: cannot be written: .*"),
    ],
)
def test_refused(refused, typed, told):
    assert re.fullmatch(told, refused("train", "--study", "toy.toml", *typed))


def test_no_such_pick(refused, trained):
    shutil.copytree(trained.path, "reports/small")
    assert re.match(
        r"no candidate is called 'nope': name least-error, ", refused("train", "small:nope")
    )
    assert re.match(r"no finished candidate has macs<=1: ", refused("train", "small:macs<=1"))


def test_in_use(dnsearch, refused):
    from dnsearch.rundir import RunDir

    dnsearch(*TRAIN)
    with RunDir(Path("reports/net")).lock():
        told = refused(*TRAIN)
    assert re.fullmatch(r"reports/net: in use by process \d+ on \S+ since \S+; .*", told)


def test_hidden_test_labels_cost_the_test_error_alone_until_they_are_there(dnsearch):
    write_images(train=(160, 0), test=(60, 1))
    arrays = dict(np.load("toy.npz"))
    np.savez("toy.npz", **(arrays | {"y_test": np.full(60, -1)}))
    code, out, _ = dnsearch(*TRAIN)
    assert code == 0
    assert "note: there will be no test error: toy.npz (npz), test: has no labels, as all" in out
    assert "           no test error: toy.npz (npz), test: has no labels, as all are -1" in out
    result = json.loads(Path("reports/net/result.json").read_text())
    assert result["test"] is None
    assert "all are -1" in result["untested"]
    text = Path("reports/net/network/README.md").read_text()
    assert "There is no test error: toy.npz (npz), test: has no labels" in text
    assert dnsearch(*TRAIN).out.count("no test error: ") == 1  # finished before
    np.savez("toy.npz", **arrays)
    code, out, _ = dnsearch(*TRAIN)
    assert code == 0
    assert re.search(r"^ +\d+\.\d+ ± \d+\.\d+ % test error$", out, re.M)
    assert json.loads(Path("reports/net/result.json").read_text())["test"]["images"] == 60


def test_a_batch_larger_than_the_images_is_refused(refused):
    write_images(train=(30, 0))
    told = "training.batch_size must be at most 24, the training images there are, got 32"
    assert refused(*TRAIN) == told


def test_several_processes_find_what_one_does(dnsearch):
    Path("toy.toml").write_text(STUDY.replace("shift = 1", "shift = 1\nmicro_batch = 8"))
    assert dnsearch(*TRAIN, "--name", "one").code == 0
    code, out, err = dnsearch(*TRAIN, "--name", "two", "--processes", 2)
    assert (code, err) == (0, "")
    assert "; 3 epochs on 2 processes with 1 CPU thread each\n" in out
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["1/3", "2/3", "3/3"]
    assert " --gpus 2 " in out
    one, two = result("one"), result("two")
    for ours, theirs in zip(two["curve"], one["curve"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert two["test"]["class_errors"] == one["test"]["class_errors"]
    assert two["test"]["loss"] == pytest.approx(one["test"]["loss"], rel=1e-5)
    assert (one["processes"], two["processes"]) == ([1], [2])
    assert two["environment"]["devices"] == ["cpu", "cpu"]


@pytest.fixture
def few_files():
    """Fewer more files may be opened than deep networks have weights."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(os.listdir("/dev/fd")) + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_several_processes_begin_with_the_weights_of_a_file(dnsearch, few_files):
    deep = NETWORK.replace(block_config=(10, 10))
    Path("net.json").write_text(json.dumps(deep.to_dict()))
    torch.save(DenseNet(deep.replace(in_channels=1, num_classes=5)).state_dict(), "five.pth")
    typed = *TRAIN, "--epochs", 1, "--init", "five.pth"
    assert dnsearch(*typed, "--name", "one").code == 0
    code, _, err = dnsearch(*typed, "--name", "two", "--processes", 2)
    assert (code, err) == (0, "")
    assert result("two")["curve"][0] == pytest.approx(result("one")["curve"][0], rel=1e-4)
    assert result("two")["init"] == result("one")["init"]


def test_a_process_that_dies_ends_them_all(dnsearch, monkeypatch):
    def kill_one(self, point):
        processes = [each for each in multiprocessing.active_children() if each.is_alive()]
        processes[-1].kill()

    monkeypatch.setattr(watch.Lines, "epoch", kill_one)
    code, _, err = dnsearch(*TRAIN, "--processes", 2, "--epochs", 100_000)
    assert code == 3
    assert re.fullmatch(
        r"dnsearch: process \d of 2, on cpu, died \(exit code -9\); the same command goes on\n", err
    )
    assert not multiprocessing.active_children()
    assert not Path("reports/net/result.json").exists()


def test_batches_that_processes_cannot_share(refused):
    told = "--gpus must divide training.batch_size, 32, got 3"
    assert refused(*TRAIN, "--processes", 3) == told


SEVERAL = ("train", "net.json", "other.json", *TRAIN[2:])


def test_several_networks_one_after_the_other(dnsearch):
    Path("other.json").write_text(json.dumps(NETWORK.replace(growth_rate=6).to_dict()))
    code, out, err = dnsearch(*SEVERAL)
    assert (code, err) == (0, "")
    ended = [line for line in out.splitlines() if ": finished, " in line]
    for line, name in zip(ended, ("net", "other"), strict=True):
        error = 100 * result(name)["test"]["error"]
        assert line.startswith(f"reports/{name}: finished, {error:.2f} ± ")
    code, out, _ = dnsearch(*SEVERAL, "--json")
    assert code == 0
    assert [(each["path"], each["again"]) for each in json.loads(out)] == [
        ("reports/net", True),
        ("reports/other", True),
    ]


def test_one_that_fails_keeps_no_other_from_being_trained(dnsearch):
    Path("other.json").write_text(json.dumps(NETWORK.replace(growth_rate=6).to_dict()))
    assert dnsearch(*TRAIN, "--seed", 1).code == 0
    code, out, err = dnsearch(*SEVERAL)
    assert code == 1
    assert err == "dnsearch: 1 of 2 networks could not be trained\n"
    assert result("other")["epochs"] == 3
    told = "reports/net: holds another training (seed: 1 -> 0); change it back, or give this "
    assert out.splitlines()[0].startswith(told)
    assert out.splitlines()[-1].startswith(f"           {told}")
    code, out, _ = dnsearch(*SEVERAL, "--json")
    assert code == 1
    first, second = json.loads(out)
    assert (first["path"], second["epochs"]) == ("reports/net", 3)
    assert first["failure"].startswith("holds another training")


def test_several_networks_are_known_before_the_first_is_trained(refused):
    assert refused("train", "net.json", "none.json", *TRAIN[2:]).startswith("none.json: cannot be")
    told = refused("train", "net.json", "net.json", *TRAIN[2:])
    assert told.startswith("networks must each have a folder of their own, and two are net;")
    told = refused("train", "net.json", "densenet121", *TRAIN[2:], "--name", "both")
    assert told.startswith("--name must be left out where several networks are trained")
