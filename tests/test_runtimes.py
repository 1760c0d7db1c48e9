"""One suite for every runtime, and what only a worker process can show."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.packs import CASES, CrowdSpec, Walk, timeless
from tunerl import registry, runtime
from tunerl.author.face import Trainable, with_parameters, with_resources
from tunerl.errors import Conflict, InvalidInput, InvalidSpec
from tunerl.registry import trainable
from tunerl.runtime.base import Join, Leave, Lost, Report, Runtime, Save, Step
from tunerl.runtime.local import LocalRuntime
from tunerl.runtime.ray import RayRuntime
from tunerl.runtime.ray_cluster import patience_of, why_lost
from tunerl.trial import ReplicaId

A, B = ReplicaId(0, 0), ReplicaId(1, 0)
DEADLINE_S = 60.0
ON_RAY = ("dict", "resettable", "files", "crowd", "function", "ppo", "dqn")  # the rest is slow
PAIRS = [
    pytest.param(
        place,
        case,
        id=f"{place}-{case.name}",
        marks=[pytest.mark.slow]
        if case.slow or (place == "ray" and case.name not in ON_RAY)
        else [],
    )
    for place in runtime.NAMES
    for case in CASES
]


@pytest.fixture(params=runtime.NAMES)
def place(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """Each runtime in turn, with room for two packs."""
    if request.param == "ray":
        yield request.getfixturevalue("ray_runtime")
        return
    local = runtime.create("local", slots=2)
    yield local
    local.shutdown()


def join(id: ReplicaId, config: dict[str, Any] | None = None, **more: Any) -> Join:
    return Join(id, config or {}, id.trial, **more)


def outcome(place: Runtime, pack: str, *orders: Any) -> Report:
    place.advance(pack, orders)
    (found,) = place.wait(DEADLINE_S)
    assert isinstance(found, Report), found
    return found


def lost(place: Runtime, pack: str, *orders: Any) -> Lost:
    place.advance(pack, orders)
    (found,) = place.wait(DEADLINE_S)
    assert isinstance(found, Lost), found
    return found


@pytest.mark.parametrize(("place", "case"), PAIRS, indirect=["place"])
def test_numbers_are_those_of_the_bare_pack(case: Any, place: Runtime) -> None:
    pack = case.open()
    id = case.join(pack, 0, 3)
    expected = [timeless(pack.step()[id]) for _ in range(2)]
    pack.close()
    config = case.spec.resolve(case.config)
    place.open("p", case.spec, config)
    first = outcome(place, "p", Join(id, config, 3), Step())
    second = outcome(place, "p", Step())
    assert [timeless(report.results[id]) for report in (first, second)] == expected


def test_two_packs_report_each_for_itself(place: Runtime) -> None:
    for pack, id in (("p", A), ("q", B)):
        place.open(pack, trainable(Walk), {})
        place.advance(pack, [join(id), Step()])
    found: dict[str, Any] = {}
    while len(found) < 2:
        reports = place.wait(DEADLINE_S)
        assert reports
        found |= {report.pack: report.results for report in reports if isinstance(report, Report)}
    assert {pack: list(results) for pack, results in found.items()} == {"p": [A], "q": [B]}


def test_a_failure_carries_the_traceback_and_the_others_go_on(place: Runtime) -> None:
    place.open("p", CrowdSpec(), {})
    report = outcome(place, "p", join(A, {"size": "big"}), join(B), Step())
    assert "'big' is a string" in report.failures[A].error
    assert "resolve_fields" in report.failures[A].traceback
    assert list(report.results) == [B]


def test_a_checkpoint_written_in_one_pack_is_read_in_another(
    place: Runtime, tmp_path: Path
) -> None:
    uri = str(tmp_path / "00000" / "checkpoint_000001" / "0")
    place.open("p", trainable(Walk), {})
    report = outcome(place, "p", join(A), Step(), Save(A, uri))
    assert [saved.uri for saved in report.saved] == [uri]
    expected = outcome(place, "p", Step(), Leave(A)).results[A]
    place.close("p")
    place.open("q", trainable(Walk), {})
    found = outcome(place, "q", join(A, checkpoint=uri), Step()).results[A]
    assert timeless(found) == timeless(expected)


def test_parameters_travel(place: Runtime) -> None:
    def train(config: dict[str, Any], data: list[int]) -> dict[str, int]:
        return {"total": sum(data)}

    place.open("p", trainable(with_parameters(train, data=[1, 2, 3])), {})
    assert outcome(place, "p", join(A), Step()).results[A]["total"] == 6


def test_waiting_for_nothing_returns_at_once(place: Runtime) -> None:
    assert place.wait(None) == []


def test_calls_out_of_turn_are_conflicts(place: Runtime) -> None:
    with pytest.raises(Conflict, match="not open"):
        place.advance("p", [Step()])
    place.open("p", trainable(Walk), {})
    with pytest.raises(Conflict, match="open already"):
        place.open("p", trainable(Walk), {})
    place.advance("p", [join(A), Step()])
    with pytest.raises(Conflict, match="advancing already"):
        place.advance("p", [Step()])


def test_a_closed_pack_reports_no_more_and_its_name_is_free(place: Runtime) -> None:
    place.open("p", trainable(Walk), {})
    place.advance("p", [join(A), Step()])
    place.close("p")
    assert place.wait(0.0) == []
    place.close("p")
    place.open("p", trainable(Walk), {})
    assert outcome(place, "p", join(B), Step()).results[B]["training_iteration"] == 1


def test_two_packs_fit(place: Runtime) -> None:
    assert place.slots({"CPU": 1}) == 2


def test_an_unknown_runtime_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'local'"):
        runtime.create("lokal")


def test_a_local_runtime_without_slots_is_refused() -> None:
    with pytest.raises(InvalidInput, match="slots is 0"):
        LocalRuntime(slots=0)


# Only a worker process can show these.


class Probe(Trainable):
    """Tells about its process, or ends it."""

    def step(self) -> dict[str, Any]:
        if self.config.get("die"):
            os._exit(1)
        print("chatter " * 1000)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        return {"pid": os.getpid(), "threads": [os.environ[name] for name in names]}


def pid(place: Runtime, pack: str) -> int:
    found = outcome(place, pack, join(A), Step()).results[A]
    process: int = found["pid"]
    return process


def test_a_worker_that_dies_is_lost_and_the_next_pack_gets_a_fresh_one(
    ray_runtime: RayRuntime,
) -> None:
    ray_runtime.open("p", trainable(Probe), {})
    before = pid(ray_runtime, "p")
    gone = lost(ray_runtime, "p", Leave(A), join(B, {"die": True}), Step())
    assert gone.pack == "p"
    assert "ActorDied" in gone.reason
    ray_runtime.open("p", trainable(Probe), {})
    assert pid(ray_runtime, "p") not in (before, os.getpid())


def test_a_warm_worker_is_reused_quietly_and_with_one_thread(
    ray_runtime: RayRuntime, capfd: pytest.CaptureFixture[str]
) -> None:
    ray_runtime.open("p", trainable(Probe), {})
    found = outcome(ray_runtime, "p", join(A), Step()).results[A]
    assert found["threads"] == ["1", "1"]
    ray_runtime.close("p")
    ray_runtime.open("q", trainable(with_parameters(Probe)), {})
    assert pid(ray_runtime, "q") == found["pid"]
    assert "chatter" not in "".join(capfd.readouterr())


def flood(config: dict[str, Any]) -> dict[str, Any]:
    for _ in range(64):
        print("chatter " * (1 << 17))
    return {"done": True}


def test_a_flood_of_prints_fills_neither_terminal_nor_disk(
    ray_runtime: RayRuntime, capfd: pytest.CaptureFixture[str]
) -> None:
    import ray

    ray_runtime.open("p", trainable(flood), {})
    assert outcome(ray_runtime, "p", join(A), Step()).results[A]["done"]
    assert "chatter" not in "".join(capfd.readouterr())
    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    sizes = [file.stat().st_size for file in logs.glob("worker-*")]
    assert max(sizes) < 17 << 20
    assert sum(size > 1 << 20 for size in sizes) <= 2


def test_why_a_worker_is_gone_is_told_apart(ray_runtime: RayRuntime) -> None:
    from ray import exceptions

    memory = exceptions.OutOfMemoryError("killed due to the node running low on memory")
    assert why_lost(memory, node_gone=False)[1] == "memory"
    assert (
        why_lost(exceptions.ActorUnavailableError("no answer", None), node_gone=False)[1] == "node"
    )
    died = exceptions.ActorDiedError()
    assert why_lost(died, node_gone=True)[1] == "node"
    text, cause = why_lost(died, node_gone=False)
    assert (cause, "its process ended (ActorDiedError" in text) == ("exit", True)
    assert len(why_lost(ValueError("x" * 10**6), node_gone=False)[0]) < 1000


def test_only_a_cluster_of_others_may_still_grow(
    ray_runtime: RayRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ray_runtime.patience_s == 0
    assert patience_of(5.0) == 0
    monkeypatch.setattr("ray._private.worker._global_node.head", False)
    assert (patience_of(None), patience_of(5.0)) == (300.0, 5.0)
    monkeypatch.setenv("TUNERL_NODES_PATIENCE_SECONDS", "7")
    assert patience_of(None) == 7.0
    for wrong in ("soon", "-1", "inf"):
        monkeypatch.setenv("TUNERL_NODES_PATIENCE_SECONDS", wrong)
        with pytest.raises(InvalidInput, match="TUNERL_NODES_PATIENCE_SECONDS"):
            patience_of(None)


def test_idle_workers_make_room_for_a_larger_one(ray_runtime: RayRuntime) -> None:
    for pack in ("p", "q"):
        ray_runtime.open(pack, trainable(Probe), {})
        pid(ray_runtime, pack)
    ray_runtime.close("p")
    ray_runtime.close("q")
    ray_runtime.open("r", trainable(with_resources(Probe, {"CPU": 2})), {})
    assert outcome(ray_runtime, "r", join(A), Step()).results[A]["threads"] == ["2", "2"]


def test_a_pack_too_many_gets_the_place_of_the_first_that_closes(ray_runtime: RayRuntime) -> None:
    for pack in ("p", "q"):
        ray_runtime.open(pack, trainable(Probe), {})
        pid(ray_runtime, pack)
    ray_runtime.open("r", trainable(Probe), {})
    ray_runtime.advance("r", [join(A), Step()])
    assert ray_runtime.wait(0.0) == []
    ray_runtime.close("p")
    (found,) = ray_runtime.wait(DEADLINE_S)
    assert isinstance(found, Report)
    assert found.pack == "r"


def test_closing_a_busy_pack_does_not_wait_for_it(ray_runtime: RayRuntime) -> None:
    def forever(config: dict[str, Any]) -> None:
        threading.Event().wait()

    ray_runtime.open("p", trainable(with_resources(forever, {"CPU": 2})), {})
    ray_runtime.advance("p", [join(A), Step()])
    assert ray_runtime.wait(0.0) == []
    ray_runtime.close("p")
    ray_runtime.open("q", trainable(Probe), {})
    assert pid(ray_runtime, "q") != os.getpid()


def test_prewarmed_workers_serve_the_next_packs(ray_runtime: RayRuntime) -> None:
    ray_runtime.prewarm(trainable(Probe), {}, 5)
    ray_runtime.prewarm(trainable(Probe), {}, 5)
    for pack in ("p", "q"):
        ray_runtime.open(pack, trainable(Probe), {})
    assert pid(ray_runtime, "p") != pid(ray_runtime, "q")


def test_registered_environments_are_known_to_workers(
    ray_runtime: RayRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(config: dict[str, Any]) -> dict[str, Any]:
        creator = registry.environment("tiny")
        return {} if creator is None else {"made": creator({"x": 4})}

    monkeypatch.setattr(registry, "_environments", {"tiny": lambda config: config["x"]})
    ray_runtime.open("p", trainable(train), {})
    assert outcome(ray_runtime, "p", join(A), Step()).results[A]["made"] == 4


def test_an_environment_that_cannot_travel_harms_nobody_else(
    ray_runtime: RayRuntime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lock = threading.Lock()
    monkeypatch.setattr(registry, "_environments", {"locked": lambda config: lock})
    ray_runtime.open("p", trainable(Probe), {})
    assert pid(ray_runtime, "p") != os.getpid()
    assert "environment 'locked' cannot be sent to workers" in caplog.text


def test_a_trainable_that_cannot_travel_is_refused(ray_runtime: RayRuntime) -> None:
    with pytest.raises(InvalidSpec, match="cannot be sent to a worker"):
        ray_runtime.open("p", trainable(with_parameters(Probe, lock=threading.Lock())), {})


def test_a_configuration_that_cannot_travel_is_refused(ray_runtime: RayRuntime) -> None:
    with pytest.raises(InvalidSpec, match="a configuration of 'Probe' cannot be sent"):
        ray_runtime.open("p", trainable(Probe), {"lock": threading.Lock()})
    ray_runtime.open("p", trainable(Probe), {})


class Untold:
    """Comes apart when it arrives."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise ImportError("no module named x here")


def test_a_trainable_that_does_not_arrive_fails_its_replicas(ray_runtime: RayRuntime) -> None:
    ray_runtime.open("p", trainable(with_parameters(Probe, what=Untold())), {})
    report = outcome(ray_runtime, "p", join(A), Step())
    assert "no module named x here" in report.failures[A].error


def test_what_no_node_offers_has_no_slots_and_a_reason(ray_runtime: RayRuntime) -> None:
    assert ray_runtime.slots({"CPU": 0.5}) == 4
    assert ray_runtime.slots({"CPU": 3}) == 0
    assert ray_runtime.slots({"CPU": 1, "unicorn": 1}) == 0
    assert "the nodes offer CPU: 2" in ray_runtime.why({"CPU": 1, "unicorn": 1})
    with pytest.raises(InvalidInput, match="needs something"):
        ray_runtime.slots({})


def test_num_cpus_is_only_for_a_ray_that_is_started_here(
    ray_runtime: RayRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="comes too late"):
        RayRuntime(num_cpus=2)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(InvalidInput, match="leave one of them out"):
        RayRuntime(num_cpus=2)


def test_shutdown_ends_its_own_workers_and_leaves_a_ray_it_did_not_start(
    ray_cluster: None,
) -> None:
    import ray

    first, second = RayRuntime(), RayRuntime()
    second.open("p", trainable(Probe), {})
    before = pid(second, "p")
    first.open("p", trainable(Probe), {})
    first.shutdown()
    assert ray.is_initialized()
    assert outcome(second, "p", Step()).results[A]["pid"] == before
    second.shutdown()
    second.shutdown()
