"""Writes the trainings of a run as a table beside this script, for `dnsearch replay bench:NAME`.

python studies/densenet-bench/record.py reports/fashion14
"""

from __future__ import annotations

import sys
from pathlib import Path

from dnsearch.analysis.metrics import duration
from dnsearch.errors import DnsearchError
from dnsearch.replay.files import read_table, write_table


def main(run: str) -> None:
    """Writes the table and prints its size."""
    table = read_table(run)
    path = Path(__file__).parent / f"{table.name}.parquet"
    write_table(table, path)
    trainings = table.trainings.groupby(["key", "seed"]).ngroups
    print(
        f"{path.name}: {len(table.archs):,} architectures, {trainings:,} trainings, "
        f"{duration(table.seconds)}, {path.stat().st_size / 1e3:,.0f} kB"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except DnsearchError as error:
        sys.exit(f"error: {error}")
