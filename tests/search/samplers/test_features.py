"""What the surrogate believes of shapes, and of stems, that it has not seen."""

import numpy as np
import pytest

from dnsearch.arch import ArchArrays, ArchConfig, SearchSpace
from dnsearch.arch.plain import PlainDenseNet
from dnsearch.cost.formula import costs
from dnsearch.search import CostModel
from dnsearch.search.samplers.covariance import Parameters, Rows
from dnsearch.search.samplers.features import SHAPE, STRUCTURE, Features, raw_features
from dnsearch.search.samplers.surrogate import Surrogate

LAYERS = (1, 2, 4, 6)
MODEL = CostModel((3, 32, 32))


class Space:
    """All networks of a space with their features, and log errors of a power law of MACs."""

    def __init__(self, **dimensions):
        space = SearchSpace(growth_rate=(4, 8, 16), block_config=(LAYERS,) * 2, **dimensions)
        points = space.points(np.random.default_rng(0))
        self.archs, self.known = points.arrays(), MODEL.of_points(points)
        self.features = Features(self.archs, self.known)
        self.size = np.log(self.known.macs / np.median(self.known.macs))
        self.patch = self.archs.stem == "patch2"

    def learnt(self, rows, truth):
        """A surrogate of these networks' log errors, without noise to speak of."""
        features = self.features.points[rows]
        count, one = features.shape[1], np.array([1.0])
        parameters = Parameters(np.full(count, 8.0), 0.02, 0.01 * one, one, 0 * one, one)
        some = np.arange(len(features))
        observed = Rows(features, 0 * some, some, truth[rows], self.features.trend)
        return Surrogate(observed, parameters)


def test_one_stem_is_no_feature_and_two_are_one_and_its_product_with_the_size():
    one, two = Space(), Space(stem=("cifar", "patch2"))
    varying = [c for c in raw_features(one.archs, one.known).values() if np.ptp(c) > 1e-9]
    assert one.features.points.shape[1] == len(varying)
    assert set(one.features.trend.sd[2:]) == {SHAPE}
    columns = raw_features(two.archs, two.known)
    patch, macs = (
        (columns[name] - columns[name].mean()) / columns[name].std()
        for name in ("patch_stem", "macs")
    )
    assert two.features.points.shape[1] == len(varying) + 2
    assert two.features.points[:, -1] == pytest.approx(patch * macs)
    assert np.count_nonzero(np.isclose(two.features.trend.sd, STRUCTURE)) == 2
    assert two.features.trend.sd[-1] == STRUCTURE


def test_a_width_is_what_the_built_network_has_behind_a_block():
    configs = [
        ArchConfig((4, 10, 25), (1, 4, 2), 8, compression=0.7),
        ArchConfig(12, (2, 6), 30, bn_size=0),
        ArchConfig(7, (3,), 9),
    ]
    archs = ArchArrays.of(configs)
    cost = costs(archs, 32, 32)
    columns = raw_features(archs, cost)
    for at, config in enumerate(configs):
        built, blocks = PlainDenseNet(config).features, len(config.block_config)
        norms = [built.get_submodule(f"transition{block}.norm") for block in range(1, blocks)]
        widths = [norm.num_features for norm in (*norms, built.get_submodule("norm5"))]
        widths += [widths[-1]] * (3 - blocks)  # where there is no block
        found = [columns[f"width of block {block}"][at] for block in (1, 2, 3)]
        assert found == pytest.approx(np.log(widths) - np.log(cost.macs[at]) / 2)


def test_little_is_known_of_a_stem_that_was_never_trained():
    space = Space(stem=("cifar", "patch2"))
    seen = np.flatnonzero(space.patch)[::3]
    learnt = space.learnt(seen, -1 - 0.15 * space.size)
    _, sd = learnt.predict(space.features.points)
    assert np.median(sd[space.patch]) < 0.03
    assert np.median(sd[~space.patch]) > 0.15


def test_what_a_stem_is_worth_in_larger_networks_is_learnt_from_smaller_ones():
    space = Space(stem=("cifar", "patch2"))
    worth = np.where(space.patch, 0.1 * space.size, 0.0)  # better in small networks, then worse
    truth = -1 - 0.15 * space.size + worth
    small = np.flatnonzero(space.size < 0.5)[::2]
    mean, _ = space.learnt(small, truth).predict(space.features.points)
    large = space.size > 1
    assert large.any()
    assert np.abs(mean - truth)[large].max() < 0.06
