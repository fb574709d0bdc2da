import pytest

from dnsearch.config import SearchConfig, TrainingConfig
from dnsearch.rundir import cpu_cores
from dnsearch.search import devices
from dnsearch.search.devices import Plan, plan_workers


def test_a_cpu_gets_one_worker_of_one_thread_a_core():
    plan = plan_workers(SearchConfig(device="cpu"))
    assert plan == Plan(("cpu",) * min(cpu_cores(), 8), max(1, cpu_cores() // 8))


def test_latency_is_measured_by_one_worker_alone():
    assert len(plan_workers(SearchConfig(device="cpu"), alone=True).devices) == 1


def test_too_many_workers_are_told_of(monkeypatch):
    monkeypatch.setattr(devices, "build", lambda: pytest.fail("notes must not compile"))
    assert Plan(("cpu",) * cpu_cores(), 1).notes() == []
    (note,) = Plan(("cpu",) * (cpu_cores() + 3), 1).notes()
    assert note.startswith(f"{cpu_cores() + 3} workers share {cpu_cores()} cores; --workers")


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (TrainingConfig(), True),
        (TrainingConfig(kernels="cpu"), True),
        (TrainingConfig(kernels="reference"), False),
        (TrainingConfig(precision="bf16"), False),
    ],
)
def test_a_missing_compiler_is_told_of(monkeypatch, recipe, told):
    monkeypatch.setenv("CXX", "no-such-compiler")
    notes = Plan(("cpu",), 1).compile_kernels(recipe)
    assert [note for note in notes if "no C++ compiler 'no-such-compiler'" in note] == notes
    assert bool(notes) == told
    assert Plan(("cuda:0",), 1).compile_kernels(recipe) == []
