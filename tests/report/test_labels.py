"""Labels keep clear of points and of each other."""

from __future__ import annotations

import numpy as np

from dnsearch.report.labels import place

EXTENT = (600, 360)


def boxes(anchors, sizes, offsets):
    centres = anchors * EXTENT + offsets
    return centres - sizes / 2, centres + sizes / 2


def test_labels_cover_no_point_and_do_not_overlap():
    along = np.linspace(0.1, 0.95, 30)
    points = np.stack([along, 0.15 + 0.08 / along], axis=1)
    anchors, sizes = points[[0, 9, 10, 29]], np.array([[70.0, 18], [50, 18], [70, 18], [80, 18]])
    low, high = boxes(anchors, sizes, place(anchors, sizes, points, [EXTENT]))
    assert (low >= 0).all()
    assert (high <= EXTENT).all()
    inside = (points[:, None] * EXTENT > low) & (points[:, None] * EXTENT < high)
    assert not inside.all(axis=2).any()
    for i in range(4):
        for j in range(i):
            assert ((low[i] >= high[j]) | (low[j] >= high[i])).any()


def test_no_labels():
    assert place(np.empty((0, 2)), np.empty((0, 2)), np.empty((0, 2)), [EXTENT]).shape == (0, 2)


def test_a_free_label_stands_below_and_left_of_its_point():
    offset = place(np.array([[0.5, 0.5]]), np.array([[40.0, 18]]), np.empty((0, 2)), [EXTENT])
    assert (offset < 0).all()
