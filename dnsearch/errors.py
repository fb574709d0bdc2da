"""All errors that a user can cause or meet, in one tree.

    DnsearchError            caught by the command line: one line, exit code 2
      MachineError           the machine is at fault: exit code 3; once repaired, the same command
                             goes on
        ConnectionLost       a database server cannot be reached, or not any more
      ConfigError            a field of a study file, a config file or a flag breaks a rule
      SpaceError             no architecture of the space is within the limits
      DataError              an image file or folder cannot be used
      CheckpointError        weights cannot be read or do not fit the network
      RunError               a run's folder cannot be used: name, lock, changed study, no such run
        DamagedError         a file in it was changed or damaged
      NothingFound           all was done, and no network came out of it: exit code 1
      KernelError            the C++ kernels cannot be compiled here; training does without

A message is one line: the field or file, the rule, the value, and what to do about it.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class DnsearchError(Exception):
    """The base of all errors here; its text is what the user reads."""


class ConfigError(DnsearchError, ValueError):
    """A setting breaks a rule; a ValueError as well, as Python expects of a wrong argument.

    The message is "{field} {rule}, got {got}; {hint}".
    """

    def __init__(self, field: str, rule: str, got: object = None, hint: str = "") -> None:
        self.field, self.rule, self.got, self.hint = field, rule, got, hint
        text = f"{field} {rule}"
        if got is not None:
            text += f", got {_short(repr(got))}"
        super().__init__(f"{text}; {hint}" if hint else text)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str, object, str]]:
        """How it is pickled, to come back from a worker process as it was."""
        return type(self), (self.field, self.rule, self.got, self.hint)

    def within(self, parent: str) -> ConfigError:
        """The same error with a longer path to its field: ``start[1]`` before ``growth_rate``.

        A parent that ends in a colon, such as ``study.toml:``, is a file and gets no dot.
        """
        dot = " " if parent.endswith(":") else "." if parent and self.field else ""
        return type(self)(f"{parent}{dot}{self.field}", self.rule, self.got, self.hint)


class SpaceError(DnsearchError):
    """The search space is empty, or no architecture in it is within the limits."""


class DataError(DnsearchError):
    """Images cannot be used; the message names the file and what it must hold."""


class CheckpointError(DnsearchError):
    """Weights cannot be read, or are those of another network."""


class RunError(DnsearchError):
    """A run's folder cannot be used as asked: its name, its lock, or what is in it."""


class DamagedError(RunError):
    """A file of a run is not as dnsearch wrote it."""


class MachineError(DnsearchError):
    """Something of this machine is broken or full; neither study nor candidate is at fault."""


class ConnectionLost(MachineError):
    """A database server cannot be reached, or the connection to it has broken."""


class NothingFound(DnsearchError):
    """What was asked for was done, but no network came out of it; the message says why."""


class KernelError(DnsearchError):
    """The C++ kernels cannot be compiled on this machine."""


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint: the known word most like ``word``, or all known words where none is like it."""
    known = sorted(words)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.55)  # 'growht': growth_rate
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


_MACHINES = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EIO", "ENOMEM", "EMFILE", "ENFILE", "ESTALE", "ENODEV")
    if hasattr(errno, name)
}


def is_machines(error: OSError) -> bool:
    """Whether the system refused for want of space, memory or files, by a fault of a device, or as
    it could not load a library."""
    return error.errno in _MACHINES or (error.filename is None and "shared object" in str(error))


def cannot_write(path: object, error: OSError) -> DnsearchError:
    """What to raise for a file or folder that cannot be written: a MachineError where the machine
    is at fault, such as a full disk, else a RunError."""
    kind = MachineError if is_machines(error) else RunError
    return kind(f"{path}: cannot be written: {error.strerror or error}")


def cannot_read(path: object, error: Exception, rule: str) -> DnsearchError:
    """What to raise for images that cannot be read: a MachineError where the machine is at fault,
    such as a broken disk, else a DataError with the rule that they break."""
    if isinstance(error, OSError) and is_machines(error):
        return MachineError(f"{path}: cannot be read: {error.strerror or error}")
    return DataError(f"{path}: {rule}")


def one_line(error: BaseException) -> str:
    """An error of somebody else's code in one line, for a message of ours."""
    return " ".join(f"{type(error).__name__}: {error}".split())


_MOST_LETTERS = 200
"""Of a value that an error tells."""


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]} ..."
