import hashlib
import importlib.util
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import dnsearch.data
from dnsearch.config import DataConfig
from dnsearch.data import prepare, prepare_test

PACKAGE = Path(dnsearch.data.__file__).parent
SCRIPT = Path(__file__).parents[2] / "studies" / "make_fashion_mnist_16k.py"
CHECKSUMS = """
6a46b90b2af3bbe6c4d1b77635f021d5c9a2e051047945652322d71b668985eb  train-images-idx3-ubyte.xz
661af384e4421d09dcbbc6506ebd09f31ff220a1e9a54177e258f4e9f42c61be  train-labels-idx1-ubyte.xz
3d3fa8e0504cf4654044bcf0fa53cb64977903aa46bb72a235761ad58cd8fd51  validation-images-idx3-ubyte.xz
2e106e6035f49eda25dee940e40a53eae045caa7193dabf56bb26ad3948bed3d  validation-labels-idx1-ubyte.xz
5d8efce7d9c7f9ed2e878c28dad15e6f5f10c99ff16c68e5110e3342313ddce4  test-images-idx3-ubyte.xz
9adca67901335dcac1fe2dd8228920567fa82692f03e446559b2022d4c757d9e  test-labels-idx1-ubyte.xz
"""


def original_files():
    """Where Debian's package dataset-fashion-mnist put its files; None if it is not installed."""
    try:
        listing = subprocess.run(
            ["dpkg", "-L", "dataset-fashion-mnist"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = [Path(line) for line in listing.splitlines() if line.endswith("ubyte.gz")]
    return found[0].parent if found and found[0].is_file() else None


def test_checksums_and_size():
    files = sorted((PACKAGE / "fashion-mnist-16k").iterdir())
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in files]
    assert sorted(lines) == sorted(CHECKSUMS.split("\n")[1:-1])
    assert sum(file.stat().st_size for file in files) <= 7_000_000


def test_licence_is_beside_it():
    text = (PACKAGE / "fashion-mnist-16k.LICENSE").read_text()
    assert "MIT License" in text
    assert "Zalando SE" in text


def test_counts_classes_and_speed():
    began = time.process_time()
    data, test = prepare(DataConfig()), prepare_test(DataConfig())
    assert time.process_time() - began < 3  # 0.5 s where nothing else runs
    assert data.name == "fashion-mnist-16k"
    assert data.shape == (1, 28, 28)
    assert data.classes[0] == "T-shirt/top"
    for split, each in ((data.train, 800), (data.validation, 400), (test, 400)):
        assert split.images.dtype == np.uint8
        assert np.bincount(split.labels).tolist() == [each] * 10
    # published for the whole set: mean 0.2860, standard deviation 0.3530
    assert data.mean[0] == pytest.approx(0.2860, abs=0.002)
    assert data.std[0] == pytest.approx(0.3530, abs=0.002)


def test_is_what_the_script_draws_from_the_original():
    folder = original_files()
    if folder is None:
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    data = prepare(DataConfig())
    bundled = {"train": data.train, "validation": data.validation}
    bundled["test"] = prepare_test(DataConfig())
    for name, (images, labels) in script.subset(folder).items():
        np.testing.assert_array_equal(bundled[name].images[:, 0], images)
        np.testing.assert_array_equal(bundled[name].labels, labels)
