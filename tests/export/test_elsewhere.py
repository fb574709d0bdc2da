"""What a node of a cluster says before it trains, and what cannot be trained on one."""

from __future__ import annotations

import pytest

from dnsearch.config import StudyConfig, override
from dnsearch.errors import ConfigError
from dnsearch.export.elsewhere import _seen, require_alone
from dnsearch.search.evaluators.node import versions


@pytest.fixture
def probe(tmp_path):
    path = tmp_path / "probe"
    path.write_text("probe")
    return path


def test_a_node_that_sees_all_has_nothing_to_say(probe, tmp_path):
    assert _seen(str(probe), [str(tmp_path)], versions()) == ""
    assert [*tmp_path.iterdir()] == [probe]


def test_a_node_tells_what_it_does_not_see(probe, tmp_path):
    other = {**versions(), "torch": "1.0"}
    assert _seen(str(probe), [], other).endswith("where this machine has 1.0")
    gone = tmp_path / "gone" / "probe"
    assert _seen(str(gone), [], versions()) == (
        f"cannot use {gone.parent} (No such file or directory); name one with --to that all nodes "
        "share"
    )
    assert _seen(str(probe), ["/nowhere"], versions()).startswith(
        "does not see data.path, /nowhere; move the images"
    )
    probe.write_text("of another one")
    told = _seen(str(probe), [], versions())
    assert told == f"has another folder at {tmp_path}; name one with --to that all nodes share"


def test_several_gpus_for_a_network_are_of_this_machine_alone():
    study = override(StudyConfig(), engine="ray")
    require_alone(study, 1)
    with pytest.raises(ConfigError, match=r"--gpus must be 1 with cluster\.engine 'ray'.*, got 2"):
        require_alone(study, 2)
