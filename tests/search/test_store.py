import sqlite3

import optuna
import pytest

from dnsearch.errors import RunError
from dnsearch.rundir import RunDir
from dnsearch.search.parameters import distributions
from dnsearch.search.store import SEARCH, StudyStore


def test_optunas_own_tools_read_the_study(make_search, tmp_path):
    search = make_search(trials=6)
    search.run()
    url = f"sqlite:///{tmp_path / 'run' / 'study.db'}"
    study = optuna.load_study(study_name="search", storage=url)
    frame = study.trials_dataframe()
    assert list(study.metric_names) == ["error", "macs"]
    assert len(frame[frame["state"] == "COMPLETE"]) == 6
    assert "params_growth_rate" in frame


def test_a_changed_score_is_found(make_search, tmp_path):
    search = make_search(trials=2)
    search.run()
    with sqlite3.connect(tmp_path / "run" / "study.db") as database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = replace(value_json, '0.', '0.0') "
            "WHERE key = 'score'"
        )
    with pytest.raises(RunError, match=r"study\.db: the score of trial \d+ does not match"):
        StudyStore(RunDir(tmp_path / "run"), read_only=True).records()


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "study.db").write_text("not a database, not at all")
    with pytest.raises(RunError, match=r"study\.db: cannot be used as Optuna storage: file is not"):
        StudyStore(RunDir(tmp_path))


def test_even_steps_keep_their_order_for_samplers(make_search):
    found = distributions(make_search().space)
    assert found["growth_rate"] == optuna.distributions.IntDistribution(2, 6, step=2)
    assert found["depth2"] == optuna.distributions.IntDistribution(1, 2)
    assert "compression" not in found


def test_uneven_choices_are_categories(make_search):
    space = "[space]\ngrowth_rate = [2, 3, 8]\nblock_config = [[1]]\ncompression = [0.5, 1.0]\n"
    found = distributions(make_search(space=space).space)
    assert found["growth_rate"] == optuna.distributions.CategoricalDistribution((2, 3, 8))
    assert found["compression"] == optuna.distributions.CategoricalDistribution((0.5, 1.0))


def test_importance_needs_enough_candidates(make_search):
    search = make_search(trials=9)
    search.run()
    assert search.store.logs[SEARCH].importance() == {}
    search = make_search(trials=20)
    search.run()
    shares = search.store.logs[SEARCH].importance()["error"]
    assert set(shares) == {"growth_rate", "depth1", "depth2", "bn_size"}
    assert sum(shares.values()) == pytest.approx(1)
