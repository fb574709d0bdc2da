"""``dnsearch report``."""

from __future__ import annotations

import click

from dnsearch.cli.completion import complete_run
from dnsearch.rundir import RunDir


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--figures",
    help="Write the pictures as files, too: png, svg, pdf, jpg or webp, joined by commas; needs "
    "kaleido.",
)
def command(run: str, figures: str | None) -> None:
    """Write the report of RUN (a name below reports/, or a path) again from its results.

    With --figures every picture also goes into RUN's folder figures/, as a file of its own.

    \b
    dnsearch report example --figures png,svg
    """
    folder = RunDir.find(run)

    from dnsearch.cli.pages import place_for, write_page
    from dnsearch.report.figure_files import checked_formats
    from dnsearch.search.results import read_results

    formats = [] if figures is None else checked_formats(figures)
    click.echo(write_page(read_results(folder), folder, figures=formats))
    if formats:
        click.echo(place_for(folder).figures)
