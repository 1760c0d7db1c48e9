"""Short trials that go out together: the same sweep in fewer words, whatever befalls one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb, Watched, laboratory
from tunerl import registry
from tunerl import spec as specs
from tunerl.author.face import Trainable
from tunerl.control import relays
from tunerl.runtime.base import Join, Lost, Order, Relay, Report, Step
from tunerl.runtime.host import PackHost
from tunerl.runtime.local import LocalRuntime
from tunerl.runtime.ray import RayRuntime
from tunerl.trial import ExperimentStatus, ReplicaId, Status

IDS = [ReplicaId(trial, 0) for trial in range(5)]
LONG_S = 4.0


def once(config: dict[str, Any]) -> dict[str, float]:
    """Over with its first result; where it is told to, it fails, sleeps or calls."""
    if config["lr"] < 0:
        raise ValueError("negative")
    time.sleep(config.get("sleep", 0.0))
    return {"score": config["lr"]}


class Some(Trainable):
    """Over after ``config["lr"]`` iterations."""

    def step(self) -> dict[str, Any]:
        return {"score": self.config["lr"], "done": self.iteration + 1 >= self.config["lr"]}


class Together(Watched):
    """A runtime that relays, on which the worker dies that trial `deadly` comes to."""

    relays = True

    def __init__(self, slots: int = 2, deadly: int = -1) -> None:
        super().__init__(slots)
        self.ordered, self._deadly = False, deadly
        self.most_open = 0  # packs at once
        self.deaths: list[int] = []

    def advance(self, pack: str, orders: Sequence[Order]) -> None:
        super().advance(pack, orders)
        self.most_open = max(self.most_open, len(self._queue))

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        if self._queue:
            pack, orders = self._queue[0]
            joins = joined(orders)
            if self._deadly in joins:
                self._queue.popleft()
                self.deaths.append(len(joins))
                self.close(pack)
                return [Lost(pack, "it fell over")]
        return super().wait(timeout)


def joined(orders: Sequence[Order]) -> list[int]:
    """The trials that an advance begins."""
    joins = [order for order in orders if isinstance(order, Join)]
    behind = [join for order in orders if isinstance(order, Relay) for join in order.joins]
    return [join.id.trial for join in joins + behind]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with laboratory(tmp_path) as make:
        yield make


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(relays, "SECONDS", 60.0)


def relay(lrs: Sequence[float], target: Any = once, seconds: float = 60.0) -> tuple[Any, Report]:
    """A host and what it says of trials 0, 1, ... that are sent together."""
    host = PackHost(registry.trainable(target), {})
    first, *others = [Join(id, {"lr": lr}, 7) for id, lr in zip(IDS, lrs, strict=False)]
    return host, host.execute("p", [first, Step(), Relay(tuple(others), seconds)])


def test_whoever_ends_makes_room_for_the_next() -> None:
    host, report = relay([1.0, 2.0, 3.0])
    assert [metrics["score"] for metrics in report.results.values()] == [1.0, 2.0, 3.0]
    assert (report.left, report.waiting) == (IDS[:2], [])
    assert host.execute("p", [Step()]).results.keys() == {IDS[2]}  # the last one keeps its place


def test_whoever_goes_on_keeps_its_place_and_the_rest_have_no_turn() -> None:
    host, report = relay([1.0, 3.0, 1.0, 1.0], Some)
    assert report.results.keys() == {*IDS[:2]}
    assert (report.left, report.waiting) == (IDS[:1], IDS[2:4])
    assert host.execute("p", [Step()]).results[IDS[1]]["training_iteration"] == 2


def test_whoever_asks_to_be_saved_keeps_its_place() -> None:
    def saved(config: dict[str, Any]) -> dict[str, Any]:
        return {"score": 1.0, "should_checkpoint": True}

    class Saved(Trainable):
        def step(self) -> dict[str, Any]:
            return saved(self.config) | {"done": True}

    assert relay([1.0, 1.0], Saved)[1].waiting == [IDS[1]]


def test_whoever_fails_makes_room_too() -> None:
    report = relay([1.0, -1.0, 3.0])[1]
    assert report.failures.keys() == {IDS[1]}
    assert report.results.keys() == {IDS[0], IDS[2]}


def test_results_are_not_kept_back_for_long() -> None:
    report = relay([1.0, 2.0], seconds=0.0)[1]
    assert (list(report.results), report.waiting) == (IDS[:1], IDS[1:2])


def test_a_relay_is_broken_off_while_somebody_takes_long() -> None:
    begun, go = threading.Event(), threading.Event()

    class Long(Trainable):
        def step(self) -> dict[str, Any]:
            begun.set()
            go.wait(30)
            return {"score": 1.0, "done": True}

    host = PackHost(registry.trainable(Long), {})
    joins = [Join(id, {}, 7) for id in IDS]
    orders = [joins[0], Step(), Relay(tuple(joins[1:]), 60.0)]
    reports: list[Report] = []
    go.set()
    worker = threading.Thread(target=lambda: reports.append(host.execute("p", orders)))
    host._step = _pausing(host, after=2, go=go, begun=begun)  # type: ignore[method-assign]
    worker.start()
    assert begun.wait(30)
    far = host.break_off()
    assert (list(far.results), far.left, far.waiting) == (IDS[:1], IDS[:1], IDS[2:])
    go.set()
    worker.join(30)
    assert list(reports[0].results) == IDS[:2]
    assert reports[0].waiting == IDS[2:]


def _pausing(host: PackHost, *, after: int, go: threading.Event, begun: threading.Event) -> Any:
    """The host's step, which waits the `after`-th time."""
    step, count = host._step, 0

    def paused(report: Report) -> None:
        nonlocal count
        count += 1
        if count == after:
            begun.clear()
            go.clear()
        step(report)

    return paused


def test_a_sweep_of_short_trials_is_the_same_in_fewer_words(run: Any) -> None:
    space = {"lr": {"grid_search": [float(n) for n in range(100)]}}
    plain, short, runtime = run(once, param_space=space), run(once, param_space=space), Together()
    assert plain.run(Watched(2)) is ExperimentStatus.COMPLETED
    assert short.run(runtime) is ExperimentStatus.COMPLETED
    seen = [
        [(t.number, t.config, t.status, t.attempt, t.objective) for t in each.trials]
        for each in (plain, short)
    ]
    assert seen[0] == seen[1]
    assert len(runtime.sent) < 25
    assert max(len(joined(orders)) for orders in runtime.sent) <= relays.MOST


def test_trials_of_all_lengths_lose_nothing(run: Any) -> None:
    lengths = [3.0 if n % 10 == 7 else 1.0 for n in range(60)]
    experiment = run(Some, param_space={"lr": {"grid_search": lengths}}, stop={})
    assert experiment.run(Together()) is ExperimentStatus.COMPLETED
    found = [(t.status, t.failures, t.iteration) for t in experiment.trials]
    assert found == [(Status.TERMINATED, 0, int(length)) for length in lengths]


def test_of_those_that_went_out_together_only_the_guilty_one_fails(run: Any) -> None:
    space = {"lr": {"grid_search": [float(n) for n in range(40)]}}
    experiment, runtime = run(once, param_space=space), Together(deadly=20)
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert runtime.deaths[0] > 1
    assert set(runtime.deaths[1:]) == {1}  # once its worker has died it goes out alone
    for trial in experiment.trials:
        failed = trial.number == 20
        assert trial.status is (Status.ERROR if failed else Status.TERMINATED)
        assert trial.failures == 0


def test_no_more_run_at_once_than_wanted_however_many_wait_behind_them(run: Any) -> None:
    space = {"lr": {"grid_search": [float(n) for n in range(100)]}}
    experiment, runtime = run(once, param_space=space, max_concurrent_trials=2), Together(4)
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert runtime.most_open == 2
    assert len(runtime.sent) < 25
    assert [t.status for t in experiment.trials] == [Status.TERMINATED] * 100


@pytest.mark.parametrize(
    "fields",
    [{"checkpoint": {"frequency": 1}}, {"checkpoint": {"at_end": True}},
     {"failure": {"fail_fast": True}}],
)  # fmt: skip
def test_they_go_out_one_by_one_where_something_is_to_be_done_between(fields: Any) -> None:
    trainable = registry.trainable(once)
    given = {"trainable": trainable.name, "metric": "score", "mode": "max", "param_space": {}}
    plain = specs.check(given, trainable, specs.Custom())
    assert relays.possible(plain, trainable, Together())
    assert not relays.possible(plain, trainable, LocalRuntime(1))
    assert not relays.possible(plain, registry.trainable(Climb), Together())  # it can be saved
    assert not relays.possible(specs.check(given | fields, trainable, specs.Custom()), trainable,
                               Together())  # fmt: skip


def test_nobody_waits_long_behind_one_that_takes_long(run: Any, ray_runtime: RayRuntime) -> None:
    sleeps = [LONG_S if n == 40 else 0.0 for n in range(80)]
    space = {"lr": 1.0, "sleep": {"grid_search": sleeps}}
    experiment = run(once, param_space=space)
    assert experiment.run(ray_runtime) is ExperimentStatus.COMPLETED
    ended = {t.number: t.ended_at for t in experiment.trials}
    assert [t.status for t in experiment.trials] == [Status.TERMINATED] * 80
    assert max(ended.values()) == ended[40]
    assert [number for number, at in ended.items() if at == ended[40]] == [40]
