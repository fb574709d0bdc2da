"""``dnsearch report``."""

from __future__ import annotations

import click

from dnsearch.cli.completion import complete_run
from dnsearch.rundir import RunDir


@click.command()
@click.argument("run", shell_complete=complete_run)
def command(run: str) -> None:
    """Write the report of RUN (a name below reports/, or a path) again from its results."""
    folder = RunDir.find(run)

    from dnsearch.cli.pages import write_page
    from dnsearch.search.results import read_results

    click.echo(write_page(read_results(folder), folder))
