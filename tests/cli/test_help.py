"""Help costs nothing, and what is mistyped is told in one line."""

from __future__ import annotations

import platform
import re
import subprocess
import sys

import pytest
import torch

from dnsearch import __version__
from dnsearch.cli import VERBS
from dnsearch.cli.ending import typed

HEAVY = ("torch", "optuna", "pandas", "plotly", "numpy", "pydantic", "rich")


def test_help_names_every_verb(dnsearch):
    code, out, err = dnsearch("--help")
    assert (code, err) == (0, "")
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", out, re.MULTILINE)


def test_nothing_typed_is_help(dnsearch):
    assert dnsearch() == dnsearch("--help")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_verb_has_help(dnsearch, verb, flag):
    code, out, err = dnsearch(verb, flag)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: dnsearch {verb}")


def test_version_says_where_and_with_what_networks_train(dnsearch):
    code, out, err = dnsearch("--version")
    assert (code, err) == (0, "")
    first, packages, *devices, kernels = out.splitlines()
    assert first == f"dnsearch, version {__version__}"
    assert packages.startswith(f"torch {torch.__version__}, ")
    assert f"Python {platform.python_version()}" in packages
    assert devices
    assert all(line.startswith("device: ") for line in devices)
    assert re.match("kernels: (cpu|portable|triton)", kernels)


def test_version_without_a_compiler(dnsearch, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("the C++ kernels are the CPU's")
    monkeypatch.setenv("CXX", "no-such-compiler")
    told = "kernels: portable (no C++ compiler 'no-such-compiler'; install one or set CXX)\n"
    assert dnsearch("--version").out.endswith(told)


def test_help_imports_nothing_heavy():
    script = (
        "import sys, dnsearch.cli\n"
        "try: dnsearch.cli.main(['--help'])\n"
        f"except SystemExit: sys.exit(str([m for m in {HEAVY} if m in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == "[]\n"


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "dnsearch", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith(f"dnsearch, version {__version__}\n")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["rnu"], r"there is no verb 'rnu'; did you mean 'run'\?"),
        (["xyz"], r"there is no verb 'xyz'; known are check, .*, run, scale, status, train"),
        (["--foo"], r"no such option '?--foo'?.* \(see dnsearch --help\)"),
        (["count", "--foo"], r"no such option '?--foo'?.* \(see dnsearch count --help\)"),
        (["count", "densenet121", "x"], r"got unexpected extra argument \(x\) \(see .*\)"),
        (["report"], r"missing argument 'RUN' \(see dnsearch report --help\)"),
        (["export", "x"], r"missing option '--to' \(see dnsearch export --help\)"),
        (["run", "--trials", "x"], r"invalid value for '--trials': 'x' is not a valid .*"),
        (["run", "--workers", "0"], r"invalid value for '--workers': 0 is not in the range x>=1.*"),
    ],
)
def test_mistyped_command(refused, typed, told):
    assert re.fullmatch(told, refused(*typed))


def test_what_the_system_refuses_is_one_line(refused):
    assert refused("init", "a" * 300) == f"{'a' * 300}: File name too long"


def test_out_of_memory_is_one_line(refused, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("dnsearch.cli.init.to_toml", fail)
    assert refused("init", code=3) == "out of memory: Unable to allocate 9 TiB"


def test_interrupted(dnsearch, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("dnsearch.cli.init.to_toml", interrupt)
    code, _, err = dnsearch("init")
    assert (code, err.strip()) == (130, f"dnsearch: stopped by Ctrl-C; to go on:  {typed()}")
