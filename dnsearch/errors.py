"""Every failure a user can meet, in one tree.

    DnsearchError            caught by the command line: one line, exit code 2
      ConfigError            a field of a study file, a config file or a flag breaks a rule
      SpaceError             no architecture fits the space and the limits
      DataError              an image file or folder cannot be used
      CheckpointError        weights cannot be read or do not fit the network
      RunError               a run's folder cannot be used: name, lock, changed study, no such run
      KernelError            faster kernels cannot be compiled here; training goes on without

A message is one line: the thing, the rule, the value got, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DnsearchError(Exception):
    """The root of the tree; its text is what the user reads."""


class ConfigError(DnsearchError, ValueError):
    """A setting breaks a rule. ``ValueError`` too, as Python code expects of a bad argument."""

    def __init__(self, field: str, rule: str, got: object = None, hint: str = "") -> None:
        self.field, self.rule, self.got, self.hint = field, rule, got, hint
        text = f"{field} {rule}"
        if got is not None:
            text += f", got {_short(repr(got))}"
        super().__init__(f"{text}; {hint}" if hint else text)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str, object, str]]:
        """So that it survives the way from a worker process."""
        return type(self), (self.field, self.rule, self.got, self.hint)

    def within(self, parent: str) -> ConfigError:
        """The same error with its field's full path, such as ``start[1].growth_rate``.

        A parent that ends in a colon, such as ``study.toml:``, stands before the path.
        """
        dot = " " if parent.endswith(":") else "." if parent and self.field else ""
        return type(self)(f"{parent}{dot}{self.field}", self.rule, self.got, self.hint)


class SpaceError(DnsearchError):
    """The search space is empty or nothing in it meets the limits."""


class DataError(DnsearchError):
    """Images cannot be read: names the file and what was expected there."""


class CheckpointError(DnsearchError):
    """Weights cannot be read, or their names or shapes are another network's."""


class RunError(DnsearchError):
    """A run's folder cannot be used as asked."""


class KernelError(DnsearchError):
    """The C++ kernels cannot be compiled on this machine."""


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint naming the known word closest to ``word``, or all of them when none is close."""
    known = sorted(words)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.55)  # 'growht': growth_rate
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."
