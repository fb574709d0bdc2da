"""``dnsearch init``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dnsearch.config import AUTO_RUNGS, StudyConfig, TrainingConfig, load_study

WRITTEN = StudyConfig(training=TrainingConfig(rungs=AUTO_RUNGS))


def test_writes_a_study_of_defaults_whose_rungs_suit_the_images(dnsearch):
    code, out, err = dnsearch("init")
    assert (code, err) == (0, "")
    assert "study.toml written" in out
    assert load_study(Path("study.toml")) == WRITTEN


def test_mentions_every_key_with_its_meaning(dnsearch):
    dnsearch("init", "mine.toml")
    text = Path("mine.toml").read_text()
    for name, section in StudyConfig.model_fields.items():
        assert f"\n[{name}]\n" in text
        for key, field in section.annotation.model_fields.items():
            assert field.description
            assert re.search(rf"^# {re.escape(field.description)}\n(# )?{key} =", text, re.M)


def test_makes_missing_folders(dnsearch):
    assert dnsearch("init", "a/b/mine.toml").code == 0
    assert Path("a/b/mine.toml").is_file()


def test_does_not_replace_a_file_unasked(refused, dnsearch):
    Path("study.toml").write_text("mine")
    assert refused("init") == "study.toml: is there already; choose another name or pass --force"
    assert dnsearch("init", "--force").code == 0
    assert load_study(Path("study.toml")) == WRITTEN


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_folder_is_no_file(refused, force):
    Path("there").mkdir()
    told = "there: is a folder; name a file, such as there/study.toml"
    assert refused("init", "there", *force) == told


def test_folder_that_is_a_file(refused):
    Path("file").write_text("")
    assert refused("init", "file/study.toml").startswith("file/study.toml: cannot be written: ")
