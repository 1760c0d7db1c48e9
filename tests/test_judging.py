"""Leaders on fresh seeds, a baseline of the same budget, importances, the front, warm starts."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

import tunerl.space as sp
from tests.support.runs import Climb, laboratory
from tunerl import (
    CombinedStopper,
    ExperimentPlateauStopper,
    RunConfig,
    TimeoutStopper,
    Trainable,
    TrialPlateauStopper,
    TuneConfig,
    Tuner,
    judging,
    spec,
)
from tunerl.control.earlier import LEARNED, check_warm_start
from tunerl.errors import InvalidInput, InvalidSpec, NotFound
from tunerl.results import ResultGrid
from tunerl.results.confirmation import Confirmation
from tunerl.results.pareto import front
from tunerl.runtime.local import LocalRuntime
from tunerl.store import Store


class Noisy(Trainable):
    """The score is ``x``, and noise of the seed; ``cost`` is its square, ``idle`` does nothing."""

    def setup(self, config):
        self.noise = random.Random(self.seed).gauss(0, 0.1)

    def step(self):
        x = self.config["x"]
        return {"score": x + self.noise, "cost": x * x, "bad": math.nan if x > 0.9 else x}


SPACE = {"x": sp.uniform(0, 1), "idle": sp.uniform(0, 1)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('judging') / 'tunerl.db'}")
    yield store
    store.close()


def tuner(store, tmp_path, name, target=Noisy, space=SPACE, **tune):
    given = {"metric": "score", "mode": "max", "num_samples": 12, "num_seeds": 2, **tune}
    run = RunConfig(
        name=name,
        storage_path=tmp_path,
        store=store,
        runtime=LocalRuntime(3),
        verbose=0,
        stop={"training_iteration": 2},
    )
    return Tuner(target, param_space=space, tune_config=TuneConfig(**given), run_config=run)


@pytest.fixture(scope="module")
def swept(store, tmp_path_factory):
    made = tuner(store, tmp_path_factory.mktemp("swept"), "swept")
    return made, made.fit()


@pytest.fixture(scope="module")
def confirmed(swept):
    return swept[0].confirm(top_k=3, seeds=6)


def test_leaders_are_ranked_on_fresh_seeds_alone(swept, confirmed):
    _, results = swept
    tuned = {seed for result in results for seed in result.seeds}
    assert len(confirmed.seeds) == 6
    assert not tuned & set(confirmed.seeds)
    by_tuning = sorted(results, key=lambda result: -result.metrics["score"])[:3]
    assert {leader.trial for leader in confirmed.ranking} == {result.trial for result in by_tuning}
    noise = [random.Random(seed).gauss(0, 0.1) for seed in confirmed.seeds]
    for leader in confirmed.ranking:
        assert leader.config == results[leader.trial].config
        assert leader.values == pytest.approx([leader.config["x"] + each for each in noise])
        assert leader.iqm == pytest.approx(scipy.stats.trim_mean(leader.values, 0.25))
        assert leader.low <= leader.iqm <= leader.high
        assert leader.tuned == results[leader.trial].metrics["score"]
    assert [leader.iqm for leader in confirmed.ranking] == sorted(
        (leader.iqm for leader in confirmed.ranking), reverse=True
    )


def test_a_notebook_shows_the_ranking_as_a_table(confirmed):
    html = confirmed._repr_html_()
    first = confirmed.ranking[0]
    assert f">{first.iqm:.5g}<" in html
    assert f"{first.low:.5g} … {first.high:.5g}" in html
    assert html.count("<tr>") == 1 + len(confirmed.ranking)
    assert f"{len(confirmed.seeds)} fresh seeds" in html


def test_the_improvement_over_the_runner_up_is_mann_whitneys(confirmed):
    first, second, third = confirmed.ranking
    u = scipy.stats.mannwhitneyu(first.values, second.values).statistic
    assert first.improvement == pytest.approx(u / 36)
    assert first.improvement_low <= first.improvement <= first.improvement_high
    assert math.isnan(third.improvement)


def test_a_confirmation_is_an_experiment_of_its_own_linked_to_the_first(store, swept, confirmed):
    parent, child = swept[1], confirmed.results
    assert child.spec["origin"] == {
        "kind": "confirm",
        "experiment": parent.experiment_id,
        "trials": child.spec["origin"]["trials"],
        "tuning_seeds": 24,
    }
    assert child.spec["name"] == "swept-confirm"
    assert [seed for result in child for seed in result.seeds] == 3 * confirmed.seeds
    again = Confirmation(store, child.experiment_id)
    assert again.best == confirmed.best
    frame = again.get_dataframe()
    assert list(frame["rank"]) == [1, 2, 3]
    assert frame["config/x"][0] == again.best.config["x"]
    assert "1. trial" in repr(again)
    with pytest.raises(InvalidInput, match="is no confirmation"):
        Confirmation(store, parent.experiment_id)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"seeds": []}, "different whole numbers"),
        ({"seeds": 0}, "0 given"),
        ({"top_k": 0}, "top_k: 0 given"),
        ({"scope": "avg"}, "scope: 'avg' given"),
    ],
)
def test_impossible_confirmations_are_refused(swept, arguments, message):
    with pytest.raises(InvalidSpec, match=message):
        swept[0].confirm(**arguments)


def test_seeds_that_were_tuned_on_are_refused(store, swept):
    seed = swept[1][3].seeds[0]
    with pytest.raises(InvalidSpec, match=f"seeds: .{seed}. were tuned on"):
        swept[0].confirm(seeds=[5, seed])
    parent = store.get_experiment(swept[1].experiment_id)
    assert judging.confirmation(store, parent, seeds=[5, 6]).seeds == (5, 6)


def test_nothing_is_confirmed_before_anything_ran(store, tmp_path):
    with pytest.raises(NotFound, match="call fit"):
        tuner(store, tmp_path, "unborn").confirm()
    with pytest.raises(NotFound, match="call fit"):
        tuner(store, tmp_path, "unborn").baseline()


def test_a_leader_whose_run_failed_comes_last(store, tmp_path):
    class Fragile(Noisy):
        def step(self):
            if self.config["x"] > 0.5 and self.seed < 100:
                raise ValueError("fragile")
            return super().step()

    made = tuner(store, tmp_path, "fragile", Fragile, {"x": sp.grid_search([0.2, 0.8])},
                 num_samples=1)  # fmt: skip
    made.fit()
    first, last = made.confirm(top_k=2, seeds=[1, 2, 3]).ranking
    assert (first.config["x"], last.config["x"]) == (0.2, 0.8)
    assert math.isnan(last.iqm)
    assert math.isnan(first.improvement)


class Plateau(TrialPlateauStopper):
    """One of a user's own, which ends the experiment, too, once it has ended a trial."""

    ended = False

    def __call__(self, trial_id, result):
        ends = super().__call__(trial_id, result)
        self.ended = self.ended or ends
        return ends

    def stop_all(self):
        return self.ended


@pytest.mark.parametrize("around", [lambda own: own, lambda own: CombinedStopper(own)])
def test_a_confirmation_keeps_of_a_stopper_what_ends_trials_and_begins_with_a_fresh_one(
    store, tmp_path, around
):
    made = tuner(store, tmp_path, "plateau", num_seeds=1, num_samples=3)
    config = replace(made._run_config, stop=around(Plateau("score", num_results=3, grace_period=3)))
    made = Tuner(
        Noisy, param_space=SPACE, tune_config=TuneConfig("score", "max"), run_config=config
    )
    made.fit()
    found = made.confirm(top_k=1, seeds=[1, 2, 3]).results
    assert [run.metrics["training_iteration"] for run in found] == [3, 3, 3]


def test_of_a_whole_experiments_stopper_a_confirmation_keeps_nothing():
    both = CombinedStopper(ExperimentPlateauStopper("score", top=2), TimeoutStopper(1e-9))
    kept = judging.stop_of_trials(both)
    assert not any(kept("00000", {"score": 1.0}) or kept.stop_all() for _ in range(5))


def test_without_a_stop_rule_the_schedulers_length_counts(store, tmp_path):
    halving = {"type": "asha", "max_t": 4, "grace_period": 1, "reduction_factor": 2}
    given = spec.from_json(
        {"trainable": "t", "param_space": {}, "scheduler": halving, "stop": {"score": 3}}
    )
    assert judging._full_length(given, []) == {"score": 3, "training_iteration": 4}


def test_the_baseline_spends_the_same_budget_at_random(store, tmp_path):
    halving = {"type": "asha", "max_t": 4, "grace_period": 1, "reduction_factor": 2}
    space = {"x": sp.uniform(0, 1), "kind": sp.grid_search([1, 2])}
    made = tuner(store, tmp_path, "halved", space=space, num_samples=8, scheduler=halving)
    made._spec = spec.check({**made._spec.to_json(), "stop": {"training_iteration": 4}},
                            made._trainable)  # fmt: skip
    parent = made.fit()
    child = made.baseline()
    spent = sum(result.metrics["training_iteration"] for result in parent)
    assert spent < 16 * 4
    assert child.spec["origin"] == {
        "kind": "baseline", "experiment": parent.experiment_id, "budget": spent,
        "unit": "iterations",
    }  # fmt: skip
    assert len(child) == round(spent / 4)
    assert all(result.metrics["training_iteration"] == 4 for result in child)
    assert {result.config["kind"] for result in child} == {1, 2}
    seen = {result.config["x"] for result in parent}
    assert not seen & {result.config["x"] for result in child}


def test_importance_finds_what_matters_and_says_how_sure_it_is(store, tmp_path):
    results = tuner(store, tmp_path, "important", num_samples=60, num_seeds=1).fit()
    for evaluator, resamples in (("ped-anova", 10), ("fanova", 2)):
        found = results.importance(evaluator=evaluator, resamples=resamples, seed=1)
        assert list(found["parameter"]) == ["x", "idle"]
        assert found["importance"].sum() == pytest.approx(1)
        assert found["importance"][0] > 0.75
        assert (found["low"] <= found["high"]).all()
        assert found["low"][0] > found["high"][1]
        again = results.importance(evaluator=evaluator, resamples=0, seed=1)
        assert list(found["importance"]) == list(again["importance"])
    assert np.isnan(results.importance(resamples=0)["low"]).all()
    assert results.importance("cost", resamples=0)["parameter"][0] == "x"


def test_importances_that_cannot_be_are_refused(swept):
    with pytest.raises(InvalidInput, match="did you mean 'fanova'"):
        swept[1].importance(evaluator="fanov")
    with pytest.raises(InvalidInput, match="there are 0"):
        swept[1].importance("nothing")


def test_the_front_is_who_is_beaten_by_nobody():
    rows = [[1, 1], [2, 2], [1, 1], [3, 0], [0, 0], [0, 5]]
    assert front(rows, ["max", "max"]) == [1, 3, 5]
    assert front(rows, ["min", "min"]) == [4]
    assert front([[1, 1], [1, 1]], ["min", "max"]) == [0, 1]
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1200, 3))
    kept = front(values, ["min"] * 3)
    slow = [
        i for i, row in enumerate(values)
        if not ((values <= row).all(1) & (values < row).any(1)).any()
    ]  # fmt: skip
    assert kept == slow
    with pytest.raises(InvalidInput, match="mode is 'most'"):
        front(rows, ["most", "max"])


def test_a_sweep_of_several_objectives_ends_with_its_front(store, tmp_path):
    search = {"type": "optuna", "sampler": {"name": "nsgaii", "population_size": 4},
              "constraints": {"cost": "<= 0.5"}}  # fmt: skip
    made = tuner(store, tmp_path, "pareto", metric=["score", "cost"], mode=["max", "min"],
                 search_alg=search, num_seeds=1)  # fmt: skip
    results = made.fit()
    assert results.objectives == {"score": "max", "cost": "min"}
    kept = results.get_pareto_front()
    assert kept
    assert all(result.metrics["cost"] <= 0.5 for result in kept)
    free = results.get_pareto_front(constraints={})
    assert {result.trial for result in kept} <= {result.trial for result in free}
    bad = results.get_pareto_front(["bad"], ["max"], {})
    assert len(bad) == 1
    assert bad[0].config["x"] <= 0.9
    with pytest.raises(InvalidInput, match="2 metrics and 1 modes"):
        results.get_pareto_front(["a", "b"], ["max"])


def test_each_objective_is_aggregated_over_the_replicas(store, tmp_path):
    results = tuner(store, tmp_path, "worst", metric=["score", "cost"], mode=["max", "min"],
                    aggregate="min", num_seeds=3, num_samples=2).fit()  # fmt: skip
    for result in results:
        assert result.metrics["score"] == min(replica["score"] for replica in result.replicas)


def test_a_warm_start_knows_the_earlier_trials(store, tmp_path, swept):
    search = {"type": "optuna", "sampler": {"name": "tpe", "n_startup_trials": 12}}
    cold = tuner(store, tmp_path, "cold", search_alg=search, num_samples=3).fit()
    made = tuner(store, tmp_path, "warm", search_alg=search, num_samples=3, warm_start="swept")
    warm = made.fit()
    assert warm[0].config != cold[0].config
    (event,) = [e for e in store.events(warm.experiment_id) if e.kind == LEARNED]
    assert event.data["experiment"] == swept[1].experiment_id
    assert len(event.data["trials"]) == 12
    overlap = judging.tuning_seeds(store, warm.experiment_id)
    assert {seed for result in swept[1] for seed in result.seeds} <= overlap


def test_a_warm_start_that_cannot_be_is_refused(store, tmp_path, swept):
    search = {"type": "optuna"}
    with pytest.raises(InvalidSpec, match=r"warm_start.0.: no experiment"):
        tuner(store, tmp_path, "lost", search_alg=search, warm_start="nowhere").fit()
    with pytest.raises(InvalidSpec, match="random does not learn from earlier"):
        tuner(store, tmp_path, "deaf", warm_start="swept")
    other = tuner(store, tmp_path, "other", search_alg=search, metric="cost", warm_start="swept")
    with pytest.raises(InvalidSpec, match=r"was after .*score"):
        check_warm_start(store, other._spec)


def test_warm_started_and_killed_it_goes_on_as_it_would_have(tmp_path):
    """What was learned is pinned: the earlier experiment may grow meanwhile."""
    with laboratory(tmp_path) as make:
        fields = {
            "param_space": {"lr": {"uniform": [0.0, 1.0]}},
            "searcher": {"type": "optuna", "sampler": {"name": "tpe", "n_startup_trials": 3}},
        }

        def configs(kill):
            first = make(Climb, num_samples=5, **fields)
            first.run()
            second = type(first)(first.home, Climb, num_samples=6, warm_start=[first.id], **fields)
            if kill:
                controller = second.controller()
                controller._watch = lambda heart: (
                    (controller.interrupt("killed") if controller._ledger.results > 4 else None)
                    or type(controller)._watch(controller, heart)
                )
                controller.run()
                second.store.release(controller.lease)
                first.store.create_experiment(first.spec.to_json(), "test", claimable=False)
            second.run()
            found = [trial.config for trial in second.trials]
            second.store.close()
            return found

        assert configs(False) == configs(True)


def test_the_store_keeps_objectives_and_origin_as_json(swept, confirmed):
    for results in (swept[1], confirmed.results):
        assert json.loads(json.dumps(results.spec)) == results.spec
        assert spec.from_json(results.spec).to_json().keys() == results.spec.keys()
    assert isinstance(confirmed.results, ResultGrid)
