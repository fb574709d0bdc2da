"""The command line: one module a verb, imported only when its verb is typed."""

from __future__ import annotations

import importlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from dnsearch.errors import DnsearchError, nearest

VERBS = {
    "run": "Search DenseNets for a study, or go on searching; writes a report.",
    "check": "Say what can be known of a study before training: images, space, time, warnings.",
    "confirm": "Train candidates again with fresh seeds, on the test images: how far to trust.",
    "init": "Write a commented study file to start from.",
    "count": "Say what an architecture costs: parameters, MACs, activations, memory.",
    "report": "Write the report of a run again.",
    "list": "List the runs here: what they are, how they stand, what they answer.",
    "status": "Say how a run stands, from another shell: done, under way, left, the answer so far.",
    "compare": "Compare networks, or whole runs: cost, expected error, fronts.",
    "profile": "Measure latencies of this machine once, by which searches predict them.",
    "replay": "Compare search strategies on the recorded trainings of a run.",
    "scale": "Say what a larger budget buys: error, shape and time of larger networks.",
    "export": "Write one network of a run: weights, code that needs torch alone, a model card.",
    "predict": "Say what a network makes of pictures: classes and probabilities.",
    "train": "Train one network in full and measure it on the test images.",
}


class Verbs(click.Group):
    """Knows the verbs by name, so that ``--help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all verbs."""
        return [*VERBS]  # not list(): that is a verb, and so a module here

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of this name, imported now; None where there is none."""
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f"dnsearch.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it; raises DnsearchError with the nearest verb for an unknown one."""
        if args[0] not in VERBS and not ctx.resilient_parsing:
            raise DnsearchError(f"there is no verb {args[0]!r}; {nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with a line each."""
        with formatter.section("Verbs"):
            formatter.write_dl([*VERBS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from dnsearch.cli.version import lines

    for line in lines():
        click.echo(line)
    ctx.exit()


quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print the last lines alone.")


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Versions, device and kernels.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Which DenseNet should I train on my data within my budget?

    \b
    dnsearch run                   search on the bundled images, as a first look
    dnsearch init my-study.toml    a commented study file, to point at your data
    dnsearch run my-study.toml     search; the same command goes on after an interruption
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """The ``dnsearch`` command. What a user can mend is one line on stderr and exit code 2; Ctrl-C
    is exit code 130. What the terminal or pipe has no character for is shown as ``?``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if "_DNSEARCH_COMPLETE" in os.environ:
        from dnsearch.cli.completion import register

        register()
    sys.exit(_run(lambda: cli.main(arguments, prog_name="dnsearch", standalone_mode=False)))


def _run(command: Callable[[], Any]) -> int:
    try:
        return command() or 0
    except (DnsearchError, click.ClickException, OSError, MemoryError) as error:
        click.echo(f"dnsearch: {' '.join(_message(error).splitlines())}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"dnsearch: interrupted\nto go on:  {typed()}", err=True)
        return 128 + signal.SIGINT


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
    return shlex.join(words)


def _message(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "dnsearch"
        text = error.format_message().rstrip(".")
        return f"{text[:1].lower()}{text[1:]} (see {path} --help)"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"out of memory: {error}" if isinstance(error, MemoryError) else str(error)
