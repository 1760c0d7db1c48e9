"""The loop: stop rules, failures, pauses, budgets, what comes from outside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb, Herd, Watched, laboratory
from tunerl import checkpoints
from tunerl.control.ledger import replica_seeds
from tunerl.errors import InvalidConfig, InvalidSpec, MetricError, Problem
from tunerl.registry import AuthorSpec
from tunerl.runtime.base import Join, Leave, Save, Step
from tunerl.runtime.local import LocalRuntime
from tunerl.trial import ExperimentStatus, Reason, Status


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Makes experiments; closes their stores afterwards."""
    with laboratory(tmp_path) as make:
        yield make


def test_every_trial_runs_to_its_stop_rule_and_is_saved(run: Any) -> None:
    experiment = run()
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert [t.status for t in experiment.trials] == [Status.TERMINATED] * 3
    assert [t.reason for t in experiment.trials] == [Reason.STOP_RULE] * 3
    assert [t.objective for t in experiment.trials] == [3.0, 6.0, 9.0]
    saved = experiment.store.checkpoints(experiment.id)
    assert [(c.trial, c.iteration) for c in saved] == [(0, 3), (1, 3), (2, 3)]
    state, meta = checkpoints.load(f"{saved[2].uri}/0")
    assert meta["config"] == {"lr": 3.0}
    assert meta["trainable"] == "Climb"
    assert state.values["iteration"] == 3


def test_a_metric_reaching_its_limit_stops_and_nan_never_does(run: Any) -> None:
    def report(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        for i in range(6):
            yield {"score": math.nan if config["lr"] > 1 else float(i)}

    experiment = run(report, param_space={"lr": {"grid_search": [1.0, 2.0]}}, stop={"score": 2.0})
    experiment.run()
    first, second = experiment.trials
    assert (first.iteration, first.reason) == (3, Reason.STOP_RULE)
    assert (second.iteration, second.reason) == (6, Reason.DONE)
    assert math.isnan(second.objective)


def test_the_last_result_of_a_function_is_recorded_once(run: Any) -> None:
    def report(config: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield {"score": 1.0}
        yield {"score": 2.0}

    experiment = run(report, stop={}, param_space={}, num_samples=1)
    assert experiment.run() is ExperimentStatus.COMPLETED
    results = experiment.store.results(experiment.id)
    assert [(r.iteration, r.objective) for r in results] == [(1, 1.0), (2, 2.0)]


def test_replicas_are_averaged_and_kept(run: Any) -> None:
    experiment = run(num_seeds=3, aggregate="max")
    experiment.run(LocalRuntime(3))
    trial = experiment.trials[0]
    last = experiment.store.results(experiment.id, trial=0)[-1]
    assert [replica["seed"] for replica in last.replicas] == list(trial.seeds)
    assert last.metrics["seed"] == pytest.approx(sum(trial.seeds) / 3)
    assert last.iteration == 3
    assert trial.seeds == replica_seeds(0, 0, 3)
    assert len({*trial.seeds, *experiment.trials[1].seeds}) == 6


def test_replicas_in_packs_of_their_own_stay_in_step(run: Any) -> None:
    experiment = run(num_seeds=2, param_space={"lr": 1.0})
    runtime = Watched(slots=4)
    experiment.run(runtime)
    steps = sum(isinstance(order, Step) for sent in runtime.sent for order in sent)
    assert steps == 2 * 3


def test_more_seeds_than_places_are_refused_with_advice(run: Any) -> None:
    experiment = run(num_seeds=3)
    with pytest.raises(InvalidSpec, match="lower num_seeds to 2"):
        experiment.run(LocalRuntime(2))
    found = experiment.store.get_experiment(experiment.id)
    assert found.status is ExperimentStatus.ERROR
    assert "num_seeds" in found.reason


def test_resources_that_nobody_has_end_the_experiment_at_once(run: Any) -> None:
    class Nowhere(LocalRuntime):
        def slots(self, resources: dict[str, float]) -> int:
            return 0

    experiment = run()
    with pytest.raises(InvalidSpec, match="no node offers"):
        experiment.run(Nowhere())
    assert experiment.store.get_experiment(experiment.id).status is ExperimentStatus.ERROR


def test_a_paused_experiment_that_cannot_go_on_is_an_error_too(run: Any) -> None:
    experiment = run(num_seeds=2)
    controller = experiment.controller()
    controller.interrupt("paused")
    assert controller.run() is ExperimentStatus.PAUSED
    experiment.store.release(controller.lease)
    with pytest.raises(InvalidSpec, match="lower num_seeds to 1"):
        experiment.run(LocalRuntime(1))
    assert experiment.store.get_experiment(experiment.id).status is ExperimentStatus.ERROR


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "nested/scor"}, "nested/score"),
        ({"stop": {"nestd/score": 1.0}}, "nested/score"),
    ],
)
def test_a_metric_that_never_appears_is_an_error_with_the_nearest(
    run: Any, fields: dict[str, Any], message: str
) -> None:
    experiment = run(**fields)
    with pytest.raises(MetricError, match=message):
        experiment.run()
    found = experiment.store.get_experiment(experiment.id)
    assert found.status is ExperimentStatus.ERROR
    assert message in found.reason


class Fragile(Climb):
    """Fails in its third iteration, once for each process that has not been told otherwise."""

    failures: dict[int, int]

    def step(self) -> Mapping[str, Any]:
        left = type(self).failures.get(int(self.config["lr"]), 0)
        if self.iteration == 2 and left:
            type(self).failures[int(self.config["lr"])] = left - 1
            raise RuntimeError("the sky fell")
        return super().step()


def test_a_failure_is_retried_from_the_last_checkpoint(run: Any) -> None:
    Fragile.failures = {2: 1}
    experiment = run(Fragile, failure={"max_failures": 1}, checkpoint={"frequency": 1})
    runtime = Watched()
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert [t.objective for t in experiment.trials] == [3.0, 6.0, 9.0]
    assert [t.failures for t in experiment.trials] == [0, 1, 0]
    assert [t.attempt for t in experiment.trials] == [1, 2, 1]
    joins = [o for sent in runtime.sent for o in sent if isinstance(o, Join) and o.id.trial == 1]
    assert [join.checkpoint is None for join in joins] == [True, False]
    assert joins[1].checkpoint.endswith("checkpoint_000002/0")


def test_a_retry_without_checkpoint_records_nothing_twice(run: Any) -> None:
    Fragile.failures = {2: 1}
    experiment = run(Fragile, failure={"max_failures": -1})
    experiment.run()
    results = experiment.store.results(experiment.id, trial=1)
    assert [(r.iteration, r.attempt) for r in results] == [(1, 1), (2, 1), (3, 2)]


def test_too_many_failures_end_the_trial_alone_with_its_traceback(run: Any) -> None:
    Fragile.failures = {2: 2}
    experiment = run(Fragile, failure={"max_failures": 1})
    assert experiment.run() is ExperimentStatus.COMPLETED
    statuses = [t.status for t in experiment.trials]
    assert statuses == [Status.TERMINATED, Status.ERROR, Status.TERMINATED]
    assert "the sky fell" in experiment.trials[1].error
    assert "Traceback" in experiment.trials[1].error
    assert experiment.store.get_experiment(experiment.id).reason == "1 of 3 trials failed"


def test_fail_fast_ends_the_experiment(run: Any) -> None:
    Fragile.failures = {1: 1}
    experiment = run(Fragile, failure={"fail_fast": True}, max_concurrent_trials=1)
    assert experiment.run() is ExperimentStatus.ERROR
    assert experiment.trials[0].status is Status.ERROR
    assert "the sky fell" in experiment.store.get_experiment(experiment.id).reason


def test_an_experiment_of_failures_only_is_an_error(run: Any) -> None:
    Fragile.failures = {1: 1, 2: 1, 3: 1}
    experiment = run(Fragile)
    assert experiment.run() is ExperimentStatus.ERROR
    assert "all 3 trials failed" in experiment.store.get_experiment(experiment.id).reason


def test_a_lost_worker_is_not_the_trials_fault(run: Any) -> None:
    experiment = run(checkpoint={"frequency": 1})
    assert experiment.run(Watched(lose=[3])) is ExperimentStatus.COMPLETED
    assert [t.objective for t in experiment.trials] == [3.0, 6.0, 9.0]
    assert [t.failures for t in experiment.trials] == [0, 0, 0]
    assert sorted(t.attempt for t in experiment.trials) == [1, 1, 2]
    assert "pack.lost" in experiment.events


def test_workers_lost_again_and_again_are(run: Any) -> None:
    experiment = run(param_space={"lr": 1.0})
    assert experiment.run(Watched(lose=range(100))) is ExperimentStatus.ERROR
    (trial,) = experiment.trials
    assert trial.status is Status.ERROR
    assert "3 times in a row: the machine is on fire" in trial.error


def test_checkpoints_are_thinned_out_by_a_nested_score(run: Any) -> None:
    experiment = run(
        param_space={"lr": 1.0},
        stop={"training_iteration": 4},
        checkpoint={"frequency": 1, "num_to_keep": 2, "score_attribute": "nested/score"},
    )
    experiment.run()
    kept = experiment.store.checkpoints(experiment.id)
    assert [c.iteration for c in kept] == [1, 2, 4]  # the two best and the newest
    folders = Path(kept[0].uri).parent
    assert sorted(p.name for p in folders.iterdir()) == [f"checkpoint_{i:06d}" for i in (1, 2, 4)]


def test_a_pinned_checkpoint_stays(run: Any) -> None:
    experiment = run(
        param_space={"lr": 1.0},
        checkpoint={"frequency": 1, "num_to_keep": 1},
        stop={"training_iteration": 4},
    )

    class Pinning(Watched):
        def advance(self, pack: str, orders: Any) -> None:
            kept = experiment.store.checkpoints(experiment.id)
            if [(c.iteration, c.pins) for c in kept] == [(1, 0)]:
                experiment.store.pin(kept[0].id)
            super().advance(pack, orders)

    experiment.run(Pinning())
    assert [c.iteration for c in experiment.store.checkpoints(experiment.id)] == [1, 4]


def test_a_refused_configuration_fails_alone(run: Any) -> None:
    class Refusing(AuthorSpec):
        def resolve(self, config: dict[str, Any]) -> dict[str, Any]:
            if config["lr"] == config.get("width"):
                raise InvalidConfig(Problem("width", "must differ from lr"))
            return dict(config)

    spec = Refusing(Climb)
    space = {"lr": {"grid_search": [1.0, 2.0]}, "width": {"when": ["lr", [2.0], 2.0]}}
    experiment = run(spec, param_space=space)
    assert experiment.run() is ExperimentStatus.COMPLETED
    assert [t.status for t in experiment.trials] == [Status.TERMINATED, Status.ERROR]
    assert "must differ" in experiment.trials[1].error


def test_asha_promotion_pauses_with_a_checkpoint_and_resumes_from_it(run: Any) -> None:
    experiment = run(
        param_space={"lr": {"grid_search": [4.0, 3.0, 2.0, 1.0]}},
        stop={"training_iteration": 4},
        scheduler={"type": "asha", "variant": "promotion", "max_t": 4, "reduction_factor": 2},
    )
    runtime = Watched()
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert experiment.trials[0].iteration == 4
    assert {t.status for t in experiment.trials} == {Status.TERMINATED}
    resumed = [
        o for sent in runtime.sent for o in sent if isinstance(o, Join) and o.checkpoint is not None
    ]
    assert resumed
    results = experiment.store.results(experiment.id)
    assert len({(r.trial, r.iteration) for r in results}) == len(results)


def test_max_concurrent_trials_is_kept(run: Any) -> None:
    experiment = run(max_concurrent_trials=1)
    runtime = Watched(slots=3)
    experiment.run(runtime)
    seated: set[Any] = set()
    for sent in runtime.sent:
        for order in sent:
            if isinstance(order, Leave):
                seated.discard(order.id)
            elif isinstance(order, Join):
                seated.add(order.id)
            elif isinstance(order, Step):
                assert len(seated) <= 1


def test_a_trial_is_saved_before_it_leaves(run: Any) -> None:
    experiment = run(param_space={"lr": 1.0})
    runtime = Watched()
    experiment.run(runtime)
    kinds = [type(order) for order in runtime.sent[-1]]
    assert kinds == [Save, Leave]


def test_the_same_seed_gives_the_same_experiment(run: Any) -> None:
    first, second, other = (
        run(param_space={"lr": {"uniform": [0.0, 1.0]}}, num_samples=4, seed=seed)
        for seed in (3, 3, 4)
    )
    for experiment in (first, second, other):
        experiment.run()
    assert [t.config for t in first.trials] == [t.config for t in second.trials]
    assert [t.seeds for t in first.trials] == [t.seeds for t in second.trials]
    assert [t.config for t in first.trials] != [t.config for t in other.trials]


def test_trials_of_one_key_share_packs_evenly_and_join_in_mid_run(run: Any) -> None:
    experiment = run(
        Herd(),
        param_space={"lr": {"grid_search": [float(i) for i in range(10)]}},
        num_seeds=2,
        stop={"score": 6.0, "training_iteration": 6},
    )
    runtime = Watched(slots=2)
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    first, second = runtime.sent[:2]
    assert [sum(isinstance(o, Join) for o in sent) for sent in (first, second)] == [8, 8]
    assert [o.id.index for o in first if isinstance(o, Join)] == [0, 1] * 4
    later = [sent for sent in runtime.sent[2:] if any(isinstance(o, Join) for o in sent)]
    assert later
    assert any(isinstance(order, Leave) for order in later[0])
    assert [t.iteration for t in experiment.trials] == [6, 6, 3, 2, 2, 2, 1, 1, 1, 1]
    assert {t.status for t in experiment.trials} == {Status.TERMINATED}


def test_a_member_that_fails_leaves_its_neighbours_alone(run: Any) -> None:
    experiment = run(Herd(), param_space={"lr": {"grid_search": [1.0, -1.0, 2.0]}}, num_seeds=2)
    assert experiment.run() is ExperimentStatus.COMPLETED
    statuses = [t.status for t in experiment.trials]
    assert statuses == [Status.TERMINATED, Status.ERROR, Status.TERMINATED]
    assert [t.objective for t in experiment.trials if t.iteration == 3] == [3.0, 6.0]
