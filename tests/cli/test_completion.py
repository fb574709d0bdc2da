"""What shells complete, asked as they ask."""

from __future__ import annotations

import shutil
import subprocess
import sys

import click
import pytest

from dnsearch.cli import VERBS, cli
from tests.invented_runs import invent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completed")
    invent("flowers", folder / "reports")
    invent("fish", folder / "reports", trials=2, report=False)
    return folder


@pytest.fixture
def completed(made, monkeypatch):
    """What is offered for the last word, in a shell that splits words at spaces."""

    def ask(*words, shell="fish"):
        env = {"_DNSEARCH_COMPLETE": f"{shell}_complete", "PYTHONPATH": ":".join(sys.path)}
        env |= {"COMP_WORDS": " ".join(["dnsearch", *words]), "COMP_CWORD": words[-1]}
        if shell == "bash":
            env["COMP_CWORD"] = str(len(words))
        script = "import sys; sys.argv = ['dnsearch']; from dnsearch.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, cwd=made, capture_output=True, text=True
        )
        assert done.stderr == ""
        lines = [line.split("\t")[0].partition(",") for line in done.stdout.splitlines()]
        return {value for kind, _, value in lines if kind == "plain"}

    return ask


def test_runs_presets_and_picks(completed):
    assert completed("report", "f") == {"flowers", "fish"}
    assert completed("count", "densenet-b") >= {"densenet-bc-100-12", "densenet-bc-190-40"}
    assert completed("compare", "densenet121", "fl") == {"flowers"}
    assert completed("train", "flowers:l") == {"flowers:least-error", "flowers:least-cost"}
    assert completed("export", "flowers", "--pick", "least-e") == {"least-error"}
    assert completed("count", "fish:l") == set()  # it has no report yet
    assert completed("count", "none:l") == set()
    assert {"list", "compare", "status"} <= completed("")  # the verbs


def test_bash_splits_at_colons(completed):
    """It replaces what stands behind the last one."""
    assert completed("train", "flowers", ":", "least-e", shell="bash") == {"least-error"}
    assert "knee" in completed("train", "flowers", ":", shell="bash")
    assert completed("report", "fl", shell="bash") == {"flowers"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself(made, tmp_path):
    """The script that click prints, sourced by a real bash, with its own word breaks."""
    command = tmp_path / "dnsearch"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m dnsearch "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(_DNSEARCH_COMPLETE=bash_source dnsearch)"; '
        "COMP_WORDS=(dnsearch train flowers : least-e); COMP_CWORD=4; "
        '_dnsearch_completion dnsearch; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        cwd=made,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-1:] == ["least-error"], done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_run_and_network_completes(verb):
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    for param in command.params:
        if param.name in ("run", "runs", "network", "networks", "study", "pick"):
            assert param.shell_complete is not None
            assert param._custom_shell_complete is not None, param.name
