import numpy as np
import optuna

from dnsearch.arch.space import SearchSpace
from dnsearch.search import suggest
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.samplers.history import History
from dnsearch.search.samplers.shapes import GoodShapes

SPACE = SearchSpace(
    growth_rate=(4, 8, 12, 16),
    block_config=((1, 2, 3), (1, 2, 3)),
    growth_ratio=(1.0, 2.0),
    bn_size=(0,),
    num_classes=10,
)
MODEL = CostModel((1, 14, 14))


def told(errors):
    """GoodShapes of a study in which these points, by place, have these errors."""
    points, known = feasible_points(SPACE, MODEL, np.random.default_rng(0))
    study = optuna.create_study()
    for place, error in errors.items():
        study.enqueue_trial(points.values(place))
        trial = study.ask()
        suggest(trial, SPACE)
        study.tell(trial, error)
    shapes = GoodShapes(points, known, MODEL, History((3,)), study, seed=0)
    return shapes, points, known


def true_error(points, known):
    """Rising growth is worth 20 %, whatever the size."""
    archs = points.arrays()
    rising = archs.growth_rate[:, 1] > archs.growth_rate[:, 0]
    return 0.3 * (known.params / known.params.min()) ** -0.2 * np.where(rising, 0.8, 1.0)


def test_shapes_like_the_good_ones_of_other_sizes_are_picked():
    _, points, known = told({})
    error, rng = true_error(points, known), np.random.default_rng(1)
    order = np.argsort(known.macs)
    small, large = order[:-12], order[-12:]
    tried = {int(each): float(error[each]) for each in rng.choice(small, 14, replace=False)}
    shapes, *_ = told(tried)
    rising = points.arrays().growth_rate[:, 1] > points.arrays().growth_rate[:, 0]
    assert 0 < rising[large].sum() < len(large)
    assert rising[shapes(large)]
    flat = told({each: float(error[each]) * (1.5 if rising[each] else 1) for each in tried})[0]
    assert not rising[flat(large)]  # where the same shapes are worse


def test_nothing_trained_is_any_point():
    shapes, *_ = told({})
    assert shapes(np.array([7, 3])) == 7
    assert shapes.trained([]) == []


def test_what_was_trained_comes_in_its_order_behind_what_is_trained_first():
    shapes, points, _ = told({5: 0.2, 2: 0.3, 9: 0.1})
    assert shapes.trained([]) == [5, 2, 9]
    assert shapes.trained([points.values(2), points.values(11)]) == [2, 11, 5, 9]
