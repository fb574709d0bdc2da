import contextlib
import json
import re
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from dnsearch.arch import load_network
from dnsearch.arch.checkpoint import read_weights
from dnsearch.config import load_study
from dnsearch.data import DeviceData, prepare
from dnsearch.errors import RunError
from dnsearch.export import export_network, standalone
from dnsearch.export.bundle import copy_bundle
from dnsearch.export.formats import ALWAYS
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results
from dnsearch.search.session import search
from dnsearch.training.trainer import Trainer
from tests.fakes import FakeEvaluator, FakeWorkers

STUDY = """
[data]
format = "npz"
path = "toy.npz"
[space]
growth_rate = [2, 4, 6]
block_config = [[1, 2], [1, 2]]
[training]
rungs = [1]
batch_size = 16
[objectives]
costs = ["macs", "params"]
[search]
trials = 5
device = "cpu"
start = ["densenet-40-12"]
"""


KEPT = "macs<=1e9"
"""The least error of all, however bad."""


@contextlib.contextmanager
def in_this_process(study, data, run, plan):
    """Trains in earnest, but starts no workers."""
    images = DeviceData(data)

    def train(job):
        checkpoint = run.checkpoint(job.arch.key, job.seed)
        return Trainer(job.arch, images, study.training, job.seed, checkpoint).train(job.rung)

    yield FakeEvaluator(score=train)


def searched(folder, text):
    """The run of a study of small images, bright rows (class 0), columns (1) or neither (2)."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = rng.integers(0, 200, (240, 8, 8))
    images[labels == 0, ::2] += 50
    images[labels == 1, :, ::2] += 50
    np.savez(folder / "toy.npz", x_train=images.astype(np.uint8), y_train=labels)
    (folder / "s.toml").write_text(text)
    run = RunDir(folder / "s")
    workers = FakeWorkers(in_this_process)
    search(load_study(folder / "s.toml"), run, lambda _: None, lambda _: None, workers)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("export"), STUDY)


def test_the_exported_network_gives_the_recorded_error(run, tmp_path):
    """Read back alone and put to the validation images: the figure in the report, exactly."""
    results = read_results(run)
    candidate, weights = export_network(results, run, KEPT, tmp_path / "net")
    model = load_network(tmp_path / "net")
    data = DeviceData(prepare(results.study.data))
    with torch.inference_mode():
        wrong = [(model(x).argmax(1) != y).sum().item() for x, y in data.validation_batches(500)]
    assert sum(wrong) / 48 == candidate.error == weights.error
    assert model.config == candidate.arch


def test_the_folder_holds_all_that_is_needed(run, tmp_path):
    results = read_results(run)
    candidate, weights = export_network(results, run, KEPT, tmp_path / "net")
    names = {path.name for path in (tmp_path / "net").iterdir()}
    model = {"config.json", "model.safetensors", "network.py", "preprocessing.json"}
    assert names == {*model, "README.md", "export.json", "manifest.json"}
    told = json.loads((tmp_path / "net" / "export.json").read_text())
    assert (told["key"], told["pick"], told["run"]) == (candidate.key, KEPT, "s")
    assert told["weights"]["seed"] == weights.seed
    assert datetime.fromisoformat(told["written"]) <= datetime.now(UTC)
    preprocessing = json.loads((tmp_path / "net" / "preprocessing.json").read_text())
    assert preprocessing["shape"] == [1, 8, 8]
    assert len(preprocessing["classes"]) == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "net"]
    card = (tmp_path / "net" / "README.md").read_text()
    assert "trained for 1 epoch with" in " ".join(card.split())
    assert "1 epochs" not in card
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert config["growth_rate"] == candidate.arch.growth_rate


def test_the_readmes_lines_run_in_the_folder(run, tmp_path, monkeypatch):
    """All of them, one after the other, give the same logits."""
    export_network(read_results(run), run, KEPT, tmp_path / "net")
    monkeypatch.chdir(tmp_path / "net")
    monkeypatch.syspath_prepend(tmp_path / "net")  # as of Python started there
    text = Path("README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    images, found = torch.randn(3, 1, 8, 8), []
    for block in blocks:
        names = {"images": images}
        exec(block, names)
        found.append(names["logits"])
    assert sys.modules.pop("network").__file__ == str(tmp_path / "net" / "network.py")
    assert len(found) == 2
    assert found[0].shape == (3, 3)
    assert torch.equal(found[0], found[1])


def test_the_manifest_is_of_the_files(run, tmp_path):
    candidate, _ = export_network(read_results(run), run, KEPT, tmp_path / "net")
    told = json.loads((tmp_path / "net" / "manifest.json").read_text())
    files = {path.name: path for path in (tmp_path / "net").iterdir()}
    assert told["files"].keys() == files.keys() - {"manifest.json"}
    for name, each in told["files"].items():
        content = files[name].read_bytes()
        assert (each["bytes"], each["sha256"]) == (len(content), sha256(content).hexdigest())
    cost = candidate.cost
    assert (told["params"], told["macs"]) == (cost.params, cost.macs)
    for name in ("network.py", "model.safetensors"):
        check = told["files"][name]["check"]
        assert check["largest_difference"] <= 1e-5
        assert (check["params"], check["macs"]) == (cost.params, cost.macs)


def test_nothing_is_kept_of_what_is_not_the_network(run, tmp_path, monkeypatch):
    """``network.py`` reads the weights, but its pooling is another."""
    right = standalone.standalone
    monkeypatch.setattr(
        standalone, "standalone", lambda *a: right(*a).replace("adaptive_avg", "adaptive_max")
    )
    with pytest.raises(RunError, match=r"network.py: gives other outputs when loaded again"):
        export_network(read_results(run), run, KEPT, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_may_have_more_formats(run, tmp_path):
    """The README and the manifest tell of both."""
    export_network(read_results(run), run, KEPT, tmp_path / "net")
    more = ALWAYS[0]._replace(
        file="more.py",
        write=lambda _model, _images, folder: (folder / "more.py").write_text(""),
        usage=lambda *_: "\n## More\n",
    )
    copy_bundle(tmp_path / "net", tmp_path / "copy", [more])
    before, now = (
        json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("net", "copy")
    )
    assert now["files"].keys() == before["files"].keys() | {"more.py"}
    assert now["files"]["more.py"]["check"]["macs"] == before["macs"]
    changed = {n for n in before["files"] if before["files"][n] != now["files"][n]}
    assert changed == {"README.md"}
    readmes = [(tmp_path / name / "README.md").read_text() for name in ("net", "copy")]
    assert readmes[1] == readmes[0] + "\n## More\n"
    content = readmes[1].encode()
    assert now["files"]["README.md"]["sha256"] == sha256(content).hexdigest()


def test_presets_from_outside_the_space_can_be_exported(tmp_path):
    text = STUDY.replace("trials = 5", 'trials = 1\nkeep_checkpoints = "all"')
    run = searched(tmp_path, text)
    results = read_results(run)
    (candidate,) = results.candidates
    assert candidate.preset == "densenet-40-12"
    export_network(results, run, candidate.key, tmp_path / "net")
    assert load_network(tmp_path / "net").config == candidate.arch


def test_where_weights_were_not_kept_the_message_says_what_to_type(run, tmp_path):
    results = read_results(run)
    kept = {path.parent.name for path in (run.path / "checkpoints").glob("*/*.pt")}
    off = results.archs.keys() - kept
    assert off
    for key in off:
        again = rf"`dnsearch train {run.path}:{key}` trains it in full \(10 epochs in about \d"
        with pytest.raises(RunError, match=f"the weights of {key} were not kept; {again}"):
            export_network(results, run, key, tmp_path / "net")
    elsewhere = RunDir(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="were not kept"):
        export_network(results, elsewhere, KEPT, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_weights_off_the_front_are_not_kept(run):
    results = read_results(run)
    kept = {path.parent.name for path in (run.path / "checkpoints").glob("*/*.pt")}
    front = {
        each.key
        for each in results.candidates
        if not any(
            other.error <= 0.85 * each.error  # even if it was unlucky
            and other.cost.macs <= each.cost.macs
            and other.cost.params <= each.cost.params
            and other.key != each.key
            for other in results.candidates
        )
    }
    assert kept == front
    for path in (run.path / "checkpoints").glob("*/*.pt"):
        read_weights(path)


def test_a_folder_in_use_is_refused_and_left_alone(run, tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="net: must be a new or empty folder"):
        export_network(read_results(run), run, KEPT, tmp_path / "net")
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_taken(run, tmp_path):
    (tmp_path / "net").mkdir()
    export_network(read_results(run), run, KEPT, tmp_path / "net")
    load_network(tmp_path / "net")
