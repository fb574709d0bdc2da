"""Samplers by import path: what is made, and every way that it can be refused."""

import re
import sys

import optuna
import pytest

from dnsearch.errors import ConfigError
from dnsearch.search.samplers.imported import imported_sampler, is_import_path, sampler_class

MINE = """
import optuna
from optuna.samplers import BaseSampler, RandomSampler


class Seeded(RandomSampler):
    def __init__(self, seed=None):
        super().__init__(seed=seed)
        self.told = seed


class WithoutSeed(RandomSampler):
    pass


WithoutSeed.__init__ = lambda self: RandomSampler.__init__(self)


class NeedsMore(RandomSampler):
    def __init__(self, seed, population, *, rate):
        super().__init__(seed=seed)


class Breaks(RandomSampler):
    def __init__(self):
        raise ImportError("install\\n  something first")


def function():
    return RandomSampler()
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "random.py").write_text(MINE)  # a name that the standard library has, too
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere")
    return tmp_path / "random.py"


def test_a_class_of_a_module_gets_the_seed():
    made = imported_sampler("optuna.samplers:RandomSampler", 5)
    same = optuna.samplers.RandomSampler(seed=5)
    drawn = [
        optuna.create_study(sampler=each).ask().suggest_float("x", 0, 1) for each in (made, same)
    ]
    assert type(made) is optuna.samplers.RandomSampler
    assert drawn[0] == drawn[1]


def test_a_class_of_a_file_gets_the_seed_where_it_takes_one(file):
    assert imported_sampler(f"{file}:Seeded", 7).told == 7
    assert type(imported_sampler(f"{file}:WithoutSeed", 7)).__name__ == "WithoutSeed"


def test_a_file_hides_no_module_of_the_same_name(file):
    before = sys.modules.get("random")
    sampler_class(f"{file}:Seeded")
    assert sys.modules.get("random") is before


def test_a_package_as_those_of_optunahub_imports_its_neighbours(tmp_path):
    package = tmp_path / "package" / "samplers" / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .sampler import Mine\n")
    (package / "sampler.py").write_text("from optuna.samplers import RandomSampler as Mine\n")
    found = sampler_class(f"{package}/__init__.py:Mine")
    assert found is optuna.samplers.RandomSampler


def test_only_names_with_a_colon_are_import_paths():
    assert is_import_path("a.b:C")
    assert not is_import_path("known-cost")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (":Seeded", r"must be module:Class or folder/file\.py:Class, got ':Seeded'"),
        ("random:", r"must be module:Class or folder/file\.py:Class, got 'random:'"),
        ("no_such.module:C", r"cannot be imported: ModuleNotFoundError: No module named 'no_such'"),
        ("FOLDER/none.py:C", r"cannot be imported: FileNotFoundError: .*none\.py"),
        ("FOLDER/broken.py:C", r"cannot be imported: ModuleNotFoundError: .*no_such_module_any"),
        ("FILE:Seded", r"names nothing in .*random\.py, got .*; did you mean 'Seeded'\?"),
        ("json:Sampler", r"names nothing in json, got 'json:Sampler'; it has no samplers"),
        ("FILE:function", r"must be a subclass of optuna\.samplers\.BaseSampler, got"),
        ("json:JSONEncoder", r"must be a subclass of optuna\.samplers\.BaseSampler, got"),
        ("FILE:NeedsMore", r"needs the argument 'population' to be made, got .*; name a subclass"),
        ("FILE:BaseSampler", r"cannot be made: TypeError: .*abstract"),
        ("FILE:Breaks", r"cannot be made: ImportError: install something first, got"),
    ],
)
def test_refused_in_one_line(file, path, told):
    path = path.replace("FILE", str(file)).replace("FOLDER", str(file.parent))
    with pytest.raises(ConfigError, match=f"^sampler {told}") as caught:
        imported_sampler(path, 0)
    assert "\n" not in str(caught.value)
    assert re.search(re.escape(path.split(":")[-1]), str(caught.value))
