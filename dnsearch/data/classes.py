"""From labels as files have them, by name or by number, to positions among the training classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dnsearch.data.formats import Split, repeated, require_listed
from dnsearch.errors import DataError
from dnsearch.text import agreeing, counted, listed

MOST_NAMED = 10


@dataclass(frozen=True)
class Classes:
    """The classes of the training images, and how their files write them.

    names: as users read them, each once. numbers: the label of each in the files. listing: all
    names that the files list, of which label i is ``listing[i]``, also those without images, and
    some perhaps twice; None where they list none. by_name: the files hold names alone.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    listing: tuple[str, ...] | None
    by_name: bool

    @classmethod
    def of(cls, where: str, split: Split) -> Classes:
        """Those that occur in the training split.

        Raises DataError naming ``where`` if they are fewer than two, or a label has no name.
        """
        numbers = np.unique(split.labels)
        if split.classes is None:
            names = tuple(map(str, numbers))
        else:
            require_listed(where, split.labels, split.classes)
            distinct = told_apart(split.classes)
            names = tuple(distinct[number] for number in numbers)
        if len(names) < 2:
            raise DataError(f"{where}: must have at least 2 classes, got {', '.join(names)}")
        return cls(names, tuple(map(int, numbers)), split.classes, split.by_name)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Classes:
        """From what ``facts`` gave, after JSON."""
        listing = None if facts["listing"] is None else tuple(facts["listing"])
        names, numbers = tuple(facts["names"]), tuple(facts["numbers"])
        return cls(names, numbers, listing, bool(facts["by_name"]))

    def facts(self) -> dict[str, Any]:
        """In values that JSON can hold."""
        return asdict(self)

    @property
    def spelt(self) -> tuple[str, ...]:
        """The names as the files have them."""
        return tuple(self.listing[i] for i in self.numbers) if self.listing else self.names

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of classes of the same name, and of those without images."""
        notes = []
        pairs = list(zip(self.names, self.spelt, strict=True))
        if shared := {spelt for name, spelt in pairs if name != spelt}:
            renamed = [name for name, spelt in pairs if name != spelt]
            notes.append(
                f"{counted(len(shared), 'name')} {agreeing(len(shared), 'is that', 'are those')} "
                f"of several classes, told apart by their numbers: {_some(renamed)}"
            )
        present = set(self.numbers)
        listing = told_apart(self.listing or ())
        absent = [name for number, name in enumerate(listing) if number not in present]
        if absent:
            notes.append(
                f"{len(self.names)} of {counted(len(listing), 'class', 'classes')} occur in the "
                f"training images; {_some(absent)} {agreeing(len(absent), 'has', 'have')} none"
            )
        return tuple(notes)

    def positions(self, where: str, split: Split) -> np.ndarray:
        """The split's labels as positions in ``names``, (n,) int64: by name where both have names,
        else by number.

        Raises DataError naming ``where`` on labels that the training images do not have.
        """
        if split.labels.max() < 0 and not set(split.labels.tolist()) <= set(self.numbers):
            shown = listed([str(label) for label in np.unique(split.labels)[:3]])
            raise DataError(f"{where}: has no labels, as all are {shown} (hidden, by custom)")
        if split.classes is not None:
            require_listed(where, split.labels, split.classes)
        same_listing = split.classes == self.listing and not self.by_name
        if same_listing or not (self._compared_by_name(split)):
            return self._by_number(where, split)
        return self._by_name(where, split)

    def _compared_by_name(self, split: Split) -> bool:
        both = self.listing is not None and split.classes is not None
        return both or self.by_name or split.by_name

    def _by_number(self, where: str, split: Split) -> np.ndarray:
        numbers = np.array(self.numbers)
        positions = np.searchsorted(numbers, split.labels).clip(max=len(numbers) - 1)
        unknown = numbers[positions] != split.labels
        if unknown.any():
            got = int(split.labels[unknown][0])
            raise DataError(f"{where}: labels must be among {self._span()}, got {got}")
        return positions.astype(np.int64)

    def _by_name(self, where: str, split: Split) -> np.ndarray:
        exact = {name: position for position, name in enumerate(self.spelt)}
        alike: dict[str, list[int]] = {}
        for position, name in enumerate(self.spelt):
            alike.setdefault(name.casefold(), []).append(position)
        shared = repeated(self.listing or ()) | repeated(split.classes or ())
        folded = {name.casefold() for name in shared}
        found, positions = np.unique(split.labels, return_inverse=True)
        own = np.empty(len(found), np.int64)
        for index, number in enumerate(found):
            name = split.classes[number] if split.classes else str(number)
            if name in shared or (name not in exact and name.casefold() in folded):
                raise DataError(
                    f"{where}: must list the classes as the training split does, or give each a "
                    f"name of its own; several are called {name!r}"
                )
            same = alike.get(name.casefold(), [])
            position = exact.get(name, same[0] if len(same) == 1 else None)
            if position is None:
                raise DataError(
                    f"{where}: labels must be among {listed(self._shown())}, got {name!r}"
                )
            own[index] = position
        return own[positions]

    def _shown(self) -> list[str]:
        names = list(self.names)
        return names if len(names) <= 2 * MOST_NAMED else [*names[:MOST_NAMED], "..."]

    def _span(self) -> str:
        first, last = self.numbers[0], self.numbers[-1]
        if len(self.numbers) == last - first + 1:
            return f"{first} to {last}"
        return f"the training split's {', '.join(map(str, self.numbers))}"


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """The names, those that occur more than once with their places behind them: ``crane (134)``."""
    shared = repeated(names)
    if not shared:
        return tuple(names)
    numbered = (f"{name} ({i})" if name in shared else name for i, name in enumerate(names))
    return told_apart(tuple(numbered))  # another class may be called "crane (134)" already


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:MOST_NAMED], *["..."] * (len(names) > MOST_NAMED)])
