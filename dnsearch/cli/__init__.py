"""The command line: one module a verb, imported only when its verb is typed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import click

from dnsearch import __version__
from dnsearch.errors import DnsearchError

VERBS = {
    "run": "Search DenseNets for a study, or go on searching; writes a report.",
    "init": "Write a commented study file to start from.",
    "count": "Say what an architecture costs: parameters, MACs, activations, memory.",
    "report": "Write the report of a run again.",
    "export": "Write one network of a run: config, weights, and how to load it.",
}


class Verbs(click.Group):
    """Knows the verbs by name, so that ``--help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f"dnsearch.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dnsearch")
def cli() -> None:
    """Which DenseNet should I train on my data within my budget?

    \b
    dnsearch run                   search on the bundled images, as a first look
    dnsearch init my-study.toml    a commented study file, to point at your data
    dnsearch run my-study.toml     search; the same command goes on after an interruption
    """


def main(arguments: list[str] | None = None) -> None:
    """The ``dnsearch`` command. What a user can mend is one line on stderr and exit code 2."""
    sys.exit(_run(lambda: cli.main(arguments, prog_name="dnsearch", standalone_mode=False)))


def _run(command: Callable[[], Any]) -> int:
    try:
        return command() or 0
    except DnsearchError as error:
        click.echo(f"dnsearch: {error}", err=True)
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("dnsearch: stopped", err=True)
        return 130
