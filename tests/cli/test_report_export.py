"""``dnsearch report`` and ``dnsearch export``: what they refuse."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dnsearch.arch import load_network
from dnsearch.cli.networks import find_network
from dnsearch.report import figure_files
from dnsearch.rundir import RunDir
from tests.report.reader import Reader

from .conftest import SMALL


@pytest.fixture
def run(dnsearch, trained) -> RunDir:
    """The trained run in the present folder, to be spoilt."""
    shutil.copytree(trained.path, "reports/small")
    return RunDir(Path("reports/small"))


@pytest.fixture(params=[["report"], ["export", "--to", "out"]], ids=["report", "export"])
def verb(request) -> list[str]:
    return request.param


def test_no_runs_at_all(refused, verb):
    assert refused(*verb, "nope") == "there is no run 'nope'; there are no runs in reports/ yet"


@pytest.mark.parametrize(
    ("name", "hint"), [("smal", "did you mean 'small'?"), ("a" * 300, "known are small")]
)
def test_no_such_run(refused, run, verb, name, hint):
    assert refused(*verb, name) == f"there is no run {name!r}; {hint}"


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("study.toml", r"reports/small/study.toml: there is no such study file.*"),
        ("data.json", r"reports/small/data.json: cannot be read: No such file or directory"),
        ("environment.json", r"reports/small/environment.json: cannot be read: .*"),
    ],
)
def test_missing_file(refused, run, verb, file, told):
    (run.path / file).unlink()
    assert re.fullmatch(told, refused(*verb, "small"))


def test_damaged_storage(refused, run, verb):
    run.database.write_text("no data base")
    told = r"reports/small/study.db: cannot be used as Optuna storage: .*"
    assert re.fullmatch(told, refused(*verb, "small"))


@pytest.mark.parametrize("name", ["small", "reports/small", "./reports/small/"])
def test_report_by_name_or_path(dnsearch, run, name):
    run.report.unlink()
    assert dnsearch("report", name) == (0, "reports/small/report.html\n", "")
    assert run.report.is_file()


@pytest.mark.parametrize("typed", ["own runs/small", "own runs/small/", "./own runs/small"])
def test_what_the_report_of_a_run_elsewhere_says_to_type_works(dnsearch, trained, typed):
    shutil.copytree(trained.path, "own runs/small")
    assert dnsearch("report", typed).code == 0
    content = Path("own runs/small/report.html").read_text()
    told = [html.unescape(code) for code in re.findall("<code>(dnsearch [^<]+)</code>", content)]
    networks = Reader(content).data["networks"].values()
    told += [line for each in networks for line in each["commands"] if each["error"] is not None]
    commands = [shlex.split(line) for line in told]
    assert {words[1] for words in commands} == {"confirm", "count", "export", "train"}
    for _, verb, asked, *_ in commands:
        if verb in ("train", "count") and ":" in asked:
            find_network(asked)
        assert RunDir.find(asked.partition(":")[0]).path == Path("own runs/small")
    (export, *_) = [words for words in commands if words[1] == "export"]
    assert export[3:] == ["--to", "small-network"]
    assert dnsearch(*export[1:]).code == 0
    assert Path("small-network/config.json").is_file()


def test_figures_of_a_run_that_may_only_be_read_lie_where_it_says(dnsearch, run, monkeypatch):
    monkeypatch.setattr(RunDir, "is_writable", False)
    monkeypatch.setattr(figure_files, "checked_formats", lambda _: ["png"])
    monkeypatch.setattr(
        figure_files, "_draw", lambda _, files: [file.write_bytes(b"x") for file in files]
    )
    code, out, _ = dnsearch("report", "small", "--figures", "png")
    assert code == 0
    report, figures = map(Path, out.splitlines())
    assert report.is_file()
    assert [*figures.glob("*.png")]
    assert not run.figures.exists()


def test_export(dnsearch, run):
    code, out, err = dnsearch("export", "small", "--to", "out")
    assert (code, err) == (0, "")
    assert out.endswith(
        "written to out\nuse: python out/network.py IMAGE...\nuse: dnsearch predict out IMAGE...\n"
        "out/README.md says how good it is, and how to load it\n"
    )
    assert json.loads(Path("out/export.json").read_text())["pick"] == "least-error"
    assert load_network("out").config.growth_rate in (4, 6)


def test_what_is_printed_works_where_it_is_printed(dnsearch, run):
    """In a folder whose name a shell would split; both commands name the same classes."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save("image.png")
    code, out, _ = dnsearch("export", "small", "--to", "my network")
    assert code == 0
    commands = [
        shlex.split(line.removeprefix("use: ").replace("IMAGE...", "image.png"))
        for line in out.splitlines()
        if line.startswith("use: ")
    ]
    assert [words[0] for words in commands] == ["python", "dnsearch"]
    alone = subprocess.run(
        [sys.executable, "-I", *commands[0][1:]], capture_output=True, encoding="utf-8"
    )
    assert (alone.returncode, alone.stderr) == (0, "")
    assert dnsearch(*commands[1][1:]) == (0, alone.stdout, "")
    assert alone.stdout.startswith("image.png: ")


def test_a_program_on_request(dnsearch, run):
    assert dnsearch("export", "small", "--program", "--to", "out").code == 0
    model = torch.export.load("out/network.pt2").module()
    assert model(torch.zeros(5, 1, 8, 8)).shape == (5, 10)
    assert 'torch.export.load("network.pt2")' in Path("out/README.md").read_text()


def test_onnx_without_its_packages(refused, run, monkeypatch):
    """Before anything is read, trained or written."""
    shutil.rmtree(run.path / "checkpoints")
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    told = refused("export", "small", "--onnx", "--train", "--to", "out")
    assert told == (
        "network.onnx needs onnx, onnxscript and onnxruntime; install what is missing with "
        "`pip install onnx onnxscript onnxruntime`"
    )


@pytest.mark.parametrize(
    ("pick", "told"),
    [
        ("nope", r"no candidate is called 'nope': name least-error, as-good, knee, least-cost, .*"),
        ("", r"no candidate is called '': name least-error, .*"),
        ("macs<=1", r"no finished candidate has macs<=1: the least macs left is .*"),
        ("mcas<=1e6", r"pick bounds an unknown figure, got 'mcas'; did you mean 'macs'\?"),
        ("macs<1", r"pick must be bounds joined by commas, got 'macs<1'; write bounds such as .*"),
        ("macs<=x", r"pick must bound by a number, got 'macs<=x'; write bounds such as .*"),
    ],
)
def test_bad_pick(refused, run, pick, told):
    assert re.fullmatch(told, refused("export", "small", "--pick", pick, "--to", "out"))


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("full", r"full: must be a new or empty folder; choose another with --to"),
        ("file", r"file: must be a new or empty folder; choose another with --to"),
        ("file/out", r"file/out: cannot be written: .*"),
        (".", r".: must be a new or empty folder; choose another with --to"),
    ],
)
def test_bad_folder(refused, run, to, told):
    Path("full").mkdir()
    Path("full/mine").write_text("mine")
    Path("file").write_text("mine")
    assert re.fullmatch(told, refused("export", "small", "--to", to))


def test_run_with_nothing_finished(dnsearch, refused):
    Path("small.toml").write_text(SMALL + "time = 0.01\n")
    code, out, _ = dnsearch("run", "small.toml")
    assert code == 0
    assert "No candidate has finished yet." in out
    assert dnsearch("report", "small").code == 0
    told = refused("export", "small", "--to", "out")
    assert told == "there is no least-error pick: no candidate was trained yet"


def test_weights_that_are_gone(refused, run):
    shutil.rmtree(run.path / "checkpoints")
    told = refused("export", "small", "--to", "out")
    assert re.match(
        r"reports/small: the weights of \w+ were not kept; `dnsearch train small:", told
    )


def test_weights_that_are_gone_are_trained_again(dnsearch, run):
    shutil.rmtree(run.path / "checkpoints")
    code, out, _ = dnsearch("export", "small", "--train", "--to", "out")
    assert code == 0
    assert "written to out\nuse: python out/network.py IMAGE...\n" in out
    key = json.loads((run.path / "summary.json").read_text())["picks"]["least-error"]["key"]
    assert load_network("out").config.key == key
    assert json.loads(Path(f"reports/small-{key}/result.json").read_text())["epochs"] == 20


def test_weights_that_are_damaged(refused, run):
    for file in run.path.glob("checkpoints/*/*.pt"):
        file.write_bytes(b"damaged")
    told = refused("export", "small", "--to", "out")
    assert re.match(r"reports/small/checkpoints/\w+/\d+.pt: cannot be read as weights", told)
