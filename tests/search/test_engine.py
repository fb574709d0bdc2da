import os
import signal
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from dnsearch.arch import preset
from dnsearch.errors import ConfigError, SpaceError
from dnsearch.interrupts import Stopped, listening
from dnsearch.search.engine import Engine
from dnsearch.search.evaluators.base import REFERENCES, SEARCH
from dnsearch.search.samplers.history import History
from dnsearch.search.sqlite import SQLiteFile
from dnsearch.search.storage import Storage
from dnsearch.training.score import Score
from tests.fakes import FakeEvaluator, fake_score

SAMPLERS = ("known-cost", "mo-asha", "tpe", "nsga2", "gp", "random", "frontier")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_finishes_without_repeats(make_search, sampler):
    search = make_search(sampler=sampler, trials=14)
    assert search.run() == "all trials finished"
    keys = [record.job.arch.key for record in search.records]
    assert len(keys) == len(set(keys)) == 14
    assert all(record.job.arch in search.space for record in search.records)


@pytest.mark.parametrize("sampler", ["known-cost", "mo-asha", "tpe", "nsga2", "random", "frontier"])
def test_a_space_is_searched_to_its_last_point(make_search, sampler):
    space = "[space]\ngrowth_rate = [2, 4, 6]\nblock_config = [[1, 2], [1, 2]]\nbn_size = 2"
    search = make_search(sampler=sampler, trials=1000, space=space)
    assert search.run() == "every architecture of the space was tried"
    assert len(search.records) == search.space.size == 12


def test_values_are_error_and_exact_costs(make_search):
    search = make_search(costs=("macs", "params"))
    search.run()
    for record in search.records:
        cost = search.model.cost(record.job.arch)
        assert record.values == (record.score.error, cost.macs, cost.params)
    optuna_front = {trial.number for trial in search.study.best_trials}
    ours = {
        r.job.trial
        for r in search.records
        if not any(
            all(a <= b for a, b in zip(o.values, r.values, strict=True)) and o.values != r.values
            for o in search.records
        )
    }
    assert optuna_front == ours


def test_limits_are_kept_and_rejected_proposals_never_trained(make_search):
    unlimited = make_search("free")
    bound = int(sorted(unlimited.costs.macs)[12])
    search = make_search(limits={"max_macs": bound}, trials=1000, sampler="tpe")
    search.run()
    assert len(search.records) == sum(unlimited.costs.macs <= bound)
    assert all(search.model.cost(r.job.arch).macs <= bound for r in search.records)
    for trial in search.study.get_trials(states=[TrialState.PRUNED]):
        assert trial.user_attrs["rejected"] == "over limit"
        assert trial.constraints["macs"] > 0


@pytest.mark.parametrize("sampler", ["known-cost", "mo-asha", "tpe", "nsga2"])
def test_a_single_worker_s_proposals_know_all_that_came_before(make_search, sampler):
    """The plainest loop there is, by hand: propose, train, tell."""
    by_hand = make_search("by hand", sampler=sampler, rungs=(1, 3))
    for _ in range(by_hand.config.trials):
        job = by_hand.proposer.propose()
        by_hand.engine._tell(job, fake_score(job))
    search = make_search("search", sampler=sampler, rungs=(1, 3))
    search.run()
    assert search.story == by_hand.story


@pytest.mark.parametrize("sampler", ["known-cost", "tpe"])
def test_a_withdrawn_proposal_leaves_nothing_behind(make_search, sampler):
    whole = make_search("whole", sampler=sampler, seed=7)
    whole.run()
    cut = make_search("cut", sampler=sampler, seed=7, trials=5)
    cut.run()
    cut.store.withdraw(cut.proposer.propose())
    assert not cut.study.get_trials(states=[TrialState.RUNNING])
    resumed = make_search("cut", sampler=sampler, seed=7)
    resumed.run()
    assert resumed.story == whole.story


class SlowProposals:
    """A search's proposals, of so many seconds each on the clock of its evaluator; notes how many
    results each knew."""

    def __init__(self, search, seconds):
        self.proposer, self.store, self.seconds = search.proposer, search.store, seconds
        self.evaluator, search.engine.proposer = search.evaluator, self
        self.knew, self.made = [], []

    def propose(self):
        self.knew.append(len(self.store.records()))
        self.evaluator.now += self.seconds
        job = self.proposer.propose()
        if job is not None:
            self.made.append((self.evaluator.now, job))
        return job


class OnClock(FakeEvaluator):
    """Trainings take as long as ``lasting`` says on a clock that goes on where somebody waits.
    ``idle``: how many seconds each job's worker had waited for it."""

    def __init__(self, capacity, lasting):
        super().__init__(capacity)
        self.now, self.lasting, self.ends = 0.0, lasting, []
        self.free, self.idle = [0.0] * capacity, []

    def submit(self, job):
        super().submit(job)
        self.ends.append((self.now + self.lasting(job), job))
        since = self.free.pop(self.free.index(min(self.free)))
        self.idle.append(self.now - since)

    def completed(self, timeout):
        if self.ends and timeout:
            self.now = max(self.now, min(end for end, _ in self.ends))
        over = [(end, job) for end, job in self.ends if end <= self.now]
        self.ends = [each for each in self.ends if each not in over]
        self.free += [end for end, _ in over]
        self.jobs = type(self.jobs)(job for _, job in self.ends)
        return [(job, fake_score(job)) for _, job in over]


WIDER = (
    "[space]\ngrowth_rate = [2, 4, 6, 8]\nblock_config = [[1, 2, 3], [1, 2, 3]]\nbn_size = [0, 2]"
)


def slow(make_search, seconds, workers, lasting, trials=36):
    evaluator = OnClock(workers, lasting)
    search = make_search(
        space=WIDER, trials=trials, evaluator=evaluator, clock=lambda: evaluator.now
    )
    return search, SlowProposals(search, seconds)


def test_what_has_ended_is_collected_before_all_free_workers_have_jobs(make_search):
    """Eight workers whose trainings end while a proposal is made: none waits for the eighth."""
    search, proposals = slow(make_search, 1.0, 8, lambda job: 1.5)
    assert search.run() == "all trials finished"
    missed = [at - knew for at, knew in enumerate(proposals.knew)]
    assert max(missed) <= 4  # those under way and ready; 8 where all get jobs first
    assert max(proposals.evaluator.idle[8:]) <= 8.0


def test_a_proposal_is_ready_where_workers_would_wait_for_one(make_search):
    """Without, each would wait for a second or more."""
    search, proposals = slow(make_search, 1.0, 4, lambda job: 6.0 + job.seed % 10 / 10)
    search.run()
    late = proposals.evaluator.idle[-20:]
    assert sum(idle == 0 for idle in late) > 10
    assert sum(late) / len(late) < 0.5


@pytest.mark.parametrize(("seconds", "workers"), [(0.0, 4), (0.001, 4), (1.0, 1)])
def test_nothing_is_proposed_ahead_that_would_keep_nobody_waiting(make_search, seconds, workers):
    search, proposals = slow(make_search, seconds, workers, lambda job: 4.0 + job.seed % 10 / 10)
    search.run()
    assert proposals.knew == [max(0, at - workers + 1) for at in range(36)]


def test_proposals_ahead_are_withdrawn_when_a_search_ends(make_search):
    search, proposals = slow(make_search, 1.0, 4, lambda job: 6.0 + job.seed % 10 / 10)

    def interrupted(progress):
        if progress.done > 15 and search.engine._ready:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.engine.run(interrupted)
    running = {job.trial for job in proposals.evaluator.jobs}
    assert {t.number for t in search.study.get_trials(states=[TrialState.RUNNING])} == running
    ahead = {job.trial for _, job in proposals.made} - {r.job.trial for r in search.records}
    assert ahead - running
    resumed = make_search(space=WIDER, trials=36)
    assert resumed.run() == "all trials finished"
    keys = [record.job.arch.key for record in resumed.records]
    assert len(set(keys)) == len(keys) == 36


def test_proposals_ahead_are_within_the_budget(make_search, monkeypatch):
    """Also where several are wanted, of which the first are the last of the budget."""
    monkeypatch.setattr(Engine, "_ahead", 3)
    search, proposals = slow(make_search, 1.0, 4, lambda job: 6.0 + job.seed % 10 / 10, trials=23)
    assert search.run() == "all trials finished"
    assert len(search.records) == len(proposals.made) == 23


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("cut", [1, 11])
def test_an_interrupted_search_ends_as_an_uninterrupted_one(make_search, sampler, cut):
    """With one worker: same candidates, seeds and scores, however it was cut off."""
    whole = make_search("whole", sampler=sampler, seed=7)
    whole.run()
    make_search("cut", sampler=sampler, seed=7, trials=cut).run()
    killed = make_search("cut", sampler=sampler, seed=7)
    killed.proposer.propose()  # asked and submitted, then the coordinator is killed
    resumed = make_search("cut", sampler=sampler, seed=7)
    resumed.run()
    assert resumed.story == whole.story


def test_other_seed_other_search(make_search):
    stories = []
    for seed in (1, 2):
        search = make_search(f"seed{seed}", seed=seed)
        search.run()
        stories.append(search.story)
    assert stories[0] != stories[1]


@pytest.mark.parametrize("method", ["accept", "tell"])
def test_killed_in_the_middle_of_a_trial_s_transaction(make_search, monkeypatch, method):
    whole = make_search("whole", trials=6)
    whole.run()
    make_search("cut", trials=3).run()
    killed = make_search("cut", trials=6)

    def half_done(*arguments):
        getattr(type(log), method)(log, *arguments)
        raise KeyboardInterrupt

    log = killed.store.logs[SEARCH]
    monkeypatch.setattr(log, method, half_done)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    resumed = make_search("cut", trials=6)
    stored = resumed.study.get_trials()
    assert [trial.number for trial in stored] == list(range(3 if method == "accept" else 4))
    assert "score" not in stored[-1].user_attrs or method == "accept"
    resumed.run()
    assert resumed.story == whole.story


def test_killed_between_storing_a_score_and_telling_it(make_search, monkeypatch):
    """As in a server, each of whose calls is a transaction, and in files of earlier versions."""
    monkeypatch.setattr(SQLiteFile, "transaction", Storage.transaction)
    search = make_search(trials=3)
    search.run()
    job = search.proposer.propose()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(search.store.logs[SEARCH], "_close", killed)
    with pytest.raises(KeyboardInterrupt):
        search.store.tell(job, fake_score(job), [0.5, 1.0], {"macs": -0.5}, 99.0)
    resumed = make_search(trials=4)
    assert resumed.run() == "all trials finished"
    assert resumed.evaluator.submitted == []
    assert resumed.records[-1].job == job
    assert resumed.records[-1].values == (0.5, 1.0)


def test_a_signal_waits_until_what_it_hit_is_stored(make_search, monkeypatch):
    search = make_search(trials=5)
    tell = search.store.tell

    def hit(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return tell(*arguments)

    monkeypatch.setattr(search.store, "tell", hit)
    with listening(str), pytest.raises(Stopped):
        search.run()
    (record,) = make_search(trials=5).records
    assert record.score.failure is None


def test_trials_are_a_total_over_sittings(make_search):
    make_search(trials=5).run()
    search = make_search(trials=8)
    search.run()
    assert len(search.evaluator.submitted) == 3
    assert [p.done for p in search.progress] == [6, 7, 8]


def test_time_is_a_total_over_sittings(make_search):
    seconds = [0.0]

    def slow(job):
        seconds[0] += 10
        return fake_score(job)

    def clock():
        return seconds[0]

    search = make_search(evaluator=FakeEvaluator(score=slow), time=45.0, clock=clock)
    assert search.run() == "the time is up"
    assert len(search.records) == 5  # the fifth was under way as the time ran out
    assert search.store.seconds == 50
    again = make_search(time=45.0, clock=clock)
    again.run()
    assert again.evaluator.submitted == []


def test_failures_count_and_the_search_goes_on(make_search):
    def unlucky(job):
        score = fake_score(job)
        return score.failed("out of memory") if job.arch.bn_size else score

    search = make_search(evaluator=FakeEvaluator(score=unlucky), trials=30)
    search.run()
    failed = [record for record in search.records if record.score.failure]
    assert len(search.records) == 30
    assert {bool(r.job.arch.bn_size) for r in failed} == {True}
    assert all(record.values is None for record in failed)
    assert not make_search(trials=30).evaluator.submitted


def test_a_score_without_error_is_a_failure(make_search):
    evaluator = FakeEvaluator(score=lambda job: Score(job.rung, job.seed))
    search = make_search(evaluator=evaluator, trials=1)
    search.run()
    assert search.records[0].score.failure == "no error was reported"


def test_a_search_minimises_the_validation_error_whatever_the_test_images_say(make_search):
    def tested(job):
        score = fake_score(job)
        return replace(score, test_error=1 - score.error)

    search = make_search(evaluator=FakeEvaluator(score=tested), trials=6)
    search.run()
    assert search.study.metric_names == ["error", "macs"]
    for record, trial in zip(search.records, search.study.trials, strict=True):
        assert record.values[0] == trial.values[0] == record.score.error


def test_what_is_to_be_minimised_must_be_reported(make_search):
    """A confirmation must not take the validation error for want of a test error."""
    search = make_search(trials=1, error="test_error")
    search.run()
    assert search.records[0].score.failure == "no test_error was reported"
    assert search.records[0].values is None


class Scripted:
    """Proposes a search's jobs, and in between says that there is none, as the script has it."""

    def __init__(self, search, script):
        self.proposer, self.script = search.proposer, list(script)

    def propose(self):
        return self.proposer.propose() if self.script.pop(0) else None


@pytest.mark.parametrize(
    ("script", "trained"),
    [
        ([True, False, True, False, False], 2),  # the end of the first makes room for the second
        ([True, True, False, True, False, False], 3),
        ([False], 0),
    ],
)
def test_what_ends_may_make_room_for_more(make_search, script, trained):
    """A proposer with nothing to propose, while something is trained, is asked again after it."""
    search = make_search(evaluator=FakeEvaluator(capacity=2))
    search.engine.proposer = Scripted(search, script)
    assert search.run() == "every architecture of the space was tried"
    assert len(search.records) == trained
    assert search.engine.proposer.script == []


@pytest.mark.parametrize("sampler", ["known-cost", "mo-asha"])
def test_several_workers_promote_all_of_a_small_space(make_search, sampler):
    space = "[space]\ngrowth_rate = [2, 4, 6]\nblock_config = [[1, 2], [1, 2]]\nbn_size = 2"
    search = make_search(
        evaluator=FakeEvaluator(capacity=20), sampler=sampler, rungs=(1, 3), trials=100, space=space
    )
    assert search.run() == "every architecture of the space was tried"
    assert sum(record.job.rung == 3 for record in search.records) == search.space.size == 12


def test_slow_candidates_are_infeasible(make_search):
    def timed(job):
        return replace(fake_score(job), latency_ms=float(job.arch.depth))

    search = make_search(
        evaluator=FakeEvaluator(score=timed),
        limits={"max_latency_ms": 6.0},
        costs=("latency_ms",),
        trials=36,
    )
    search.run()
    for record in search.records:
        assert record.values[1] == record.job.arch.depth
        assert record.feasible == (record.job.arch.depth <= 6)
    assert all(t.values[1] <= 6 for t in search.study.best_trials)


def test_known_designs_come_first_inside_the_space_and_outside(make_search):
    inside = {"growth_rate": 6, "block_config": [3, 2], "bn_size": 2}
    search = make_search(start=(inside, "densenet-40-12"), trials=5)
    search.run()
    first, second, third = search.records[:3]
    assert first.job.arch.block_config == (3, 2)
    assert first.job.arch.num_init_features == 12
    assert first.job.study == SEARCH
    assert second.job.arch == preset("densenet-40-12").replace(in_channels=1, num_classes=4)
    assert second.job.study == REFERENCES
    assert third.job.study == SEARCH
    assert len(search.records) == 5
    again = make_search(start=(inside, "densenet-40-12"), trials=6)
    again.run()
    assert len(again.evaluator.submitted) == 1


def test_known_designs_over_a_limit_are_refused(make_search):
    with pytest.raises(ConfigError, match=r"search\.start\[0\].* limits\.max_params = 1000, got"):
        make_search(start=("densenet-40-12",), limits={"max_params": 1000})


def test_known_designs_too_deep_for_the_images_are_refused(make_search):
    with pytest.raises(ConfigError, match=r"search\.start\[0\].*29x29.*got '8x8'"):
        make_search(start=("densenet121",))


def test_an_impossible_limit_names_the_smallest(make_search):
    smallest = min(make_search("free").costs.macs)
    with pytest.raises(
        SpaceError, match=rf"no point of the space has macs <= 10; .*{smallest:.4g}"
    ):
        make_search(limits={"max_macs": 10})


def test_limits_that_only_together_are_impossible_are_told(make_search):
    """Behind a wide stem plain layers write less, bottlenecks have fewer parameters."""
    space = "[space]\ngrowth_rate=4\nblock_config=[2, 2]\nnum_init_features=64\nbn_size=[0, 1]"
    free = make_search("free", space=space).costs
    least = {"max_params": int(min(free.params)), "max_activations": int(min(free.activations))}
    with pytest.raises(SpaceError, match="meets all limits together"):
        make_search("both", space=space, limits=least)


def test_several_workers_get_different_candidates(make_search):
    search = make_search(evaluator=FakeEvaluator(capacity=4), sampler="tpe", trials=12)
    search.run()
    keys = [job.arch.key for job in search.evaluator.submitted]
    assert len(set(keys)) == len(keys) == 12


WIDE = """
[space]
growth_rate = [1, 2, 4, 8, 16, 32]
block_config = [[1, 2, 3], [1, 2]]
bn_size = [0]
"""


class FirstIsCutOff(FakeEvaluator):
    """Of two workers one is at the first training until all others have ended; then the session is
    killed."""

    def __init__(self):
        super().__init__(capacity=2)

    def completed(self, timeout):
        if not timeout:
            return []
        job = self.jobs.pop()
        if job is self.submitted[0]:
            raise KeyboardInterrupt
        return [(job, self.score(job))]


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "grid", "replicates": 3, "trials": 18},
        {"sampler": "frontier", "replicates": 2, "trials": 12},
        {"sampler": "scaling", "space": WIDE, "trials": 24},  # its first round
    ],
    ids=lambda options: options["sampler"],
)
def test_of_several_seeds_the_one_that_was_cut_off_is_trained(make_search, options):
    whole = make_search("whole", **options)
    whole.run()
    cut = make_search("cut", evaluator=FirstIsCutOff(), **options)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    assert len(cut.records) == options["trials"] - 1
    resumed = make_search("cut", **options)
    resumed.run()
    assert sorted(resumed.story) == sorted(whole.story)


def test_a_scaling_design_is_trained_and_goes_on_where_it_was_cut_off(make_search):
    whole = make_search("whole", space=WIDE, sampler="scaling", trials=40)
    whole.run()
    jobs = [record.job for record in whole.records]
    assert len(jobs) == 40
    assert len({job.seed for job in jobs}) == 40
    assert {job.images for job in jobs} == {None, 500, 250, 125}  # of the 1,000 there are
    for record in whole.records:
        assert (record.values is None) == (record.job.images is not None)
    whole_trainings = [job.trial for job in jobs if job.images is None]
    seen = [outcome.number for outcome in History((3,)).of(whole.study)]
    assert seen == sorted(whole_trainings)  # samplers and beliefs overlook the others
    cut = make_search("cut", space=WIDE, sampler="scaling", trials=17)
    cut.run()
    cut = make_search("cut", space=WIDE, sampler="scaling", trials=40)
    cut.run()
    assert cut.story == whole.story
    trained = [(job.arch.key, job.images) for job in jobs]
    assert max(trained.count(each) for each in trained) == 2  # two seeds, on all images alone
