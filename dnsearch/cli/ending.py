"""How every command ends: its exit code and its last line, whichever verb it is.

    0           done, or a budget ended
    1           done, but nothing was found: every candidate failed, say
    2           what was typed, a file or a folder is at fault
    3           this machine is at fault; once it is repaired, the same command goes on
    4           dnsearch is at fault
    128 + n     a signal ended it: 129 SIGHUP, 130 SIGINT (Ctrl-C), 143 SIGTERM

With ``--debug`` the traceback comes before the line.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from dnsearch import interrupts
from dnsearch.errors import DnsearchError, MachineError, NothingFound, is_machines, one_line
from dnsearch.postgres import without_password, without_passwords

NOTHING_FOUND, USER, MACHINE, DEFECT = 1, 2, 3, 4

DEBUG = "--debug"
debug_option = click.option(
    DEBUG, is_flag=True, expose_value=False, help="Show the traceback of an error."
)
"""Every verb takes it; ``ended`` looks for it in what was typed, which may not even parse."""


def ended(command: Callable[[], Any], debug: bool) -> int:
    """Runs a command to its end, tells on stderr why it ended where that is no success, and returns
    its exit code."""
    with interrupts.listening(stopped), interrupts.held():
        try:
            with interrupts.released():
                code = command() or 0
        except SystemExit as error:  # from click, on a closed pipe
            code = error.code if isinstance(error.code, int) else 1
        except (click.Abort, KeyboardInterrupt) as error:
            return _stop(interrupts.received() or signal.SIGINT, error, debug)
        except Exception as error:
            number = interrupts.received()
            if number is not None:  # cut off, it may have come out as anything
                return _stop(number, error, debug)
            code, line = _blame(error)
            _tell(f"dnsearch: {line}", error, debug)
        number = interrupts.received()
        return code if number is None else _stop(number)


def _stop(number: int, error: BaseException | None = None, debug: bool = False) -> int:
    _tell(stopped(number), error, debug)
    return 128 + number


def stopped(number: int) -> str:
    """The last line of a command that this signal has ended."""
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    return f"dnsearch: stopped by {name}; to go on:  {typed()}"


def _tell(line: str, error: BaseException | None, debug: bool) -> None:
    with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
        if debug and error is not None:
            told = "".join(traceback.format_exception(error))
            click.echo(without_passwords(told), err=True, nl=False)
        click.echo(without_passwords(line), err=True)


def _blame(error: Exception) -> tuple[int, str]:
    """Whose fault an error is, as exit code, and the line that tells of it."""
    match error:
        case NothingFound():
            return NOTHING_FOUND, _line(str(error))
        case MachineError():
            return MACHINE, _line(str(error))
        case DnsearchError():
            return USER, _line(str(error))
        case click.ClickException():
            return USER, _line(_usage(error))
        case ImportError() if not (error.name or "").startswith("dnsearch"):
            return MACHINE, f"a package that dnsearch needs cannot be loaded: {_line(str(error))}"
        case OSError():
            named = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
            return MACHINE if is_machines(error) else USER, _line(named or str(error))
        case MemoryError():
            return MACHINE, _line(f"out of memory: {error}")
    return DEFECT, f"{one_line(error)} (a defect of dnsearch; {DEBUG} shows where)"


def _line(text: str) -> str:
    return " ".join(text.splitlines())


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "dnsearch"
    text = error.format_message().rstrip(".")
    return f"{text[:1].lower()}{text[1:]} (see {path} --help)"


def typed(**options: object) -> str:
    """The command that was typed, to be typed again, with these ``--options`` in place of its
    own."""
    words, left = ["dnsearch"], iter(sys.argv[1:])
    for word in left:
        name, equals, _ = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in options:
            if not equals:
                next(left, None)
        else:
            words.append(word)
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return shlex.join(map(without_password, words))
