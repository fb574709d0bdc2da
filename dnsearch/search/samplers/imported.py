"""Optuna samplers that do not come with dnsearch, by import path: ``module:Class`` or
``folder/file.py:Class``, as those of OptunaHub's registry.

Importing runs the module's code. So only the command line may name one, never a study file, which
may come from anybody.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from optuna.samplers import BaseSampler

from dnsearch.errors import ConfigError, nearest, one_line


def is_import_path(name: str) -> bool:
    """Whether this names a sampler by import path; dnsearch's own names have no colon."""
    return ":" in name


def imported_sampler(path: str, seed: int) -> BaseSampler:
    """A new sampler of this class, with the seed where its constructor takes one.

    Raises ConfigError as ``sampler_class`` does, and where the constructor raises.
    """
    made: Any = sampler_class(path)  # what it takes is its own affair
    try:
        return made(seed=seed) if "seed" in _parameters(made) else made()
    except Exception as error:  # somebody else's code
        raise ConfigError("sampler", f"cannot be made: {one_line(error)}", path) from None


def sampler_class(path: str) -> type[BaseSampler]:
    """The class at ``module:Class`` or ``folder/file.py:Class``.

    Raises ConfigError where the module cannot be imported, has no such name, where it is no Optuna
    sampler, and where its constructor needs arguments other than a seed.
    """
    place, _, name = path.rpartition(":")
    if not (place and name):
        raise ConfigError("sampler", "must be module:Class or folder/file.py:Class", path)
    try:
        module = _module(place)
    except Exception as error:  # somebody else's code
        raise ConfigError("sampler", f"cannot be imported: {one_line(error)}", path) from None
    found = getattr(module, name, None)
    if found is None:
        raise ConfigError("sampler", f"names nothing in {place}", path, _others(name, module))
    if not _is_sampler(found):
        raise ConfigError("sampler", "must be a subclass of optuna.samplers.BaseSampler", path)
    needed = [
        parameter.name
        for parameter in _parameters(found).values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name != "seed"
    ]
    if needed:
        rule = f"needs the argument {needed[0]!r} to be made"
        raise ConfigError("sampler", rule, path, "name a subclass that needs none")
    return found


def _module(place: str) -> ModuleType:
    """The module of this name, or that of a file, which is registered under its full path, so that
    ``random.py`` hides nothing. A package's ``__init__.py`` may import its neighbours."""
    if not place.endswith(".py"):
        return importlib.import_module(place)
    file = Path(place).resolve()
    name = str(file).replace(".", "_")  # a dot would make a submodule of it
    if name in sys.modules:
        return sys.modules[name]
    inside = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=inside)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_sampler(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseSampler)


def _parameters(made: type[BaseSampler]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(made).parameters)


def _others(name: str, module: ModuleType) -> str:
    """A hint at the samplers that a module does have."""
    known = [name for name, each in vars(module).items() if _is_sampler(each)]
    return nearest(name, known) if known else "it has no samplers"
