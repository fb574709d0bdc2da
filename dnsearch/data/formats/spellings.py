"""How splits are called in file, folder and array names: one table for all formats."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dnsearch.data.formats.source import SplitName
from dnsearch.text import counted, listed

SPELLINGS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training", "trn", "tr"),
    "validation": (
        "validation",
        "valid",
        "val",
        "vali",
        "dev",
        "development",
        "eval",
        "evaluation",
    ),
    "test": ("t10k", "test", "testing", "tst", "te"),
}
"""The words for each split, in lower case; where two lie side by side, the first is taken."""

FILLERS = frozenset(["set", "data", "dataset", "split", "images", "imgs", "pictures", "folder"])
"""Words beside a split's that add nothing: ``train_images``, ``test set``."""

JUNK = frozenset(["__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"])
"""What systems leave behind, in lower case; nobody needs to be told of it."""

MOST_NAMED = 5

_SPLITS: dict[str, SplitName] = {w: split for split, words in SPELLINGS.items() for w in words}
_SPLITS |= {f"{word}set": split for word, split in _SPLITS.items()}


def split_called(name: str) -> SplitName | None:
    """The split that a whole name stands for, such as ``Valid`` or ``training_set``."""
    words = [word for word in _words(name) if word not in FILLERS]
    return _SPLITS.get(words[0]) if len(words) == 1 else None


def split_within(name: str) -> SplitName | None:
    """The one split whose word occurs in a name, as in ``valid-00000-of-00001-3c4d``; None where
    none or several do."""
    found: set[SplitName] = {_SPLITS[word] for word in _words(name) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def spelling_rank(name: str) -> tuple[int, str]:
    """Sorts names of one split: those spelt as earlier in the table come first."""
    order = list(_SPLITS)
    words = [order.index(word) for word in _words(name) if word in _SPLITS]
    return min(words, default=len(order)), name


def known_spellings() -> str:
    """The table in a line, for messages."""
    return "; ".join(f"{split}: {', '.join(words)}" for split, words in SPELLINGS.items())


def is_junk(name: str) -> bool:
    """Whether a name is hidden or one that systems leave behind."""
    return name.startswith(".") or name.lower() in JUNK


def unused(what: str, names: Iterable[str]) -> tuple[str, ...]:
    """A note that names what is there and not understood; none for no names."""
    names = sorted(names)
    if not names:
        return ()
    shown = names[:MOST_NAMED]
    more = [counted(len(names) - len(shown), "more", "more")] if len(names) > len(shown) else []
    return (f"not used: {what} {listed([*shown, *more])}",)


def _words(name: str) -> list[str]:
    """Runs of letters and digits in lower case; ``TrainImages`` is two words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z0-9]+", apart.lower())
