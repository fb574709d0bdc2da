"""Each file of an export holds the network, by other readers than those that wrote it."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest
import torch
from torch import nn

from dnsearch.arch import PRESETS, DenseNet, load_network
from dnsearch.arch.checkpoint import save_network
from dnsearch.cost import cost_of
from dnsearch.errors import DnsearchError, RunError
from dnsearch.export.check import check
from dnsearch.export.formats import (
    ALWAYS,
    ON_REQUEST,
    is_torchvisions,
    on_request,
    torchvision_arguments,
)
from tests.export.networks import ARCHS, SMALL, TORCHVISIONS, network, preprocessing

FORMATS = {form.file: form for form in (*ALWAYS, *ON_REQUEST.values())}
PTH = FORMATS["torchvision.pth"]


def lines(text: str) -> str:
    """The Python in a README."""
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    return code


@pytest.mark.parametrize("name", TORCHVISIONS)
def test_torchvision_loads_its_weights_by_the_lines_of_the_readme(
    torchvision, name, tmp_path, monkeypatch
):
    arch = TORCHVISIONS[name]
    assert PTH.fits(arch)
    model, images = network(arch), torch.randn(2, 3, 40, 48)
    PTH.write(model, preprocessing(arch), tmp_path)
    monkeypatch.chdir(tmp_path)
    given = {"images": images}
    exec(lines(PTH.usage(arch, preprocessing(arch))), given)
    assert type(given["model"]) is torchvision.DenseNet
    torch.testing.assert_close(given["logits"], model(images), rtol=1e-4, atol=1e-5)


def test_a_network_is_torchvisions_where_its_names_and_shapes_are(torchvision):
    """Of two presets, and of all that differ from one that fits in a single field."""
    first = TORCHVISIONS["bottlenecks"]
    changed = [
        first.replace(**change)
        for change in (
            {"growth_rate": (4, 6)}, {"bn_size": (2, 4)}, {"bn_size": 0}, {"compression": 0.6},
            {"compression": 0.52}, {"norm": "group"}, {"stem": "cifar"}, {"stem": "patch4"},
            {"in_channels": 1}, {"transition": "narrow"}, {"num_init_features": 9},
            {"drop_rate": 0.5}, {"block_config": (1,)}, {"num_classes": 7},
        )
    ]  # fmt: skip
    for arch in (*changed, PRESETS["densenet121"], PRESETS["densenet-bc-100-12"]):
        assert is_torchvisions(arch) == _is_the_same(torchvision, arch), arch
    assert sum(map(is_torchvisions, changed)) == 5  # compression 0.52 leaves as many channels


def _is_the_same(torchvision, arch) -> bool:
    """Whether a torchvision network of these arguments has these weights and this resolution."""
    try:
        with torch.device("meta"):
            theirs = torchvision.DenseNet(**torchvision_arguments(arch))
    except (TypeError, ValueError, ZeroDivisionError):
        return False
    with torch.device("meta"):
        ours = DenseNet(arch)
    shapes = [{k: v.shape for k, v in each.state_dict().items()} for each in (ours, theirs)]
    pools = [[n for n, m in each.named_modules() if "pool" in n] for each in (ours, theirs)]
    return shapes[0] == shapes[1] and pools[0] == pools[1]


def test_a_program_takes_any_number_of_images(tmp_path, monkeypatch):
    form, images = FORMATS["network.pt2"], preprocessing(SMALL, 4, 6)
    model = network(SMALL)
    form.write(model, images, tmp_path)
    found = check(form, tmp_path, model, images)
    cost = cost_of(SMALL, 4, 6)
    assert (found.params, found.macs) == (cost.params, cost.macs)
    monkeypatch.chdir(tmp_path)
    for count in (1, 5):
        given = {"images": torch.randn(count, 3, 4, 6)}
        exec(lines(form.usage(SMALL, images)), given)
        torch.testing.assert_close(given["logits"], model(given["images"]), rtol=1e-4, atol=1e-5)


def test_onnx_takes_any_number_of_images(tmp_path, monkeypatch):
    for name in ON_REQUEST["onnx"].needs:
        pytest.importorskip(name, reason="the extra [onnx] is not installed")
    form, images = FORMATS["network.onnx"], preprocessing(SMALL, 4, 6)
    model = network(SMALL)
    form.write(model, images, tmp_path)
    assert check(form, tmp_path, model, images).largest_difference < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]
    monkeypatch.chdir(tmp_path)
    for count in (1, 5):
        given = {"images": np.random.default_rng(0).random((count, 3, 4, 6), np.float32)}
        exec(lines(form.usage(SMALL, images)), given)
        wanted = model(torch.from_numpy(given["images"])).detach().numpy()
        np.testing.assert_allclose(given["logits"], wanted, rtol=1e-4, atol=1e-5)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    absent = ("onnx", "onnxruntime")
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *a: None if name in absent else object() if "onnx" in name else find(name, *a),
    )
    told = (
        "network.onnx needs onnx and onnxruntime; install what is missing with "
        "`pip install onnx onnxruntime`"
    )
    with pytest.raises(DnsearchError, match=re.escape(told)):
        on_request(onnx=True, program=True)
    assert [form.file for form in on_request(onnx=False, program=True)] == ["network.pt2"]


@pytest.mark.parametrize("name", ARCHS)
def test_what_every_folder_has_is_checked(name, tmp_path):
    """The counts of the check are of the file, by torch's counter, and equal the formula's."""
    arch, images = ARCHS[name], preprocessing(ARCHS[name])
    model, cost = network(arch), cost_of(arch, *images.shape[1:])
    formats = [form for form in ALWAYS if form.fits(arch)]
    for form in formats:
        form.write(model, images, tmp_path)
    for form in formats:
        assert check(form, tmp_path, model, images) == (
            pytest.approx(0, abs=1e-5),
            cost.params,
            cost.macs,
        )


@pytest.mark.parametrize("file", ["model.safetensors", "network.py", "torchvision.pth"])
def test_other_weights_are_noticed(file, tmp_path):
    """Those of a network that differs in one filter."""
    arch = TORCHVISIONS["bottlenecks"]
    images, model = preprocessing(arch), network(arch)
    other = network(arch)
    other.features.denseblock1.denselayer1.conv2.weight.data[0] *= 1.1
    for form in ALWAYS:
        form.write(other, images, tmp_path)
    with pytest.raises(RunError, match=rf"{file}: gives other outputs when loaded again \(off by"):
        check(FORMATS[file], tmp_path, model, images)


class Wasteful(nn.Module):
    """The same outputs at another cost."""

    def __init__(self, network: nn.Module, *, weighed: bool) -> None:
        super().__init__()
        self.network = network
        self.spare = nn.Linear(1, 1, bias=False) if weighed else nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.spare, nn.Linear):
            self.network(images)
        return self.network(images)


@pytest.mark.parametrize("weighed", [True, False])
def test_another_cost_is_noticed(weighed, tmp_path):
    model, images = network(SMALL), preprocessing(SMALL)
    save_network(model, tmp_path)
    form = FORMATS["model.safetensors"]._replace(
        read=lambda folder: Wasteful(load_network(folder), weighed=weighed)
    )
    cost = cost_of(SMALL, *images.shape[1:])
    told = f"must have {cost.params:,} parameters and {cost.macs:,} multiply-adds, has "
    told += f"{cost.params + weighed:,} and {(1 if weighed else 2) * cost.macs:,}; nothing is kept"
    with pytest.raises(RunError, match=re.escape(told)):
        check(form, tmp_path, model, images)


def test_what_torch_cannot_write_is_one_line(tmp_path):
    def fail(*_):
        raise TypeError("no\nsuch thing")

    form = FORMATS["network.pt2"]._replace(write=fail)
    with pytest.raises(RunError, match=r"network.pt2: cannot be made: TypeError: no such thing$"):
        form.written(network(SMALL), preprocessing(SMALL), tmp_path)
