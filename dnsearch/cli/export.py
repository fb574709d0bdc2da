"""``dnsearch export``."""

from __future__ import annotations

from pathlib import Path

import click

from dnsearch.rundir import RunDir


@click.command()
@click.argument("run")
@click.option(
    "--pick",
    default="knee",
    show_default=True,
    help='least-error, knee, least-cost, a key of the report, or bounds such as "macs<=50e6".',
)
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Folder to write.")
def command(run: str, pick: str, to: Path) -> None:
    """Write one network of RUN into a folder: config.json, weights, a README that loads it."""
    folder = RunDir.find(run)

    from dnsearch.export import export_network
    from dnsearch.search.results import read_results

    found = export_network(read_results(folder), folder, pick, to)
    click.echo(
        f"{found.name} ({found.key}) written to {to}; {to / 'README.md'} says how to load it"
    )
