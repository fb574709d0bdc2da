"""What a training begins with: weights of a file, of which all that can be is taken."""

from __future__ import annotations

import pickle
import re

import pytest
import torch

from dnsearch.arch import ArchConfig, DenseNet, preset
from dnsearch.arch.checkpoint import load_weights, save_network
from dnsearch.config import TrainingConfig
from dnsearch.errors import CheckpointError
from dnsearch.training.initial import InitialWeights, initial_network
from dnsearch.training.trainer import Trainer

ARCH = ArchConfig(4, (1, 2), 8, 2, stem="cifar", in_channels=1, num_classes=3)
RECIPE = TrainingConfig(rungs=(2,), batch_size=32)


@pytest.fixture
def file(tmp_path):
    """Weights of ARCH that no seed draws."""
    torch.manual_seed(99)
    model = DenseNet(ARCH)
    model(torch.randn(8, 1, 8, 8))  # running statistics off their start
    torch.save(model.state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


def differing(one: dict, other: dict) -> set[str]:
    assert one.keys() == other.keys()
    return {key for key in one if not torch.equal(one[key], other[key])}


@pytest.mark.parametrize("old", [False, True], ids=["today's names", "names of before 2018"])
def test_torchvisions_weights_for_other_classes_compute_its_features(torchvision, tmp_path, old):
    theirs = torchvision.densenet121().eval()
    weights = theirs.state_dict()
    if old:  # as torchvision still publishes them
        weights = {
            re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
            for key, value in weights.items()
            if "num_batches" not in key
        }
    torch.save(weights, tmp_path / "densenet121.pth")
    arch = preset("densenet121").replace(num_classes=10)
    init = InitialWeights.read(tmp_path / "densenet121.pth", arch)
    ours = initial_network(arch, 0, init).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours.features(images), theirs.features(images), rtol=0, atol=0)
    head = initial_network(arch, 0).classifier.weight
    assert torch.equal(ours.classifier.weight, head)  # as a training from random weights has it
    assert init.note(arch) == (
        "weights are those of densenet121.pth, but for the classifier (10 classes), which begins "
        "anew"
    )


CLASSIFIER = {"classifier.weight", "classifier.bias"}
STEM = {"features.conv0.weight"}


@pytest.mark.parametrize(
    ("changed", "anew", "told"),
    [
        ({}, set(), "all weights are those of w.pth"),
        ({"num_classes": 1}, CLASSIFIER, "the classifier (1 class), which begins anew"),
        ({"in_channels": 3}, STEM, "the stem (cifar, 3 channels), which begins anew"),
        ({"stem": "patch2"}, STEM, "the stem (patch2, 1 channel), which begins anew"),
        (
            {"stem": "imagenet", "num_classes": 5},
            STEM | CLASSIFIER | {f"features.norm0.{n}" for n in ("weight", "bias")},
            "the stem (imagenet, 1 channel) and the classifier (5 classes), which begin anew",
        ),
    ],
)
def test_what_fits_is_taken_and_what_does_not_is_told(file, changed, anew, told):
    arch = ARCH.replace(**changed)
    init = InitialWeights.read(file, arch)
    assert told in init.note(arch)
    begun, given = initial_network(arch, 4, init).state_dict(), torch.load(file)
    drawn = initial_network(arch, 4).state_dict()
    others = {key for key in begun if key not in given or begun[key].shape != given[key].shape}
    assert {key for key in others if "running" not in key and "num_" not in key} <= anew
    for key, value in begun.items():
        same = drawn if key in anew or key.startswith("features.norm0") else given
        assert torch.equal(value, same[key]), key
    asked = initial_network(arch, 4)
    load_weights(asked, file, init.reinitialised)
    assert not differing(asked.state_dict(), begun)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"growth_rate": 5}, r"denselayer1\.conv1\.weight must have shape \(10, .*got \(8, "),
        ({"num_init_features": 12}, r"norm1\.weight must have shape \(12,\), got \(8,\)"),
        (
            {"block_config": (1, 3)},
            r"lacks 10 weights .*\('features\.denseblock2\.denselayer3\.norm1\.w",
        ),
        ({"norm": "group"}, r"holds \d+ others \('features\.denseblock1\.denselayer1\.norm1\.runn"),
        ({"bn_size": 0}, r"holds 18 others \('features\.denseblock1\.denselayer1\.norm2\.w"),
    ],
)
def test_another_architecture_is_refused_by_file_and_first_weight(file, changed, told):
    text = rf"{re.escape(str(file))}: .*(?:{told}).*is it another architecture's file\?$"
    with pytest.raises(CheckpointError, match=text) as refused:
        InitialWeights.read(file, ARCH.replace(**changed))
    assert "\n" not in str(refused.value)


def test_folders_of_exports_and_trainings(tmp_path, file):
    model = initial_network(ARCH, 0, InitialWeights.read(file, ARCH))
    (tmp_path / "run" / "network").mkdir(parents=True)
    save_network(model, tmp_path / "run" / "network")
    for named in ("run", "run/network", "run/network/model.safetensors"):
        found = InitialWeights.read(tmp_path / named, ARCH)
        assert f"run/network/{found.file}".endswith("/network/model.safetensors")
        assert found.file.startswith(named.rpartition("/")[2])
        assert not differing(dict(found.weights), model.state_dict())
    with pytest.raises(CheckpointError, match=r": holds neither model\.safetensors, .* first$"):
        InitialWeights.read(tmp_path, ARCH)


def test_a_checkpoint_gives_the_averaged_weights_that_were_scored(data, tmp_path):
    before = Trainer(ARCH, data, RECIPE, 3, tmp_path / "a.pt")
    before.train(2)
    found = InitialWeights.read(tmp_path / "a.pt", ARCH)
    assert not differing(dict(found.weights), before.averaged.model.state_dict())


def test_a_training_begins_with_them_and_is_told_apart_by_them(data, tmp_path, file):
    init = InitialWeights.read(file, ARCH)
    trainer = Trainer(ARCH, data, RECIPE, 3, tmp_path / "c.pt", init=init)
    assert not differing(trainer.model.state_dict(), torch.load(file))
    assert not differing(trainer.averaged.model.state_dict(), torch.load(file))
    losses = [trainer.train(1).loss]
    for other in (None, InitialWeights.read(tmp_path / "c.pt", ARCH)):
        again = Trainer(ARCH, data, RECIPE, 3, tmp_path / "c.pt", init=other)
        again.resume(2)
        assert again.epoch == 0  # it is not that one's checkpoint
        losses.append(again.train(1).loss)
        trainer._save()
    assert len(set(losses)) == 3
    own = Trainer(ARCH, data, RECIPE, 3, tmp_path / "c.pt", init=init)
    own.resume(2)
    assert own.epoch == 1


def test_another_process_reads_them_anew_unless_the_file_has_changed(file):
    init = InitialWeights.read(file, ARCH)
    sent = pickle.loads(pickle.dumps(init.unread()))
    assert not sent.weights
    again = sent.read_again(ARCH)
    assert again.record() == init.record()
    assert not differing(dict(again.weights), dict(init.weights))
    torch.save(DenseNet(ARCH).state_dict(), file)
    with pytest.raises(CheckpointError, match=r"w\.pth: changed while the training began$"):
        sent.read_again(ARCH)


def test_batch_norms_take_up_how_images_are_scaled():
    """docs/fine-tuning.md: a network in training computes the same of images at another scale."""
    torch.manual_seed(0)
    model = DenseNet(ArchConfig(4, (2, 2), 8, 2, num_classes=3)).train().double()
    images = torch.randn(16, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(model(images), model(3 * images), rtol=1e-3, atol=1e-3)
