"""Orders carried out on one pack: what befalls one replica befalls it alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.packs import CrowdSpec, Walk, timeless
from tunerl import checkpoints
from tunerl.errors import StorageFull
from tunerl.registry import trainable
from tunerl.runtime.base import Configure, Copy, Join, Leave, Order, Save, Step
from tunerl.runtime.host import PackHost
from tunerl.trial import ReplicaId

A, B, C = (ReplicaId(trial, 0) for trial in range(3))


@pytest.fixture
def host() -> PackHost:
    return PackHost(CrowdSpec(), {})


def join(id: ReplicaId, size: float = 1.0, **more: Any) -> Join:
    return Join(id, {"size": size}, id.trial, **more)


def uri(root: Path, iteration: int) -> str:
    return str(root / "00000" / f"checkpoint_{iteration:06d}" / "0")


def test_orders_are_carried_out_in_their_order(host: PackHost) -> None:
    report = host.execute("p", [join(A), Step(), Leave(A), join(B), Step()])
    assert {id: result["training_iteration"] for id, result in report.results.items()} == {
        A: 1,
        B: 1,
    }
    assert host.execute("p", [Step()]).results.keys() == {B}
    assert report.pack == "p"


def test_a_member_that_fails_does_not_disturb_the_others(host: PackHost) -> None:
    report = host.execute("p", [join(A), join(B, 9.0), Step()])
    assert report.results.keys() == {A}
    assert report.failures[B].error == "RuntimeError: one of us"
    assert host.execute("p", [Step()]).results.keys() == {A}


def test_a_join_that_fails_is_passed_over_afterwards(host: PackHost, tmp_path: Path) -> None:
    orders: list[Order] = [join(A, 99.0), join(B), Step(), Save(A, uri(tmp_path, 1)), Leave(A)]
    report = host.execute("p", orders)
    assert list(report.failures) == [A]
    assert "99.0 is out of range" in report.failures[A].error
    assert "Traceback" in report.failures[A].traceback
    assert report.results.keys() == {B}
    assert report.saved == []


def test_when_the_whole_pack_breaks_all_fail_and_new_ones_get_a_new_pack(host: PackHost) -> None:
    report = host.execute("p", [join(A), join(B, 8.0), Step()])
    assert {id: failure.error for id, failure in report.failures.items()} == {
        A: "RuntimeError: all of us",
        B: "RuntimeError: all of us",
    }
    assert host.execute("p", [join(C), Step()]).results.keys() == {C}


def test_an_order_for_a_stranger_is_a_failure(host: PackHost, tmp_path: Path) -> None:
    for order in (Leave(A), Configure(A, {}), Copy(B, A), Save(A, uri(tmp_path, 1))):
        assert "is not in this pack" in host.execute("p", [order]).failures[A].error


def test_a_pack_that_cannot_be_opened_fails_each_join() -> None:
    class Closed(CrowdSpec):
        def open(self, config: dict[str, Any]) -> Any:
            raise OSError("no such environment")

    host = PackHost(Closed(), {})
    for id in (A, B):
        assert host.execute("p", [join(id), Step()]).failures[id].error == (
            "OSError: no such environment"
        )


def test_user_code_may_raise_system_exit_but_ctrl_c_goes_through() -> None:
    class Leaving(Walk):
        def setup(self, config: dict[str, Any]) -> None:
            raise config["error"]

        Hyperparameters = None  # type: ignore[assignment]

    host = PackHost(trainable(Leaving), {})
    report = host.execute("p", [Join(A, {"error": SystemExit(1)}, 0)])
    assert report.failures[A].error == "SystemExit: 1"
    with pytest.raises(KeyboardInterrupt):
        host.execute("p", [Join(A, {"error": KeyboardInterrupt()}, 0)])


def test_what_a_pack_does_not_count_the_host_counts() -> None:
    class Bare(CrowdSpec):
        def open(self, config: dict[str, Any]) -> Any:
            pack = super().open(config)
            inner = pack.step
            pack.step = lambda: {id: {"x": 1} for id in inner()}  # type: ignore[method-assign]
            return pack

    host = PackHost(Bare(), {})
    host.execute("p", [join(A), Step()])
    report = host.execute("p", [join(B), Copy(A, B), Step()])
    for id in (A, B):
        assert report.results[id]["training_iteration"] == 2
        assert report.results[id]["time_total_s"] >= report.results[id]["time_this_iter_s"]


def test_configure_and_copy_reach_the_pack(host: PackHost) -> None:
    host.execute("p", [join(A), Step()])
    changed = host.execute("p", [Configure(A, {"size": 3.0}), join(B), Copy(A, B), Step()])
    assert changed.results[A]["size"] == 3.0
    assert changed.results[B]["training_iteration"] == 2
    assert changed.failures == {}


def test_a_saved_replica_goes_on_elsewhere(host: PackHost, tmp_path: Path) -> None:
    saved = host.execute("p", [join(A), Step(), Save(A, uri(tmp_path, 1), {"kind": "test"})]).saved
    assert [(entry.id, entry.uri) for entry in saved] == [(A, uri(tmp_path, 1))]
    assert saved[0].size > 0
    expected = host.execute("p", [Step()]).results[A]
    meta = checkpoints.load(uri(tmp_path, 1))[1]
    assert (meta["kind"], meta["training_iteration"]) == ("test", 1)
    found = PackHost(CrowdSpec(), {}).execute("q", [join(A, checkpoint=uri(tmp_path, 1)), Step()])
    assert timeless(found.results[A]) == timeless(expected)
    assert found.fell_back == {}


def test_a_corrupt_checkpoint_falls_back_to_the_one_before_or_to_scratch(
    host: PackHost, tmp_path: Path
) -> None:
    host.execute("p", [join(A), Step(), Save(A, uri(tmp_path, 1))])
    host.execute("p", [Step(), Save(A, uri(tmp_path, 2))])
    (Path(uri(tmp_path, 2)) / "state.safetensors").write_bytes(b"broken")
    orders: list[Order] = [join(A, checkpoint=uri(tmp_path, 2)), Step()]
    report = PackHost(CrowdSpec(), {}).execute("p", orders)
    assert report.fell_back == {A: uri(tmp_path, 1)}
    assert report.results[A]["training_iteration"] == 2
    (Path(uri(tmp_path, 1)) / "state.safetensors").unlink()
    report = PackHost(CrowdSpec(), {}).execute("p", orders)
    assert report.fell_back == {A: None}
    assert report.results[A]["training_iteration"] == 1


def test_a_missing_checkpoint_from_anywhere_else_means_scratch(
    host: PackHost, tmp_path: Path
) -> None:
    report = host.execute("p", [join(A, checkpoint=str(tmp_path / "gone")), Step()])
    assert report.fell_back == {A: None}
    assert report.results[A]["training_iteration"] == 1


def test_a_full_disk_is_reported_and_nobody_leaves(
    host: PackHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise StorageFull("no space left on /x")

    monkeypatch.setattr(checkpoints, "save", full)
    report = host.execute("p", [join(A), Save(A, uri(tmp_path, 0)), Step()])
    assert report.storage_full == "no space left on /x"
    assert report.failures == {}
    assert report.results.keys() == {A}


def test_global_randomness_is_seeded_only_in_a_process_of_its_own() -> None:
    class Careless(Walk):
        def setup(self, config: dict[str, Any]) -> None:
            self.drawn = (random.random(), float(np.random.random()))

        def step(self) -> dict[str, Any]:
            return {"drawn": self.drawn}

    def drawn(**more: Any) -> list[Any]:
        host = PackHost(trainable(Careless), {}, **more)
        draws = []
        for _ in range(2):
            draws.append(host.execute("p", [join(B), Step(), Leave(B)]).results[B]["drawn"])
        return draws

    shared = drawn()
    assert shared[0] != shared[1]
    before = random.getstate(), np.random.get_state()
    own = drawn(own_process=True)
    random.setstate(before[0]), np.random.set_state(before[1])
    assert own[0] == own[1]
