"""Recommendations and queries on a small table, and on random runs that what is told holds
together."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis import picks
from dnsearch.analysis.candidates import Basis, Candidate, State, by_network
from dnsearch.analysis.predictions import Predictions
from dnsearch.arch import ArchConfig
from dnsearch.cost.formula import Cost
from dnsearch.errors import ConfigError, RunError

ARCHS = {
    name: ArchConfig(growth, (1, 2), 8, 0, stem="cifar", in_channels=1, num_classes=4)
    for name, growth in zip("abcdef", (4, 6, 8, 10, 12, 14), strict=True)
}
NAMES = {arch.key: name for name, arch in ARCHS.items()}
A, B, C, D, E, F = (arch.key for arch in ARCHS.values())


def candidate(name, state, error, macs, latency_ms, failure="") -> Candidate:
    cost = Cost(params=int(macs / 100), macs=int(macs), activations=1, train_bytes=1)
    measured = {"error": error, "latency_ms": latency_ms, "failure": failure}
    return Candidate(ARCHS[name], cost, state, 0, rung=9, seed=0, images=100, **measured)


@pytest.fixture
def candidates() -> list[Candidate]:
    nan = math.nan
    return [
        candidate("a", State.FINISHED, 0.30, 1e6, 1.0),
        candidate("b", State.FINISHED, 0.12, 2e6, nan),
        candidate("c", State.FINISHED, 0.10, 50e6, 2.0),
        candidate("d", State.FINISHED, 0.40, 60e6, 3.0),
        candidate("e", State.UNFIT, 0.01, 1e5, 9.0, "over a limit"),
        candidate("f", State.FAILED, nan, 1e6, nan, "out of memory\nand much more " * 40),
    ]


def name(found: Candidate) -> str:
    return NAMES[found.key]


def names(found) -> str:
    return "".join(map(name, found))


IMAGES = 1000


def networks(candidates):
    return by_network(candidates, IMAGES)


def recommended(candidates, costs=("macs",), **more):
    return picks.recommend(networks(candidates), costs, **more)


def pick(candidates, costs, query):
    joined = networks(candidates)
    return picks.pick(joined, picks.recommend(joined, costs), costs, query)


def predicted(candidates, errors):
    return [
        replace(each, predicted_error=error, new_high=error, basis=Basis.SEARCH)
        for each, error in zip(candidates, [*errors, math.nan, math.nan], strict=True)
    ]


def test_recommended(candidates):
    found = recommended(candidates)
    named = {"least-error": "c", "knee": "b", "least-cost": "a"}
    assert {rule: name(each) for rule, each in found.items()} == named
    assert next(iter(found)) == "least-error"


def test_the_knee_is_on_the_axis_of_the_study():
    """Scaled to the front, b gives up .4 of error, and .24 of cost in logs, .02 as it is; c gives
    up .2, and .5 or .09."""
    figures = zip("abcd", (0.40, 0.22, 0.16, 0.10), (1e6, 3e6, 10e6, 100e6), strict=True)
    found = [candidate(each, State.FINISHED, error, macs, 1.0) for each, error, macs in figures]
    assert name(recommended(found)["knee"]) == name(recommended(found, axis="log")["knee"]) == "b"
    assert name(recommended(found, axis="linear")["knee"]) == "c"


def test_front_is_cheapest_first_and_leaves_out_what_does_not_count(candidates):
    assert names(picks.front(networks(candidates[::-1]), ["macs"])) == "abc"


def test_a_cost_not_measured_keeps_a_candidate_off_the_front(candidates):
    assert names(picks.front(networks(candidates), ["latency_ms"])) == "ac"


def test_nothing_finished_recommends_nothing(candidates):
    assert recommended(candidates[4:]) == {}
    assert recommended([]) == {}


def test_what_reaches_the_baseline_is_never_recommended(candidates):
    """a, .30 of 1,000 images, may be .33 on others; b, .12, may be .14."""
    assert set(names(recommended(candidates, baseline=0.31).values())) == {"b", "c"}
    assert set(names(recommended(candidates, baseline=0.13).values())) == {"c"}
    assert recommended(candidates, baseline=0.10) == {}
    joined = networks(candidates)
    with pytest.raises(RunError, match="no knee pick: none is shown to be better than always"):
        picks.pick(joined, {}, ["macs"], "knee")


ERRORS = (0.30, 0.102, 0.10, 0.40)


def drawn(candidates, errors=ERRORS, noise=0.005, seed_noise=0.03, **more):
    """Draws about these errors of the first four, each by itself, all with this noise or each with
    its own."""
    luck = noise * np.random.default_rng(0).standard_normal((4000, 4))
    keys = tuple(each.key for each in candidates[:4])
    return Predictions(keys, np.array(errors) * np.exp(luck), seed_noise, IMAGES, 9, **more)


def as_good(candidates, errors=ERRORS, costs=("macs",), **more):
    """The name of what is recommended as being as good, empty for none."""
    known = drawn(candidates, errors, **more)
    found = recommended(predicted(candidates, errors), costs, predictions=known)
    assert name(found["least-error"]) == "c"
    return names(each for rule, each in found.items() if rule == "as-good")


def test_as_good_is_the_cheapest_that_is_shown_to_be(candidates):
    """b's error is 2 % above c's, and 3 % are allowed; a's is far above."""
    assert as_good(candidates) == "b"
    known, close = drawn(candidates), networks(predicted(candidates, ERRORS))
    told = picks.as_good(close[2], close, ["macs"], known)
    assert told is not None
    assert told.tolerance == 0.03
    within = np.mean(known.draws[:, 1] <= 1.03 * known.draws[:, 2])
    assert told.probability == pytest.approx(within)
    assert as_good(candidates, seed_noise=0.001) == ""  # then 1 % is allowed


def test_what_is_little_known_is_not_as_good(candidates):
    """b is predicted within the margin, and more likely so than not."""
    unsure = [0.005, 0.2, 0.005, 0.005]
    known = drawn(candidates, noise=unsure)
    assert 0.5 < np.mean(known.draws[:, 1] <= 1.03 * known.draws[:, 2]) < picks.SHOWN
    assert as_good(candidates, noise=unsure) == ""


def test_what_is_predicted_beyond_the_margin_is_not_as_good(candidates):
    """Whatever the draws say: both figures stand side by side."""
    told = predicted(candidates, [0.30, 0.104, 0.10, 0.40])
    assert "as-good" not in recommended(told, predictions=drawn(candidates))


def test_once_networks_were_confirmed_only_these_are_as_good(candidates):
    assert as_good(candidates, confirmed=frozenset([C])) == ""
    assert as_good(candidates, confirmed=frozenset([A, B])) == "b"


@pytest.mark.parametrize(("macs", "expected"), [(45e6, "b"), (45.1e6, ""), (50e6, "")])
def test_what_saves_less_than_a_tenth_is_not_named_as_good(candidates, macs, expected):
    _, b, *_ = candidates
    candidates[1] = replace(b, cost=replace(b.cost, macs=int(macs)))
    assert as_good(candidates) == expected


@pytest.mark.parametrize(("latency", "expected"), [(2.0, "b"), (2.1, ""), (math.nan, "")])
def test_as_good_costs_no_more_in_anything(candidates, latency, expected):
    candidates[1] = replace(candidates[1], latency_ms=latency)
    assert as_good(candidates, costs=("macs", "latency_ms")) == expected


def test_how_many_pass_for_as_good():
    """As ``SHOWN`` says: the means of three seeds each, by the formula of their distribution."""
    apart = math.sqrt(2 / 3)  # of two means, in seed noises
    rng = np.random.default_rng(0)
    for worse, share in ((0.0, 0.65), (2.0, 0.02)):
        passed = []
        for _ in range(2000):
            seen = worse + apart * rng.standard_normal()
            sure = 0.5 * (1 + math.erf((1 - seen) / apart / math.sqrt(2)))
            passed.append(seen <= 1 and sure >= picks.SHOWN)
        assert np.mean(passed) == pytest.approx(share, abs=0.03)


def test_without_predictions_nothing_is_shown_to_be_as_good(candidates):
    _, b, *_ = candidates
    candidates[1] = replace(b, error=0.1)
    assert "as-good" not in recommended(candidates)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("knee", "b"),
        ("least-cost", "a"),
        (C, "c"),
        (C[:8], "c"),
        (E, "e"),
        ("macs<=50e6", "c"),
        ("macs <= 49.9M", "b"),
        ("macs<=50M, params<=15k", "a"),
        ("macs<=50 M MACs, params <= 15 thousand", "a"),
        ("error <= 15 %", "c"),
        ("latency_ms<=2 ms", "c"),
        ("latency_ms<=0.002 s, train_bytes<=2 GiB", "c"),
        ("macs<=50M,macs<=2M", "b"),
        ("latency_ms<=2", "c"),
        ("error<=0.15", "c"),
    ],
)
def test_queries(candidates, query, expected):
    assert name(pick(candidates, ["macs"], query)) == expected


def test_a_bound_on_one_cost_takes_candidates_whose_other_cost_is_unknown(candidates):
    assert name(pick(candidates, ["latency_ms"], "macs<=5M")) == "b"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("mac<=5", "pick bounds an unknown figure, got 'mac'; did you mean 'macs'"),
        ("macs<=1e9999999999", "pick must bound by a number, got 'macs<=1e9999999999'; write"),
        ("error<=1e9999999999", "pick must bound by a number, got 'error<=1e9999999999'; write"),
        ("macs<=lots", "pick must bound by a number, got 'macs<=lots'; write bounds such as"),
        ("macs>=5", "pick must be bounds joined by commas, got 'macs>=5'"),
        ("macs<=5,", "pick must be bounds joined by commas"),
        ("macs<=", "pick must be bounds joined by commas"),
    ],
)
def test_queries_that_cannot_be_read(candidates, query, message):
    with pytest.raises(ConfigError, match=message) as caught:
        pick(candidates, ["macs"], query)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("macs<=1e3", "no finished candidate has macs<=1e3: the least macs left is 1 M MACs"),
        ("macs<=50M,params<=1", "the least params left is 10 k params"),
        ("zz", "no candidate is called 'zz': name least-error, as-good, knee, least-cost, a key"),
        ("", "no candidate is called ''"),
        (F, f"candidate {F} failed: out of memory"),
    ],
)
def test_queries_that_nothing_answers(candidates, query, message):
    with pytest.raises(RunError, match=message) as caught:
        pick(candidates, ["macs"], query)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_why_there_is_no_pick(candidates):
    with pytest.raises(RunError, match="no knee pick: no candidate was trained yet"):
        pick([], ["macs"], "knee")
    unfinished = candidates[4:]
    with pytest.raises(RunError, match=r"none is finished .* \(1 failed, 1 unfit\)"):
        pick(unfinished, ["macs"], "least-error")
    with pytest.raises(RunError, match="no finished candidate has macs<=1e9: of 2 candidates none"):
        pick(unfinished, ["macs"], "macs<=1e9")


def test_the_beginning_of_several_keys_names_none(candidates):
    archs = (ArchConfig(4, (1, 2), 8, 0, num_classes=n) for n in range(2, 19))
    alike = {arch.key[0]: arch for arch in archs}  # 17 architectures, 16 hex digits
    first = next(d for d in alike if any(k.startswith(d) and k != alike[d].key for k in NAMES))
    table = [*candidates, replace(candidates[0], arch=alike[first])]
    with pytest.raises(RunError, match=f"'{first}' begins the keys of .* candidates"):
        pick(table, ["macs"], first)


def test_of_several_seeds_the_mean_makes_the_front_not_the_luckiest(candidates):
    """c has one lucky and one unlucky seed; d, as cheap, is better in the mean."""
    a, b, c, d, *rest = candidates
    steady = replace(d, error=0.11, cost=c.cost)
    table = [a, b, c, replace(c, error=0.30), steady, replace(steady, seed=1), *rest]
    assert names(picks.front(networks(table), ["macs"])) == "abd"
    assert name(recommended(table)["least-error"]) == "d"


def test_seeds_are_joined_to_their_means_and_the_best_gives_its_weights(candidates):
    a, b, *_ = candidates
    runs = [replace(a, error=0.2, seed=3, latency_ms=2.0), replace(a, seed=4), b]
    joined, other = networks(runs)
    assert (joined.error, joined.seeds, joined.seed) == (pytest.approx(0.25), 2, 3)
    assert joined.latency_ms == 1.5
    assert joined.predicted_error == joined.error
    assert other.error == b.error
    assert other.seeds == 1


def test_predicted_errors_make_the_front_and_choose(candidates):
    lucky = predicted(candidates, [0.31, 0.11, 0.13, 0.40])
    assert name(recommended(lucky)["least-error"]) == "b"
    assert name(pick(lucky, ["macs"], "macs<=60e6")) == "b"
    assert names(picks.front(networks(lucky), ["macs"])) == "ab"
    unlucky = predicted(candidates, [0.31, 0.13, 0.12, 0.09])
    assert name(recommended(unlucky)["least-error"]) == "d"
    assert name(pick(unlucky, ["macs"], "error<=0.1")) == "d"
    assert names(picks.front(networks(unlucky), ["macs"])) == "abcd"
