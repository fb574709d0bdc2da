"""``dnsearch count``: the published figures, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.search import read_results

GOLDEN = {
    "densenet121": (7_978_856, 2_834_161_664),
    "densenet161": (28_681_000, 7_727_907_072),
    "densenet169": (14_149_480, 3_359_843_328),
    "densenet201": (20_013_928, 4_291_365_888),
}
"""Parameters and multiply-adds at 224x224 and 1,000 classes, conv + linear."""


@pytest.mark.parametrize("name", ["densenet121", "densenet169"])
def test_published_figures(dnsearch, name):
    code, out, err = dnsearch("count", name, "--input", "3x224x224", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    for counted in (report["formula"], report["fvcore"]):
        assert (counted["params"], counted["macs"]) == GOLDEN[name]
    assert report["formula"]["activations"] == report["fvcore"]["activations"]
    assert sum(stage["macs"] for stage in report["stages"]) == GOLDEN[name][1]
    assert ArchConfig.from_dict(report["config"]).key == report["key"]


def test_table_for_people(dnsearch):
    code, out, _ = dnsearch("count", "densenet-40-12", "--input", "3x32x32")
    assert code == 0
    assert re.search(r"parameters +1,019,722 +1,019,722", out)
    assert "denseblock3" in out


def test_flags_and_a_config_file_agree(dnsearch):
    flags = ["--growth-rate", 4, "--block-config", "1-2", "--stem", "cifar", "--num-classes", 7]
    by_flags = json.loads(dnsearch("count", *flags, "--input", "1x8x8", "--json").out)
    Path("config.json").write_text(json.dumps(by_flags["config"]))
    by_file = json.loads(dnsearch("count", "config.json", "--input", "1x8x8", "--json").out)
    assert by_file["formula"] == by_flags["formula"]
    assert by_file["input"] == [1, 8, 8]


def test_a_network_whose_blocks_differ(dnsearch):
    """By options and as a file; the formula is fvcore's count."""
    options = ["--growth-rate", "6-11-23", "--block-config", "1-2-3", "--bn-size", "0-4-4"]
    options += ["--transition", "narrow-pool", "--stem", "cifar", "--input", "3x8x8"]
    report = json.loads(dnsearch("count", *options, "--json").out)
    arch = ArchConfig(
        (6, 11, 23), (1, 2, 3), bn_size=(0, 4, 4), stem="cifar", transition=("narrow", "pool")
    )
    assert report["key"] == arch.key
    for name in ("params", "macs", "activations"):
        assert report["formula"][name] == report["fvcore"][name]
    sides = {stage["name"]: stage["height"] for stage in report["stages"]}
    assert [sides[f"denseblock{i}"] for i in (1, 2, 3)] == [8, 8, 4]
    Path("config.json").write_text(json.dumps(report["config"]))
    assert json.loads(dnsearch("count", "config.json", *options[-2:], "--json").out) == {
        **report, "network": "config.json"
    }  # fmt: skip
    shown = " ".join(dnsearch("count", *options).out.split())
    assert "k=6-11-23 blocks 1+2-3 bottleneck 0-4-4 init 64: input 3x8x8" in shown


def test_a_network_of_a_run(dnsearch, refused, trained):
    """As ``train`` finds it, on the images of its run unless others are named."""
    key = read_results(trained).measured[0].key
    for query in (key, "least-cost", "params<=1M"):
        report = json.loads(dnsearch("count", f"{trained.path}:{query}", "--json").out)
        assert (report["key"], report["input"]) == (key, [1, 8, 8])
    report = json.loads(
        dnsearch("count", f"{trained.path}:{key}", "--input", "1x9x9", "--json").out
    )
    assert report["input"] == [1, 9, 9]
    assert "no candidate is called 'nope'" in refused("count", f"{trained.path}:nope")
    assert "there is no run 'none'" in refused("count", "none:knee")


@pytest.mark.parametrize(
    "surroundings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_terminals_without_some_characters(surroundings):
    command = [sys.executable, "-m", "dnsearch", "count", "densenet-40-12"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **surroundings})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1,019,722" in done.stdout
    assert re.search(rb"training bytes, batch 1[ |]+[\d,]+[ |]+[?]", done.stdout)


def test_a_reader_that_has_seen_enough():
    command = [sys.executable, "-m", "dnsearch", "--help"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"")


def test_what_is_equal_is_fvcores_convolutions_and_linear_layers(dnsearch):
    """Its own total has norms and pooling too."""
    import torch
    from fvcore.nn import FlopCountAnalysis

    arch = ArchConfig(growth_rate=4, block_config=(1, 2), stem="cifar", norm="group")
    counted = FlopCountAnalysis(DenseNet(arch).eval(), torch.zeros(1, 3, 16, 16))
    by_operator = counted.unsupported_ops_warnings(False).by_operator()
    Path("config.json").write_text(json.dumps(arch.to_dict()))
    told = json.loads(dnsearch("count", "config.json", "--input", "3x16x16", "--json").out)
    assert told["formula"]["macs"] == by_operator["conv"] + by_operator["linear"]
    assert counted.total() > told["formula"]["macs"]
    table = dnsearch("count", "config.json", "--input", "3x16x16").out
    assert "by fvcore: its convolutions and linear layer" in table


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            [],
            r"network must be a preset \(densenet121, .*\), a config.json, the folder of an "
            r"export, RUN or RUN:PICK, or given by options",
        ),
        (
            ["densenet12"],
            r"there is no run, preset or file 'densenet12'; did you mean 'densenet121'\?",
        ),
        (["densenet121", "--input", "224"], r"--input must be CHANNELSxHEIGHTxWIDTH, .* got '224'"),
        (["densenet121", "--input", "0x9x9"], r"--input must be CHANNELSxHEIGHTxWIDTH, .*"),
        (
            ["densenet121", "--input", "3x9x5000"],
            r"--input must have sides of at most 4096, got '3x9x5000'",
        ),
        (
            ["densenet121", "--input", "3x8x8"],
            r"input size must be at least 29x29 for 4 blocks after the imagenet stem, got '8x8'.*",
        ),
        (
            ["--growth-rate", "4096"],
            r"network must have at most 2,000,000,000 params to be built and counted, got \d+",
        ),
        (["--growth-rate", "0"], r"growth_rate must be an integer from 1 to 4096, got 0"),
        (
            ["--growth-rate", "k"],
            r"--growth-rate must be a number, or one for each block joined by '-', .* got 'k'",
        ),
        (
            ["--growth-rate", "4-8"],
            r"growth_rate must be one value, or one for each block, which are 4, got \[4, 8\]",
        ),
        (["--bn-size", "4--4"], r"--bn-size must be a number, or one for each .* got '4--4'"),
        (["--transition", "pol"], r"transition must be one of pool, narrow, got 'pol'"),
        (
            ["--transition", "pool-narrow"],
            r"transition must be one value, or one for each block but the last, .* 3, got .*",
        ),
        (["--bn-size", "-1"], r"bn_size must be an integer from 0 to 64, got -1"),
        (["--compression", "nan"], r"compression must be a finite number, got nan"),
        (["--compression", "0"], r"compression must lie in \(0, 1\], got 0.0"),
        (["--norm", "layer"], r"norm must be one of batch, group, got 'layer'"),
        (["--stem", "big"], r"stem must be one of imagenet, cifar, patch2, patch4, got 'big'"),
        (["--block-config", "3,,3"], r"--block-config must be depths joined by '-', .* got '3,,3'"),
        (["--block-config", "0-1"], r"block_config\[0\] must be an integer from 1 to 1024, got 0"),
        (["--batch-size", "0"], r"invalid value for '--batch-size': 0 .*"),
        (["none.json"], r"none.json: cannot be read: No such file or directory"),
    ],
)
def test_refused(refused, typed, told):
    assert re.fullmatch(told, refused("count", *typed))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", r"net.json: .*line 1 column 2.*"),
        (b"\xff\xfe\x00", r"net.json: .*utf-8.*"),
        (b"[]", r"net.json: must be a JSON object, got list"),
        (
            b'{"growht_rate": 3}',
            r"net.json: growht_rate is no field .* did you mean 'growth_rate'\?",
        ),
        (b'{"growth_rate": "3"}', r"net.json: growth_rate must be an integer .* got '3'"),
        (b'{"block_config": []}', r"net.json: block_config must be a list of one or more .*"),
    ],
)
def test_bad_config_file(refused, tmp_path, content, told):
    (tmp_path / "net.json").write_bytes(content)
    assert re.fullmatch(told, refused("count", "net.json"))
