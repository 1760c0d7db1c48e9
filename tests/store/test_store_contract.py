"""What every store promises of experiments, ticks and checkpoints, on SQLite and PostgreSQL."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.store.helpers import SPEC, create, result, running
from tunerl.errors import Conflict, IdempotencyConflict, IllegalTransition, InvalidInput, NotFound
from tunerl.store import Store
from tunerl.store.records import Change, CheckpointRecord, Event, ResultRecord, Tick
from tunerl.store.tables import attempts
from tunerl.trial import ExperimentStatus, Reason, Status

NAN, INF = math.nan, math.inf


def same(left: Any, right: Any) -> bool:
    return repr(left) == repr(right)


def test_an_experiment_comes_back_as_it_was_created(store: Store) -> None:
    spec = {**SPEC, "stop": {"x": INF, "y": NAN}, "big": 2**127, "text": "ü \0 \ud800"}
    made = store.create_experiment(spec, "sweep", claimable=False)
    assert same(store.get_experiment(made.id).spec, spec)
    assert (made.name, made.status, made.claimable) == ("sweep", "PENDING", False)
    assert (made.reason, made.request, made.started_at, made.counts) == (None, None, None, {})
    assert made.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=1)


def test_a_name_finds_the_newest_and_an_id_wins(store: Store) -> None:
    first, second = create(store, "sweep"), create(store, "sweep")
    assert store.get_experiment("sweep").id == second.id
    third = create(store, first.id)
    assert store.get_experiment(first.id).id == first.id != third.id


def test_an_unknown_experiment_names_the_nearest(store: Store) -> None:
    create(store, "cartpole")
    with pytest.raises(NotFound, match="did you mean 'cartpole'"):
        store.get_experiment("cartpol")


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.trials("nil"),
        lambda store: store.trials("nil", sort="objective"),
        lambda store: store.trial("nil", 0),
        lambda store: store.results("nil"),
        lambda store: store.curve("nil", 0, "m"),
        lambda store: store.checkpoints("nil"),
        lambda store: store.events("nil"),
        lambda store: store.best("nil"),
        lambda store: store.counts("nil"),
        lambda store: store.steps("nil"),
        lambda store: store.set_request("nil", "cancel"),
        lambda store: store.delete_experiment("nil"),
        lambda store: store.acquire("nil", "me", 1),
        lambda store: store.pin(7),
    ],
)
def test_what_is_not_there_is_not_found(store: Store, ask: Any) -> None:
    with pytest.raises(NotFound):
        ask(store)


def test_experiments_are_listed_newest_first_in_pages(store: Store) -> None:
    ids = [create(store, f"e{n}").id for n in range(5)]
    seen, after = [], None
    while True:
        page, after = store.list_experiments(limit=2, after=after)
        seen += [entry.id for entry in page]
        if after is None:
            break
        create(store)  # what comes in meanwhile does not disturb
    assert seen == ids[::-1]


def test_experiments_are_listed_by_status_with_counts(store: Store) -> None:
    create(store)
    id, _ = running(store, trials=3)
    (found,), cursor = store.list_experiments(status="RUNNING")
    assert (found.id, found.counts, cursor) == (id, {"RUNNING": 3}, None)


@pytest.mark.parametrize("kw", [{"status": "RUNING"}, {"limit": 0}, {"after": "x"}])
def test_a_list_that_makes_no_sense_is_refused(store: Store, kw: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=str(next(iter(kw.values())))):
        store.list_experiments(**kw)


def test_the_same_key_and_request_give_the_first_experiment(store: Store) -> None:
    first = create(store, idempotency_key="k", request_hash="h")
    again = create(store, "other", idempotency_key="k", request_hash="h")
    assert again == first
    assert len(store.list_experiments()[0]) == 1
    with pytest.raises(IdempotencyConflict, match=first.id):
        create(store, idempotency_key="k", request_hash="another")


def test_a_tick_is_read_back_whole(store: Store) -> None:
    id, lease = running(store, trials=2)
    metrics = {"m": 1.5, "a/b": NAN, "c": -INF, "text": "x\0y", "none": None}
    metrics |= {"num_env_steps_sampled_lifetime": 300, "time_total_s": 2.5, "list": [1, {"d": INF}]}
    record = ResultRecord(1, 3, 1, metrics, 1.5, [{"m": 1.0}, {"m": NAN}])
    store.commit(
        lease,
        Tick(
            results=[record],
            changes=[Change(1, Status.ERROR, Reason.FAILURE, failures=1, error="Boom\0\ud800")],
            events=[Event("trial.error", "Boom", 1, {"x": NAN})],
        ),
    )
    (found,) = store.results(id)
    assert same(replace(found, id=0, created_at=None), record)
    assert found.created_at is not None
    assert found.created_at.tzinfo is UTC
    trial = store.trial(id, 1)
    assert (trial.config, trial.seeds, trial.experiment_id) == ({"lr": 0.1}, (1, 2), id)
    assert (trial.status, trial.reason) == (Status.ERROR, Reason.FAILURE)
    assert (trial.attempt, trial.failures, trial.error) == (1, 1, "Boom\\0\\ud800")
    assert (trial.iteration, trial.steps, trial.time_total_s) == (3, 300, 2.5)
    assert (trial.objective, trial.best_objective, trial.best_iteration) == (1.5, 1.5, 3)
    assert same(trial.last, metrics)
    assert same(trial.best, metrics)
    assert trial.started_at is not None
    assert trial.ended_at is not None
    (event,) = store.events(id)
    assert (event.kind, event.message, event.trial) == ("trial.error", "Boom", 1)
    assert same(event.data, {"x": NAN})
    assert store.events(id, after=event.id) == []
    assert store.counts(id) == {"RUNNING": 1, "ERROR": 1}
    assert store.steps(id) == 2 * 300


@pytest.mark.parametrize(
    ("mode", "objectives", "best", "at"),
    [
        ("max", [1.0, 3.0, 2.0], 3.0, 2),
        ("min", [1.0, 3.0, 2.0], 1.0, 1),
        ("max", [NAN, -INF, NAN], -INF, 2),
        ("min", [INF, NAN], INF, 1),
        ("max", [NAN, NAN], NAN, 1),
        ("max", [None, 2.0, None], 2.0, 2),
        ("max", [None], None, None),
        ("max", [2.0, 2.0], 2.0, 1),
    ],
)
def test_the_summary_follows_the_results(
    store: Store, mode: str, objectives: list[float | None], best: float | None, at: int | None
) -> None:
    id, lease = running(store, mode=mode)
    for iteration, objective in enumerate(objectives, start=1):
        store.commit(lease, Tick(results=[result(0, iteration, objective, at=iteration)]))
    trial = store.trial(id, 0)
    assert same(trial.objective, objectives[-1])
    assert same((trial.best_objective, trial.best_iteration), (best, at))
    assert trial.last["at"] == len(objectives)
    assert trial.best.get("at") == at


def test_a_tick_delivered_twice_does_no_harm(store: Store) -> None:
    id, lease = running(store)
    tick = Tick(
        new_trials=[(1, {"lr": 7}, (0,))],
        results=[result(0, 1, 5.0), result(0, 1, 9.0), result(0, 2, 4.0)],
        checkpoints=[CheckpointRecord(0, 2, "u", 1, "s")],
    )
    store.commit(lease, tick)
    store.commit(lease, replace(tick, results=[result(0, 1, 99.0), result(0, 2, 99.0)]))
    assert [found.objective for found in store.results(id)] == [5.0, 4.0]
    assert store.trial(id, 0).best_objective == 5.0
    assert store.trial(id, 1).config == {"lr": 7}
    assert len(store.checkpoints(id)) == 1


def test_a_late_result_counts_for_the_best_but_not_as_the_last(store: Store) -> None:
    id, lease = running(store)
    store.commit(lease, Tick(results=[result(0, 1, 1.0), result(0, 3, 2.0)]))
    store.commit(lease, Tick(results=[result(0, 2, 7.0)]))
    trial = store.trial(id, 0)
    assert (trial.iteration, trial.objective) == (3, 2.0)
    assert (trial.best_objective, trial.best_iteration) == (7.0, 2)


def test_results_keep_their_order_of_arrival_and_page(store: Store) -> None:
    id, lease = running(store, trials=3)
    order = [(2, 1), (0, 1), (1, 1), (2, 2), (0, 2)]
    for trial, iteration in order[:3]:
        store.commit(lease, Tick(results=[result(trial, iteration, 0.0)]))
    store.commit(lease, Tick(results=[result(*entry, 0.0) for entry in order[3:]]))
    found = store.results(id)
    assert [(entry.trial, entry.iteration) for entry in found] == order
    assert [entry.id for entry in found] == sorted(entry.id for entry in found)
    assert store.results(id, after=found[1].id, limit=2) == found[2:4]
    assert store.results(id, trial=2) == [found[0], found[3]]


def test_events_are_read_by_kind_and_experiments_by_their_origin(store: Store) -> None:
    id, lease = running(store)
    store.commit(lease, Tick(events=[Event("a", "1"), Event("b", "2"), Event("a", "3")]))
    assert [event.message for event in store.events(id, kind="a")] == ["1", "3"]
    assert store.events(id, kind="c") == []
    made = {**SPEC, "origin": {"kind": "confirm", "experiment": id}, "seed": math.inf}
    child = store.create_experiment(made, "child", claimable=True)
    create(store, "another")
    assert [each.id for each in store.list_experiments(origin=id)[0]] == [child.id]
    assert store.list_experiments(origin="nothing") == ([], None)


def test_objectives_and_replicas_come_without_the_other_metrics(store: Store) -> None:
    id, lease = running(store, trials=2)
    both = replace(result(1, 1, 5.0), replicas=[{"m": 4.0}, {"m": 6.0}])
    store.commit(lease, Tick(results=[result(0, 1, math.nan), both]))
    (first, second) = store.objectives(id)
    assert first[1:5] == (0, 1, 100, 2)
    assert math.isnan(first[5])
    assert second[1:] == (1, 1, 100, 2, 5.0)
    assert store.replicas(id, [first[0], second[0]]) == {
        first[0]: [],
        second[0]: [{"m": 4.0}, {"m": 6.0}],
    }
    with pytest.raises(NotFound):
        store.objectives("nothing")


def test_an_illegal_change_takes_the_whole_tick_with_it(store: Store) -> None:
    id, lease = running(store)
    store.commit(lease, Tick(changes=[Change(0, Status.TERMINATED, Reason.DONE)]))
    tick = Tick(results=[result(0, 1, 1.0)], changes=[Change(0, Status.PAUSED)])
    with pytest.raises(IllegalTransition, match="TERMINATED to PAUSED"):
        store.commit(lease, tick)
    assert store.results(id) == []
    assert store.trial(id, 0).status is Status.TERMINATED


def test_a_trial_that_was_never_created_is_refused(store: Store) -> None:
    id, lease = running(store)
    with pytest.raises(NotFound, match="no trial 5"):
        store.commit(lease, Tick(results=[result(0, 1, 1.0), result(5, 1, 1.0)]))
    assert store.results(id) == []


def test_none_in_a_change_leaves_a_column_as_it_is(store: Store) -> None:
    id, lease = running(store)
    change = Change(0, Status.RUNNING, failures=2, error="first", config={"lr": 9})
    store.commit(lease, Tick(changes=[change]))
    store.commit(lease, Tick(changes=[Change(0, Status.PAUSED, Reason.SCHEDULER)]))
    paused = store.trial(id, 0)
    assert (paused.attempt, paused.failures, paused.error) == (1, 2, "first")
    assert (paused.config, paused.reason) == ({"lr": 9}, Reason.SCHEDULER)
    store.commit(lease, Tick(changes=[Change(0, Status.PENDING, error="")]))
    pending = store.trial(id, 0)
    assert (pending.reason, pending.error, pending.failures) == (None, None, 2)


def test_each_attempt_has_a_row_with_its_end(store: Store) -> None:
    id, lease = running(store)
    back = Change(0, Status.PENDING, failures=1, error="lost")
    store.commit(lease, Tick(changes=[back, Change(0, Status.RUNNING, attempt=2)]))
    store.commit(lease, Tick(changes=[Change(0, Status.TERMINATED, Reason.STOP_RULE)]))
    query = sa.select(attempts).where(attempts.c.experiment_id == id).order_by("attempt")
    rows = store._database.read(lambda connection: connection.execute(query).all())
    assert [(row.attempt, row.status, row.owner) for row in rows] == [
        (1, "PENDING", "me"),
        (2, "TERMINATED", "me"),
    ]
    assert [row.reason for row in rows] == [None, "stop_rule"]
    assert rows[0].error == "lost"
    assert all(row.ended_at >= row.started_at for row in rows)


def test_checkpoints_are_listed_replaced_pinned_and_forgotten(store: Store) -> None:
    id, lease = running(store, trials=2)
    records = [
        CheckpointRecord(1, 4, "b", 20, "y", NAN),
        CheckpointRecord(0, 8, "c", 30, "z", None),
        CheckpointRecord(0, 2, "a", 10, "x", 1.5),
    ]
    store.commit(lease, Tick(checkpoints=records))
    found = store.checkpoints(id)
    assert [entry.uri for entry in found] == ["a", "c", "b"]
    assert same([entry.score for entry in found], [1.5, None, NAN])
    assert store.checkpoints(id, trial=1) == [found[2]] or same(
        store.checkpoints(id, trial=1), [found[2]]
    )
    store.pin(found[0].id)
    store.pin(found[0].id)
    store.unpin(found[0].id)
    store.commit(lease, Tick(checkpoints=[CheckpointRecord(0, 2, "a2", 11, "x2")]))
    (again, _) = store.checkpoints(id, trial=0)
    assert (again.uri, again.size, again.sha256, again.pins) == ("a2", 11, "x2", 1)
    store.unpin(again.id)
    store.unpin(again.id)
    assert store.checkpoints(id, trial=0)[0].pins == 0
    store.commit(lease, Tick(forgotten=["a2", "b", "unknown"]))
    assert [entry.uri for entry in store.checkpoints(id)] == ["c"]


def test_the_best_trial_is_that_of_the_best_result_among_those_that_did_not_fail(
    store: Store,
) -> None:
    id, lease = running(store, trials=5)
    assert store.best(id) is None
    values = [3.0, NAN, 9.0, 5.0, 5.0]
    store.commit(
        lease,
        Tick(
            results=[result(n, 1, value) for n, value in enumerate(values)],
            changes=[Change(2, Status.ERROR, Reason.FAILURE)],
        ),
    )
    best = store.best(id)
    assert best is not None
    assert (best.number, best.best_objective) == (3, 5.0)


def test_the_best_trial_under_min_is_the_lowest(store: Store) -> None:
    id, lease = running(store, trials=3, mode="min")
    store.commit(lease, Tick(results=[result(n, 1, v) for n, v in enumerate([NAN, 2.0, 1.0])]))
    best = store.best(id)
    assert best is not None
    assert best.number == 2


def test_deleting_forgets_everything_but_only_of_that_experiment(store: Store) -> None:
    (id, lease), (other, other_lease) = running(store), running(store)
    for held in (lease, other_lease):
        tick = Tick(results=[result(0, 1, 1.0)], events=[Event("x", "y")])
        store.commit(held, replace(tick, checkpoints=[CheckpointRecord(0, 1, "u", 1, "s")]))
    with pytest.raises(Conflict, match="running"):
        store.delete_experiment(id)
    store.release(lease)
    store.delete_experiment(id)
    with pytest.raises(NotFound):
        store.get_experiment(id)
    assert len(store.results(other)) == len(store.checkpoints(other)) == 1
    assert store.get_experiment(other).status is ExperimentStatus.RUNNING


def test_ping_answers_and_the_schema_has_a_version(store: Store) -> None:
    store.ping()
    assert store.schema_version() == "0001"
