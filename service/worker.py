"""A worker: claims experiments from the store and drives them, one after another.

Invariant: what a worker holds when it stops, in whatever way, another one takes up and finishes.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import traceback
from collections.abc import Callable

from service.drive import controller_of, runtime_of
from service.settings import Settings
from tunerl.control.controller import Controller
from tunerl.errors import Fenced, StoreError
from tunerl.runtime.base import Runtime
from tunerl.store import Store
from tunerl.store.records import Event, Experiment, Lease, Tick
from tunerl.trial import ExperimentStatus

log = logging.getLogger(__name__)

REST_SECONDS = 2.0  # after the store could not be used


class Worker:
    """`run` works until `stop`; the runtime stays warm from one experiment to the next."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._stopped = threading.Event()
        self._controller: Controller | None = None
        self._idle = False  # for want of nodes

    @property
    def stopping(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """Put back what is being driven and return from `run` soon. Safe in a signal handler."""
        self._stopped.set()
        controller = self._controller
        if controller is not None:
            controller.interrupt("its worker was stopped", requeue=True)

    def run(self, begin: Callable[[], object] = lambda: None) -> None:
        """Work until `stop`; `begin` is called once the runtime is there.

        Raises what keeps the runtime from starting.
        """
        runtime = runtime_of(self.settings)
        try:
            begin()
            while not self._stopped.is_set():
                try:
                    with Store(self.settings.url) as store:
                        self._work(store, runtime)
                except StoreError as error:
                    log.error("%s; trying again", error)
                    self._stopped.wait(REST_SECONDS)
        finally:
            runtime.shutdown()

    def _work(self, store: Store, runtime: Runtime) -> None:
        log.info("worker %s waits for experiments in %s", self.owner, store.url)
        while not self._stopped.is_set():
            claimed = self._claim(store, runtime)
            if claimed is None:
                self._stopped.wait(self.settings.poll_seconds)
                continue
            experiment, lease = claimed
            try:
                self._drive(store, runtime, experiment, lease)
            finally:
                store.release(lease)

    def _claim(self, store: Store, runtime: Runtime) -> tuple[Experiment, Lease] | None:
        """The next experiment; none while no node can train, as after a restart of a cluster."""
        idle = runtime.slots({"CPU": 1.0}) < 1
        if idle and not self._idle:
            log.warning("no node of the cluster offers a CPU; nothing is begun until one does")
        self._idle = idle
        return None if idle else store.claim(self.owner, self.settings.lease_seconds)

    def _drive(self, store: Store, runtime: Runtime, experiment: Experiment, lease: Lease) -> None:
        log.info("experiment %s (%s) begins", experiment.id, experiment.name)
        try:
            self._controller = controller_of(store, experiment, lease, runtime, self.settings)
            if self._stopped.is_set():  # between the claim and now
                self._controller.interrupt("its worker was stopped", requeue=True)
            status = self._controller.run()
            log.info("experiment %s (%s): %s", experiment.id, experiment.name, status)
        except Fenced as error:
            log.warning("%s", error)
        except StoreError:
            raise
        except Exception as error:
            log.exception("experiment %s (%s) failed", experiment.id, experiment.name)
            _record_failure(store, lease, error)
        finally:
            self._controller = None


def _record_failure(store: Store, lease: Lease, error: Exception) -> None:
    """Status ERROR with a reason, and the traceback as an event."""
    reason = f"{type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error))
    event = Event("experiment.failed", reason, data={"traceback": text})
    try:
        store.commit(lease, Tick(events=[event]))
        if not store.get_experiment(lease.experiment_id).status.finished:
            store.set_status(lease, ExperimentStatus.ERROR, reason)
    except Fenced as fenced:
        log.warning("%s", fenced)


def run_worker(settings: Settings, until_closes: int | None = None) -> None:
    """A worker in this process until SIGTERM, SIGINT, or the end of the pipe `until_closes`."""
    worker = Worker(settings)

    def stop(number: int, frame: object) -> None:
        if worker.stopping:
            raise KeyboardInterrupt  # asked twice: at once
        worker.stop()

    def listen() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    listen()
    if until_closes is not None:
        threading.Thread(target=_stop_at_end, args=(worker, until_closes), daemon=True).start()
    worker.run(begin=listen)  # again, for Ray has put handlers of its own there


def _stop_at_end(worker: Worker, pipe: int) -> None:
    while os.read(pipe, 1 << 10):
        pass
    worker.stop()
