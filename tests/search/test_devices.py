import pytest

from dnsearch.config import SearchConfig, TrainingConfig
from dnsearch.machine import cpu_cores
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


def test_bf16_on_a_cpu_is_told_of(monkeypatch):
    monkeypatch.setattr(devices, "build", lambda: pytest.fail("bf16 does without"))
    recipe = TrainingConfig(precision="bf16")
    (note,) = Plan(("cpu",), 1).compile_kernels(recipe)
    assert 'training.precision = "auto" is fp32 on CPUs' in note
    assert Plan(("cuda:0",), 1).compile_kernels(recipe) == []


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (TrainingConfig(), True),
        (TrainingConfig(kernels="cpu"), True),
        (TrainingConfig(kernels="reference"), False),
    ],
)
def test_a_missing_compiler_is_told_of(monkeypatch, recipe, told):
    monkeypatch.setenv("CXX", "no-such-compiler")
    notes = Plan(("cpu",), 1).compile_kernels(recipe)
    assert [note for note in notes if "no C++ compiler 'no-such-compiler'" in note] == notes
    assert bool(notes) == told
    assert Plan(("cuda:0",), 1).compile_kernels(recipe) == []


@pytest.fixture
def gpus(monkeypatch):
    """A machine with two GPUs of 80 GB, sixteen cores, and NVIDIA's service."""
    monkeypatch.setattr(devices, "_gpus", lambda named: ["cuda:0", "cuda:1"])
    monkeypatch.setattr(devices, "cpu_cores", lambda: 16)
    monkeypatch.setattr(devices.mps, "available", lambda: True)
    monkeypatch.setattr("dnsearch.cost.device.device_memory", lambda device: 80 << 30)


def test_gpus_are_shared_where_that_is_possible(gpus, monkeypatch):
    assert plan_workers(SearchConfig()) == Plan(("cuda:0", "cuda:1") * 4, 2)
    assert plan_workers(SearchConfig(workers=3)).devices == ("cuda:0", "cuda:1", "cuda:0")
    assert plan_workers(SearchConfig(), alone=True) == Plan(("cuda:0",), 16)
    assert plan_workers(SearchConfig(device="cuda:1")) == Plan(("cuda:1",) * 4, 4)
    monkeypatch.setattr(devices.mps, "available", lambda: False)
    assert plan_workers(SearchConfig()) == Plan(("cuda:0", "cuda:1"), 8)


@pytest.mark.parametrize(("gigabytes", "each"), [(1, 4), (20, 2), (26, 2), (27, 1), (200, 1)])
def test_no_more_share_a_gpu_than_its_memory_holds(gpus, gigabytes, each):
    """Each takes 1.5 times what is predicted, and 1 GB by itself; one always tries."""
    plan = plan_workers(SearchConfig()).within_memory(gigabytes << 30)
    assert plan == Plan(("cuda:0", "cuda:1") * each, 16 // (2 * each))
    cpu = Plan(("cpu",) * 4, 1)
    assert cpu.within_memory(1 << 50) == cpu
