"""One seeded sweep, and how it ends when its controller dies just before or after any commit.

What such a death leaves is what the database's file and the checkpoints hold at that moment: they
are set aside while the sweep runs undisturbed, and another controller goes on from each.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from tests.support.sweeps import custom_of, outcome, spec_of, trainable_of
from tunerl import spec as specs
from tunerl.control.controller import Controller
from tunerl.errors import Conflict
from tunerl.runtime.local import LocalRuntime
from tunerl.store import Store
from tunerl.store.records import Lease, Tick

LEASE_S = 0.02


class Recorded(Store):
    """Sets files aside before and after each commit, as ``<aside>/<point>``."""

    files: Path
    aside: Path
    points = 0

    def commit(self, lease: Lease, tick: Tick) -> None:
        self._keep()
        super().commit(lease, tick)
        self._keep()

    def _keep(self) -> None:
        with self._database._writer:
            put(self.files, self.aside / str(self.points))
        self.points += 1


def put(files: Path, where: Path) -> None:
    """The database copied, the checkpoints linked: their files never change once they are there."""
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(files / "checkpoints", where / "checkpoints", copy_function=os.link)
    for file in files.glob("run.db*"):
        shutil.copy(file, where / file.name)


def acquire(store: Store, id: str) -> Lease:
    """The lease, once that of a dead process has run out."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return store.acquire(id, f"process {os.getpid()}", LEASE_S)
        except Conflict:
            if time.monotonic() > deadline:
                raise


def drive(store: Store, scenario: str, files: Path) -> None:
    """A controller from where the store stands to the end."""
    (found,), _ = store.list_experiments()
    spec, slots = spec_of(scenario)
    Controller(
        store=store,
        lease=acquire(store, found.id),
        spec=spec,
        trainable=trainable_of(scenario),
        runtime=LocalRuntime(slots),
        root=f"{files}/checkpoints/{found.id}",
        parts=specs.build(spec, custom_of(scenario), trainable_of(scenario)),
        lease_seconds=LEASE_S,
    ).run()


def ends(scenario: str, home: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How the undisturbed sweep ends, and how it ends after a death at each point."""
    files, aside = home / "files", home / "aside"
    (files / "checkpoints").mkdir(parents=True)
    url = f"sqlite:///{files / 'run.db'}"
    with Recorded(url) as store:
        store.files, store.aside = files, aside
        store.create_experiment(spec_of(scenario)[0].to_json(), "crash", claimable=False)
        drive(store, scenario, files)
    undisturbed, after = outcome(url), []
    for point in range(store.points):
        put(aside / str(point), files)
        with Store(url) as again:
            drive(again, scenario, files)
        after.append(outcome(url))
    return undisturbed, after
