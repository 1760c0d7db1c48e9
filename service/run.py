"""`tunerl run`: an experiment in this process, without a service; the store keeps it too."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from rich.console import Console

from service import schemas
from service.drive import controller_of, runtime_of
from service.grid import best_statistics, best_trial
from service.progress import totals
from service.settings import Settings
from service.watch import View, watch
from tunerl import spec
from tunerl.control.interrupts import interruptible
from tunerl.store import Store

Json = dict[str, Any]


class StoreSource:
    """What the live view reads, straight from a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, id: str) -> Json:
        record = self.store.get_experiment(id)
        return schemas.ExperimentWithSpec.of(
            record, totals(self.store, record), spec=record.spec
        ).model_dump(mode="json")

    def best(self, id: str) -> Json:
        record = self.store.get_experiment(id)
        trial = best_trial(self.store, record)
        found = best_statistics(self.store, record, trial)
        return schemas.TrialWithStatistics.of(trial, statistics=found).model_dump(mode="json")

    def trials(self, id: str, *, status: str | None, limit: int | None) -> list[Json]:
        records = self.store.trials(id, status=status, limit=limit)
        return [schemas.Trial.of(record).model_dump(mode="json") for record in records]


def run_here(body: Json, settings: Settings, console: Console) -> Json:
    """Run the experiment that `body` describes, watching it; how it ended.

    Raises `InvalidSpec` before anything is stored; on Ctrl-C the experiment is left PAUSED.
    """
    checked = spec.check(body)
    runtime = runtime_of(settings)
    try:
        with Store(settings.url) as store:
            made = store.create_experiment(
                checked.to_json(), checked.name or checked.trainable, claimable=False
            )
            owner = f"{socket.gethostname()}:{os.getpid()}"
            lease = store.acquire(made.id, owner, settings.lease_seconds)
            try:
                controller = controller_of(store, made, lease, runtime, settings)
                console.print(
                    f"experiment {made.id} in {settings.root}", highlight=False, markup=False
                )
                watching = _Watching(StoreSource(store), made.id, console)
                with interruptible(controller), watching:
                    controller.run()
            finally:
                store.release(lease)
            _say_checkpoint(store, made.id, console)
            return StoreSource(store).get(made.id)
    finally:
        runtime.shutdown()


def _say_checkpoint(store: Store, id: str, console: Console) -> None:
    """Where the best agent is, and what to do with it."""
    best = store.best(id)
    saved = store.checkpoints(id, best.number) if best is not None else []
    if saved:
        console.print(f"checkpoint: {saved[-1].uri}", soft_wrap=True, highlight=False, markup=False)
        console.print("play with it: tunerl evaluate CHECKPOINT", highlight=False)


class _Watching:
    """The live view in a thread of its own while the block runs."""

    def __init__(self, source: StoreSource, id: str, console: Console) -> None:
        self._left = threading.Event()
        self._thread = threading.Thread(
            target=watch,
            args=(source, id, console),
            kwargs={"over": self._over},
            name="watch",
            daemon=True,
        )

    def _over(self, view: View) -> bool:
        return view.over or self._left.is_set()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._left.set()
        self._thread.join()
