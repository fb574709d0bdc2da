import argparse
import re

import numpy as np
import pytest
import safetensors.torch
import torch

from dnsearch import arch
from dnsearch.arch import ArchConfig, DenseNet, load_network, load_weights
from dnsearch.arch.checkpoint import read_weights, save_network
from dnsearch.errors import CheckpointError, ConfigError

SMALL = {"growth_rate": 6, "block_config": (2, 2), "num_init_features": 10, "num_classes": 7}


@pytest.fixture
def model():
    model = DenseNet(ArchConfig(**SMALL))
    model(torch.randn(4, 3, 16, 16))  # running statistics off their start
    return model


OPTIMISER = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}


def scrambled(weights):
    return {name: value + 1 for name, value in weights.items()}


def assert_same(model, other):
    torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda w: {"state_dict": w},
        lambda w: {"model": w, "n": 1},
        lambda w: {
            "epoch": 3,
            "model_state_dict": w,
            "optimizer_state_dict": OPTIMISER,
            "loss": 0.4,
        },
        lambda w: {"net": w, "acc": np.float64(93.1), "args": argparse.Namespace(lr=0.1)},
        lambda w: {"whatever": {"else": {"weights": w}}},
        lambda w: {**w, "epoch": 3},
        lambda w: {"model": scrambled(w), "ema": {"decay": 0.99, "module": w}},
        lambda w: {"state_dict": scrambled(w), "state_dict_ema": w},
        lambda w: {"model": w, "best": dict(w)},
        lambda w: {**w, **{f"alias.{name}": value for name, value in w.items()}},
    ],
)
def test_pth_files_also_wrapped(model, tmp_path, wrap):
    torch.save(wrap(model.state_dict()), tmp_path / "w.pth")
    other = DenseNet(model.config)
    load_weights(other, tmp_path / "w.pth")
    assert_same(model, other)


@pytest.mark.parametrize(
    "rename",
    [
        "module.{}".format,
        "_orig_mod.{}".format,
        "model._orig_mod.{}".format,
        "module._orig_mod.module.net.{}".format,
        "module.densenet121.{}".format,
        "backbones.0.{}".format,
        lambda name: name.replace("features.", "features.module.", 1),
        lambda name: name.replace("features.", "model.features._orig_mod.").replace(
            "cl", "model.cl"
        ),
        lambda name: name.replace("classifier.", "classifier.1."),
    ],
)
def test_prefixes_are_seen_through(model, tmp_path, rename):
    """Also where what wraps the network has weights of its own."""
    saved = {rename(key): value for key, value in model.state_dict().items()}
    if not any(name.startswith(("features.", "classifier.")) for name in saved):
        saved |= {"n_averaged": torch.tensor(3), "criterion.weight": torch.ones(7)}
    torch.save({"state_dict": saved}, tmp_path / "w.pth")
    other = DenseNet(model.config)
    load_weights(other, tmp_path / "w.pth")
    assert_same(model, other)


def test_the_average_is_taken_of_a_network_and_its_average(model, tmp_path):
    saved = {f"model.{key}": value for key, value in scrambled(model.state_dict()).items()}
    saved |= {f"ema_model.module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": saved}, tmp_path / "w.ckpt")
    other = DenseNet(model.config)
    load_weights(other, tmp_path / "w.ckpt")
    assert_same(model, other)


def test_several_networks_are_named(model, tmp_path):
    saved = {f"student.{key}": value for key, value in scrambled(model.state_dict()).items()}
    saved |= {f"teacher.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": saved}, tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError,
        match=r"w\.pth: holds 2 networks \(key 'state_dict', prefix 'student\.' and .*'teacher\.",
    ):
        read_weights(tmp_path / "w.pth")


def test_what_does_not_fit_is_named_with_where_it_was(model, tmp_path):
    saved = {f"module.{key}": value for key, value in model.state_dict().items()}
    saved["module.head.weight"] = saved.pop("module.classifier.weight")
    torch.save({"net": saved}, tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError,
        match=r"w\.pth \(key 'net', prefix 'module\.'\): lacks 1 weight of this network "
        r"\('classifier\.weight'\) and holds another one \('head\.weight'\); is it another",
    ):
        load_weights(model, tmp_path / "w.pth")
    del saved["module.head.weight"], saved["module.classifier.bias"]
    torch.save(saved, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"pass reinitialise=\['classifier'\]"):
        load_weights(model, tmp_path / "w.pth")
    load_weights(model, tmp_path / "w.pth", reinitialise=["classifier"])


def test_a_head_of_several_layers_is_left_for_transfer(model, tmp_path):
    saved = {k: v for k, v in model.state_dict().items() if not k.startswith("classifier.")}
    saved |= {f"classifier.{i}.weight": torch.ones(3, 3) for i in (0, 2)}
    torch.save(saved, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"holds 2 others \('classifier.0.weight'.*reinit"):
        load_weights(model, tmp_path / "w.pth")
    load_weights(model, tmp_path / "w.pth", reinitialise=["classifier"])


def test_other_peoples_networks_are_named(tmp_path):
    torch.save({"model": {"layer1.0.conv1.weight": torch.ones(1)}}, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match=r"its 1 tensor is called 'layer1.0.conv1.weight';"):
        read_weights(tmp_path / "resnet.pth")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script. is deprecated")
def test_a_whole_model_is_refused_with_what_to_do(model, tmp_path):
    torch.save(model, tmp_path / "model.pth")
    torch.save({"model": model, "epoch": 3}, tmp_path / "checkpoint.pth")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pth"))  # pyright: ignore
    for name in ("model.pth", "checkpoint.pth", "script.pth"):
        with pytest.raises(CheckpointError, match=r"cannot.*run code.*torch\.save\(model\.state_"):
            read_weights(tmp_path / name)


def test_old_torchvision_keys(model, tmp_path):
    """As in torchvision's files of 2017: norm.1 for norm1, and no num_batches_tracked."""
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    other = DenseNet(model.config)
    load_weights(other, tmp_path / "old.pth")
    assert other.features.norm5.num_batches_tracked == 0
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(other.eval()(images), model.eval()(images))


def test_data_parallel_prefix_and_safetensors(model, tmp_path):
    prefixed = {f"module.{key}": value for key, value in model.state_dict().items()}
    safetensors.torch.save_file(prefixed, tmp_path / "w.safetensors")
    other = DenseNet(model.config)
    load_weights(other, tmp_path / "w.safetensors")
    assert_same(model, other)


def test_torchvision_reads_ours_and_we_read_theirs(torchvision, tmp_path):
    theirs = torchvision.DenseNet(**SMALL)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = DenseNet(ArchConfig(**SMALL))
    load_weights(ours, tmp_path / "theirs.pth")
    assert_same(theirs, ours)
    theirs.load_state_dict(DenseNet(ArchConfig(**SMALL)).state_dict())


def test_named_constructors_take_weights_and_fields(tmp_path):
    small = {"growth_rate": 4, "block_config": (1, 1), "num_init_features": 8, "num_classes": 5}
    for name in ("densenet121", "densenet161", "densenet169", "densenet201"):
        make = getattr(arch, name)
        model = make(**small)
        torch.save(model.state_dict(), tmp_path / f"{name}.pth")
        assert_same(model, make(weights=tmp_path / f"{name}.pth", **small))


def test_transfer_must_be_asked_for(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "w.pth")
    other = DenseNet(model.config.replace(num_classes=3, in_channels=1))
    before = {k: v.clone() for k, v in other.state_dict().items()}
    both = r"conv0.*\(10, 1, 7, 7\).*pass reinitialise=\['classifier', 'stem'\] to train"
    with pytest.raises(CheckpointError, match=both):
        load_weights(other, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"classifier.*pass reinitialise=\['classifier'\]"):
        load_weights(other, tmp_path / "w.pth", reinitialise=["stem"])
    torch.testing.assert_close(other.state_dict(), before)  # nothing half-loaded
    load_weights(other, tmp_path / "w.pth", reinitialise=["stem", "classifier"])
    torch.testing.assert_close(other.classifier.weight, before["classifier.weight"])
    torch.testing.assert_close(other.features.norm5.running_mean, model.features.norm5.running_mean)


@pytest.mark.parametrize(("here", "there"), [("cifar", "imagenet"), ("imagenet", "patch4")])
def test_a_stem_of_another_kind_keeps_its_own_values(tmp_path, here, there):
    """Its norm, too, where one of them has none; the rest is the file's."""
    theirs, ours = (DenseNet(ArchConfig(**SMALL, stem=stem)) for stem in (there, here))
    theirs(torch.randn(4, 3, 16, 16))  # running statistics off their start
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"pass reinitialise=\['stem'\] to train this anew$"):
        load_weights(ours, tmp_path / "w.pth")
    load_weights(ours, tmp_path / "w.pth", reinitialise=["stem"])
    for key, value in ours.state_dict().items():
        is_stem = key.split(".")[1] in ("conv0", "norm0")
        expected = before if is_stem else theirs.state_dict()
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0, msg=key)


@pytest.mark.parametrize("reinitialise", ["classifier", ["head"]])
def test_only_known_layers_are_reinitialised(model, tmp_path, reinitialise):
    torch.save(model.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="reinitialise must be a list of 'stem' and 'classifier'"):
        load_weights(model, tmp_path / "w.pth", reinitialise=reinitialise)


def test_another_architecture_is_named(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError, match=r"lacks 10 weights of this network \('feat.*, \.\.\.\); is it ano"
    ):
        load_weights(DenseNet(model.config.replace(block_config=(2, 3))), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth: holds 12 others \('features"):
        load_weights(DenseNet(model.config.replace(block_config=(2, 1))), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="must have shape"):
        load_weights(DenseNet(model.config.replace(growth_rate=5)), tmp_path / "w.pth")


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch evil-was-here",)


def test_a_pickle_that_runs_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Evil()}, "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth: cannot be read as weights"):
        read_weights("evil.pth")
    assert not (tmp_path / "evil-was-here").exists()


def test_broken_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such weights file"):
        read_weights(tmp_path / "none.pth")
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(CheckpointError, match=f"{name}: cannot be read as weights"):
            read_weights(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="must hold a state dict"):
        read_weights(tmp_path / "list.pth")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"growth_rate": (3, 6), "bn_size": (0, 2)},
        {"transition": "narrow", "norm": "group", "stem": "cifar"},
    ],
)
def test_a_saved_network_loads_alone(tmp_path, fields):
    model = DenseNet(ArchConfig(**SMALL | fields))
    model(torch.randn(4, 3, 16, 16))
    save_network(model, tmp_path)
    loaded = load_network(tmp_path)
    assert loaded.config == model.config
    assert_same(model, loaded)
    (tmp_path / "config.json").write_text('{"growth": 3}')
    with pytest.raises(CheckpointError, match=r"config\.json: growth is no field"):
        load_network(tmp_path)
