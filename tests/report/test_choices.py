"""The report's verdicts on the choices of a space, in words."""

from __future__ import annotations

import dataclasses

import numpy as np

from dnsearch.analysis.choices import GRID, DesignSpace, Dimension, Value
from dnsearch.analysis.trust import Interval
from dnsearch.report.choices import choices_section
from dnsearch.report.digest import digest

from . import synthetic


def test_dimensions_of_which_nothing_is_known_share_a_sentence():
    grid = np.linspace(0, 1, GRID)
    even = Value("4", 9, Interval(0.0, -0.01, 0.01), np.stack([grid] * 3, axis=1))
    names = ("growth_rate", "depth1", "depth2")
    share = Interval(0.1, 0.0, 0.2)
    dimensions = [Dimension(n, (even, even._replace(label="6")), 0, share) for n in names]
    found = DesignSpace("macs", grid, tuple(dimensions))
    section = choices_section(
        digest(dataclasses.replace(synthetic.results(8), explore=lambda: found))
    )
    assert section.verdicts == [
        "For growth rate, layers in block 1 and layers in block 2, the data cannot tell which "
        "value is best."
    ]
