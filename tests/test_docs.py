"""What the documentation shows works as shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.checkpoint import save_network
from dnsearch.cli import VERBS, main
from dnsearch.config import Format, parse_study
from dnsearch.report.words import WORDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.S)
    for line in block.splitlines()
    if line.startswith("dnsearch")
]


def test_every_verb_is_in_the_readme_and_the_commands():
    commands = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"`dnsearch {verb}" in README
        assert f"## dnsearch {verb}\n" in commands


def test_commands_page_is_the_help_of_today():
    namespace: dict = {"__file__": str(ROOT / "studies" / "make_docs.py"), "__name__": "make_docs"}
    exec((ROOT / "studies" / "make_docs.py").read_text(encoding="utf-8"), namespace)
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == namespace["commands"]()


def test_every_data_format_is_explained():
    for name in Format.__args__:
        assert f"`{name}`" in README


def test_the_tree_is_the_tree():
    block = README.split("```\ndnsearch/\n")[1].split("```")[0]
    named = {line.split()[0] for line in block.splitlines() if line.startswith("  ")}
    package = {
        path.name + "/" * path.is_dir()
        for path in (ROOT / "dnsearch").iterdir()
        if not path.name.startswith("_") and path.name != "studies"
    }
    assert named == package


def test_readmes_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best").mkdir()
    save_network(DenseNet(ArchConfig(4, (1,), 8, stem="cifar")), tmp_path / "best")
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert len(blocks) == 3
    given = {"images": torch.randn(2, 3, 8, 8), "train_and_score": lambda config: 1 / config.depth}
    for block in blocks:
        exec(block, dict(given))
    assert "Cost(params=" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if ("count" in c or "init" in c) and "example" not in c]
)
def test_readmes_quick_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for grey, flower in enumerate(("rose", "tulip")):
        folder = tmp_path / "photos" / "flowers" / flower
        folder.mkdir(parents=True)
        for number in range(4):
            Image.new("L", (32, 32), 9 * number + grey).save(folder / f"{number}.jpg")
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert ended.value.code == 0
    assert capsys.readouterr().out


def test_readmes_long_commands_parse(capsys):
    """run and export are tested on their own; here only that such options exist."""
    for command in COMMANDS:
        _, verb, *arguments = shlex.split(command)
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        shown = capsys.readouterr().out
        assert all(option in shown for option in arguments if option.startswith("--"))


def test_the_study_files_load():
    from dnsearch.config import load_study

    for path in (ROOT / "studies").rglob("*.toml"):
        load_study(path)


def test_no_machines_path_in_the_documentation():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        assert not re.search(r"/(work|home|root|tmp)/", path.read_text(encoding="utf-8")), path


def test_the_glossary_is_that_of_the_reports():
    text = (ROOT / "docs" / "answers.md").read_text(encoding="utf-8")
    words = "".join(f"- **{term}**: {meaning}\n" for term, meaning in WORDS.items())
    assert text.endswith(f"## Words\n\n{words}")


def test_readmes_space_loads_with_each_alternative():
    (text,) = [each for each in re.findall(r"```toml\n(.*?)```", README, re.S) if "[space]" in each]
    parse_study(text)
    for rates in re.findall(r"# .*; or (growth_rate = .*)", text):
        without = re.sub(r"^growth_r\w+ = .*\n", "", text, flags=re.M)
        assert parse_study(f"{without}\n{rates}\n").space.growth_rate[0] == (4,)


def test_nothing_is_installed_from_an_index_that_lacks_it():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "dnsearch").rglob("*.py")]
    for page in pages:
        assert "install 'densenet-search" not in page.read_text(encoding="utf-8"), page
