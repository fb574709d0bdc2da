"""The command line: one module a verb, imported only when its verb is typed."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from typing import Any

import click

from dnsearch.cli.ending import DEBUG, debug_option, ended
from dnsearch.errors import DnsearchError, nearest

VERBS = {
    "run": "Search DenseNets for a study, or go on searching; writes a report.",
    "check": "Say what can be known of a study before training: images, space, time, warnings.",
    "confirm": "Train candidates again with fresh seeds, on the test images: how far to trust.",
    "init": "Write a commented study file to start from.",
    "count": "Say what an architecture costs: parameters, MACs, activations, memory.",
    "report": "Write the report of a run again.",
    "list": "List the runs here: what they are, how they stand, what they answer.",
    "status": "Show the progress of a run, from another shell: done, left, the answer so far.",
    "compare": "Compare networks, or whole runs: cost, predicted error, fronts.",
    "profile": "Measure latencies of this machine once, by which searches predict them.",
    "replay": "Compare search strategies on the recorded trainings of a run.",
    "scale": "Say what a larger budget buys: error, shape and time of larger networks.",
    "export": "Write one network of a run: weights, code that needs torch alone, a model card.",
    "predict": "Classify pictures with a network: classes and probabilities.",
    "train": "Train networks in full and measure them on the test images.",
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
        command: click.Command = importlib.import_module(f"dnsearch.cli.{cmd_name}").command
        if not any(DEBUG in parameter.opts for parameter in command.params):
            debug_option(command)
        return command

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


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
last_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON in place of the last lines, and no others."
)


def print_json(record: Any) -> None:
    """Prints figures for other programs; one that is missing is null."""
    from dnsearch.report.summary import plain

    click.echo(json.dumps(plain(record), indent=2, ensure_ascii=False))


def given(**options: Any) -> dict[str, Any]:
    """Those of the options that were typed."""
    return {name: value for name, value in options.items() if value is not None}


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
@debug_option
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
    """The ``dnsearch`` command; ``cli.ending`` says how it ends. What the terminal or pipe has no
    character for is shown as ``?``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if "_DNSEARCH_COMPLETE" in os.environ:
        from dnsearch.cli.completion import register

        register()
    words = sys.argv[1:] if arguments is None else arguments
    sys.exit(
        ended(
            lambda: cli.main(words, prog_name="dnsearch", standalone_mode=False),
            debug=DEBUG in words,
        )
    )
