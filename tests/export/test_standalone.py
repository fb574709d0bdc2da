"""``network.py`` where there is neither dnsearch nor safetensors nor NumPy: only torch, and Pillow
for pictures."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dnsearch.arch.checkpoint import save_network
from dnsearch.export.standalone import standalone, write_standalone
from tests.export.networks import ARCHS, network, preprocessing

SCRIPT = """
import pathlib, runpy, sys
hidden = ("dnsearch", "safetensors", "numpy", "PIL")
sys.modules |= dict.fromkeys(hidden)
import torch
torch.set_num_threads(1)
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    model = runpy.run_path(str(folder / "network.py"))["load"]()
    images = torch.load(folder / "images.pt")
    found = {"names": [name for name, _ in model.named_modules()]}
    with torch.no_grad():
        found["eval"] = model(images)
        torch.manual_seed(0)
        found["train"] = model.train()(images)
    torch.save(found, folder / "found.pt")
del sys.modules["PIL"]
sys.argv = ["network.py", str(folder / "picture.png"), str(folder / "picture.png")]
runpy.run_path(str(folder / "network.py"), run_name="__main__")
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, str]:
    """A folder for each network with what its ``network.py`` gave, and what one of them printed."""
    root = tmp_path_factory.mktemp("networks")
    for name, arch in ARCHS.items():
        folder = root / name
        folder.mkdir()
        save_network(network(arch), folder)
        images = preprocessing(arch)
        write_standalone(arch, images, folder)
        torch.save(torch.randn(3, *images.shape), folder / "images.pt")
        pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "picture.png")
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT, root], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return root, done.stdout


@pytest.mark.parametrize("name", ARCHS)
def test_it_is_the_network(written, name):
    """The same modules and outputs, also in training, where dropout draws the same."""
    folder = written[0] / name
    found, images = torch.load(folder / "found.pt"), torch.load(folder / "images.pt")
    model = network(ARCHS[name])
    assert found["names"] == [module for module, _ in model.named_modules()]
    with torch.no_grad():
        torch.testing.assert_close(found["eval"], model(images), rtol=1e-4, atol=1e-5)
        torch.manual_seed(0)
        wanted = model.train()(images)
    torch.testing.assert_close(found["train"], wanted, rtol=1e-4, atol=1e-5)


def test_it_names_the_classes_of_pictures(written):
    """As the network does with images prepared by hand, of the folder that came last."""
    root, printed = written
    name = max(ARCHS)
    arch = ARCHS[name]
    images = preprocessing(arch)
    picture = root / name / "picture.png"
    with torch.inference_mode():
        shares = network(arch)(images.image(picture)[None]).softmax(1)[0]
    order = shares.argsort(descending=True).tolist()
    told = ", ".join(f"{images.classes[i]} {100 * shares[i]:.1f} %" for i in order)
    assert printed == 2 * f"{picture}: {told}\n"


@pytest.mark.parametrize("name", ARCHS)
def test_it_is_fit_to_be_read(name):
    """No line is too long, and nothing is in it that this network does not have."""
    arch = ARCHS[name]
    text = standalone(arch, preprocessing(arch))
    assert max(map(len, text.splitlines())) <= 100
    assert ("dropout" in text) == (arch.drop_rate > 0)
    assert ("GroupNorm" in text) == (arch.norm == "group")
    assert ("AvgPool2d" in text) == any(arch.pools)
    assert ("conv2" in text) == any(arch.bottlenecks)
    assert ("MaxPool2d" in text) == (arch.stem == "imagenet")


def test_a_thousand_classes_fit_its_lines():
    arch = ARCHS["plain"].replace(num_classes=1000)
    names = tuple(f"class {'long ' * (i % 40)}{i}" for i in range(1000))
    text = standalone(arch, replace(preprocessing(arch), classes=names))
    assert max(map(len, text.splitlines())) <= 100
