import numpy as np
import optuna
import pytest

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


def true_error(points, known, power):
    """Errors, and how much wider the last block is than the first: twice as wide is worth
    ``2 ** -power``, whatever the size."""
    rise = points.arrays().output_widths[:, 1] / points.arrays().output_widths[:, 0]
    return 0.3 * (known.params / known.params.min()) ** -0.2 * rise**-power, rise


@pytest.mark.parametrize("seed", range(4))
def test_shapes_like_the_good_ones_of_other_sizes_are_picked(seed):
    _, points, known = told({})
    order, rng = np.argsort(known.macs), np.random.default_rng(seed)
    small, large = order[:-12], order[-12:]
    tried = rng.choice(small, 14, replace=False).tolist()
    for power in (0.6, -0.6):
        error, rise = true_error(points, known, power)
        picked = told({each: float(error[each]) for each in tried})[0](large)
        wider = np.mean(rise[large] > rise[picked])  # the share of shapes that rise more
        assert wider < 0.35 if power > 0 else wider > 0.65


def test_nothing_trained_is_any_point():
    shapes, *_ = told({})
    assert shapes(np.array([7, 3])) == 7
    assert shapes.trained([]) == []


def test_what_was_trained_comes_in_its_order_behind_what_is_trained_first():
    shapes, points, _ = told({5: 0.2, 2: 0.3, 9: 0.1})
    assert shapes.trained([]) == [5, 2, 9]
    assert shapes.trained([points.values(2), points.values(11)]) == [2, 11, 5, 9]
