"""Runs on disk whose trainings were invented, as whole as those of ``dnsearch run``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from dnsearch.cli.pages import write_page
from dnsearch.config import parse_study
from dnsearch.rundir import RunDir
from dnsearch.search.engine import Progress
from dnsearch.search.results import read_results
from dnsearch.search.session import search
from tests.fakes import FakeEvaluator, FakeWorkers, fake_score

STUDY = """
[data]
image_size = 8
train_images = 600
[space]
growth_rate = [2, 4, 6, 8]
block_config = [[1, 2], [1, 2]]
bn_size = [0]
[training]
rungs = [2]
[search]
sampler = "random"
trials = 10
workers = 1
device = "cpu"
"""


def invent(
    name: str,
    parent: Path,
    score=fake_score,
    study: str = STUDY,
    report: bool = True,
    show: Callable[[Progress], None] = lambda _: None,
    **search_keys,
) -> RunDir:
    """A run of this name below ``parent``, with its report; ``search_keys`` replace the study's."""
    parsed = parse_study(study)
    config = parsed.search.model_copy(update=search_keys)
    run = RunDir(parent / name)
    evaluator = contextlib.nullcontext(FakeEvaluator(score=score))
    workers = FakeWorkers(lambda *_: evaluator)
    search(
        parsed.model_copy(update={"search": config}),
        run,
        lambda _: None,
        show,
        workers,
    )
    if report:
        write_page(read_results(run), run)
    return run
