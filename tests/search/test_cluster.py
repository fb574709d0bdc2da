"""What a cluster is used for, by what it has; real ones are in tests/cluster."""

from __future__ import annotations

import pytest

from dnsearch.config import override, parse_study
from dnsearch.errors import ConfigError, MachineError
from dnsearch.search.cluster import ClusterPlan, RayWorkers, plan_of
from dnsearch.search.evaluators import node
from dnsearch.search.evaluators.node import PROBE, Trainee, versions


def planned(resources, has_bf16=True, monkeypatch=None, **values):
    return plan_of(override(parse_study(""), engine="ray", **values), resources)


@pytest.fixture(autouse=True)
def gpus_with_bf16(monkeypatch):
    monkeypatch.setattr("dnsearch.search.cluster.has_bf16", lambda: True)


@pytest.mark.parametrize(
    ("resources", "values", "expected"),
    [
        ({"CPU": 8}, {}, ClusterPlan(("cpu",) * 8, 1)),
        ({"CPU": 8}, {"cpus": 3}, ClusterPlan(("cpu",) * 2, 3)),
        ({"CPU": 8}, {"workers": 3}, ClusterPlan(("cpu",) * 3, 1)),
        ({"CPU": 8, "GPU": 2}, {}, ClusterPlan(("cuda:0",) * 2, 1, bf16=True)),
        ({"CPU": 8, "GPU": 2}, {"gpus": 0.25}, ClusterPlan(("cuda:0",) * 8, 1, bf16=True)),
        ({"CPU": 6, "GPU": 2}, {"gpus": 0.25}, ClusterPlan(("cuda:0",) * 6, 1, bf16=True)),
        ({"CPU": 8, "GPU": 2}, {"device": "cpu"}, ClusterPlan(("cpu",) * 8, 1)),
        ({}, {}, ClusterPlan(("cpu",), 1)),  # its nodes are still to come
    ],
)
def test_a_plan_fits_what_there_is(resources, values, expected):
    assert planned(resources, **values) == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"device": "cuda"}, "search.device must be a device of the cluster, which has no GPU"),
        ({"device": "cuda:1"}, "search.device must be auto, cpu or cuda on a cluster"),
        ({"storage_path": "here"}, "--storage-path must be an absolute path"),
        ({"gpus": 1.5}, "--gpus must be at most 1"),
        ({"sbatch": ["mem=3G"]}, "--sbatch must be options that begin with --"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused(values, reason):
    with pytest.raises(ConfigError, match=reason):
        planned({"CPU": 4}, **values)


def test_latency_is_not_measured_on_a_cluster():
    with pytest.raises(ConfigError, match="must be local where latency counts"):
        RayWorkers().plan(override(parse_study(""), engine="ray"), alone=True)


def test_memory_of_bf16_is_that_of_the_gpus_there():
    recipe = parse_study("").training
    fast, old = (ClusterPlan(("cuda:0",), 1, bf16=bf16) for bf16 in (True, False))
    assert (fast.activation_bytes(recipe), old.activation_bytes(recipe)) == (2, 4)
    assert fast.activation_bytes(recipe.model_copy(update={"precision": "fp32"})) == 4
    assert old.activation_bytes(recipe.model_copy(update={"precision": "bf16"})) == 2
    assert ClusterPlan(("cpu",), 1, bf16=True).activation_bytes(recipe) == 4


def test_where_trainings_run_is_no_part_of_a_study():
    """A run may go on elsewhere."""
    from dnsearch.config import changed_keys

    study = parse_study("")
    assert changed_keys(study, override(study, engine="ray", address="a:1", gpus=0.5)) == []


def test_a_node_of_other_versions_or_without_the_shared_folder_says_so(tmp_path):
    (tmp_path / PROBE).write_text("sign")
    wrong = versions() | {"torch": "1.0"}
    for needed, storage, sign, reason in (
        (wrong, None, "", "where the search has 1.0"),
        (versions(), tmp_path, "other", "has another folder"),
        (versions(), tmp_path / "none", "", "cannot use cluster.storage_path .*: No such file"),
    ):
        with pytest.raises(MachineError, match=reason):
            Trainee().warm_up(None, "cpu", None, needed, storage, sign)


def test_folders_of_killed_actors_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(node.tempfile, "tempdir", str(tmp_path))
    left, other = tmp_path / "dnsearch-training-999999999-x", tmp_path / "dnsearch-training-1-x"
    left.mkdir()
    other.mkdir()  # of process 1, which lives
    with node._folder(None) as folder:
        assert folder.is_dir()
        assert not left.exists()
        assert other.exists()
    assert not folder.exists()
