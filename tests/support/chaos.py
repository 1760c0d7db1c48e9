"""Run as a program: seeded sweeps whose controller, packs and connections are killed at random.

``python -m tests.support.chaos STORE RUNTIME SEED BLOWS SCENARIO...`` drives each scenario once
undisturbed on the local runtime, and once under blows on RUNTIME (local, or ray at RAY_ADDRESS). It
prints JSON: by scenario both outcomes and the blows by kind. A controller is a forked child; what
befalls it, and at which of its statements, orders or file operations, is drawn from the seed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tests.support.crash import LEASE_S, acquire
from tests.support.implied import judge
from tests.support.sweeps import custom_of, outcome, spec_of, trainable_of
from tunerl import spec as specs
from tunerl.control import recorder
from tunerl.control.controller import Controller
from tunerl.runtime.base import Lost, Order, Report, Runtime
from tunerl.runtime.local import LocalRuntime
from tunerl.store import Store

LONG = 10  # moments in one step of a pack
LOSSES = 2  # packs that one controller loses at most: who is lost three times in a row is to blame


class Fate:
    """What befalls one controller. `apart`: so many moments lie between two blows, on average.
    `note`: a file descriptor that is told of each blow."""

    def __init__(self, seed: Sequence[int], blows: int, apart: int, note: int) -> None:
        self._random = random.Random(repr(seed))
        self._thread = threading.get_ident()
        self._blows, self._apart, self._note = blows, apart, note
        self._losses = 0
        self._draw()

    def _draw(self) -> None:
        self._left = self._random.randint(1, 2 * self._apart)

    def moment(self, *kinds: str, weight: int = 1) -> str | None:
        """One moment passes, or a long one that counts for several; the kind of blow that falls at
        it, if any. A kill never returns."""
        if threading.get_ident() != self._thread or not self._blows:
            return None  # the heartbeat's moments are not repeatable
        self._left -= weight
        if self._left > 0:
            return None
        kind = self._random.choice(["kill", *kinds])
        if kind == "lose" and self._losses == LOSSES:
            kind = "kill"
        self._losses += kind == "lose"
        self._blows -= 1
        self._draw()
        os.write(self._note, f"{kind}\n".encode())
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return kind


class FatedRuntime(LocalRuntime):
    """Loses packs before or after they did what they were told."""

    def __init__(self, slots: int, fate: Fate) -> None:
        super().__init__(slots)
        self._fate = fate

    def advance(self, pack: str, orders: Sequence[Order]) -> None:
        self._fate.moment()
        super().advance(pack, orders)

    def wait(self, timeout: float | None = None) -> list[Report | Lost]:
        if self._queue and self._fate.moment("lose", weight=LONG) == "lose":
            return [self._lose(self._queue[0][0])]
        reports = super().wait(timeout)
        if reports and self._fate.moment("lose", weight=LONG) == "lose":
            return [self._lose(reports[0].pack)]
        return reports

    def _lose(self, pack: str) -> Lost:
        self.close(pack)
        return Lost(pack, "killed by the test")


def fated_ray(fate: Fate) -> Runtime:
    """A runtime on the cluster at ``RAY_ADDRESS`` whose actors are killed under way."""
    from tunerl.runtime.ray import RayRuntime

    class FatedRay(RayRuntime):
        def advance(self, pack: str, orders: Sequence[Order]) -> None:
            super().advance(pack, orders)
            if fate.moment("lose", weight=4 * LONG) == "lose":
                self._ray.kill(self._seats[pack].actor, no_restart=True)

    return FatedRay()


def fated_store(url: str, fate: Fate) -> Store:
    """A store whose connections break: before a statement, before a commit, or after it, when the
    commit is done and only its answer is lost."""
    store = Store(url)
    engine = store._database.engine
    admin = sa.create_engine(store._database.url, poolclass=sa.pool.NullPool)

    def drop(connection: Any) -> None:
        if engine.dialect.name == "sqlite":
            raise sqlite3.OperationalError("database is locked")
        kill = sa.select(sa.func.pg_terminate_backend(connection.info.backend_pid))
        with admin.connect() as other:
            other.execute(kill)

    @sa.event.listens_for(engine, "before_cursor_execute")
    def before(connection: Any, cursor: Any, *rest: Any) -> None:
        if fate.moment("drop") == "drop":
            drop(cursor.connection)

    commit = engine.dialect.do_commit

    def fated_commit(connection: Any) -> None:
        if fate.moment("drop") == "drop":
            drop(connection.dbapi_connection)
        commit(connection)
        if fate.moment("drop") == "drop":
            raise engine.dialect.loaded_dbapi.OperationalError("database is locked: no answer")

    engine.dialect.do_commit = fated_commit  # type: ignore[method-assign]
    return store


def drive(url: str, runtime: str, scenario: str, root: str, fate: tuple[Any, ...]) -> int:
    """One controller process in a fork; its exit status as `os.waitpid` gives it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        control(url, runtime, scenario, root, Fate(*fate))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def control(url: str, runtime: str, scenario: str, root: str, fate: Fate) -> None:
    if runtime == "ray":  # losses are remembered over restarts, but nobody here is to blame
        recorder.MAX_LOSSES = 1000
    store = fated_store(url, fate)
    found = store.list_experiments()[0][0]
    sys.addaudithook(lambda event, args: _file(fate, root, event, args))
    spec, slots = spec_of(scenario)
    lease = acquire(store, found.id)
    Controller(
        store=store,
        lease=lease,
        spec=spec,
        trainable=trainable_of(scenario),
        runtime=FatedRuntime(slots, fate) if runtime == "local" else fated_ray(fate),
        root=f"{root}/{found.id}",
        parts=specs.build(spec, custom_of(scenario), trainable_of(scenario)),
        lease_seconds=LEASE_S,
    ).run()
    store.release(lease)


def _file(fate: Fate, root: str, event: str, args: tuple[Any, ...]) -> None:
    """A checkpoint's file is about to be made, renamed or removed."""
    touched = event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
    if touched and str(args[0]).startswith(root):
        fate.moment()


def sweep(
    url: str, runtime: str, scenario: str, home: str, seed: int, blows: int
) -> tuple[dict[str, Any], Counter[str]]:
    """One scenario from beginning to end; its outcome and the blows it took."""
    with Store(url) as store:
        store.create_experiment(spec_of(scenario)[0].to_json(), scenario, claimable=False)
    read, write = os.pipe()
    taken: Counter[str] = Counter()
    apart, life = 90 if runtime == "local" else 150, 0
    while True:
        fate = ((seed, life), blows - taken.total(), apart, write)
        status = drive(url, runtime, scenario, home, fate)
        os.write(write, b"end\n")
        taken.update(line for line in os.read(read, 65536).decode().split() if line != "end")
        if status == 0:
            break
        assert os.WIFSIGNALED(status), f"exit status {status}"
        life += 1
    os.close(read)
    os.close(write)
    judge(url, scenario)
    return outcome(url), taken


def main(url: str, runtime: str, seed: int, blows: int, scenarios: Sequence[str]) -> None:
    import tunerl.searchers.optuna  # once, before the forks

    assert tunerl.searchers.optuna
    if runtime == "ray":
        import ray

        assert ray
    ends: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home:
        for scenario in scenarios:
            undisturbed, _ = sweep(url, "local", scenario, home, seed, 0)
            ends[scenario] = [undisturbed, *sweep(url, runtime, scenario, home, seed, blows)]
    print(json.dumps(ends))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
