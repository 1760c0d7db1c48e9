"""A function that reports, driven one report at a time: it runs on a thread of its own.

Invariant: the function runs only while a step waits for it, so nothing trains ahead.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import numbers
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunerl.author.directories import Arrays, pack_files
from tunerl.author.face import Trainable
from tunerl.author.session import Checkpoint, Session, running
from tunerl.errors import MetricError, TrainableError
from tunerl.metrics import flatten
from tunerl.trainable import State
from tunerl.trial import Config, Metrics

log = logging.getLogger(__name__)

PATIENCE_S = 2.0  # how long a function may take to clean up when its replica leaves


class Ended(SystemExit):
    """Raised inside a function, at its next report, when its replica has left."""


def _uses_ray(function: Callable[..., Any]) -> bool:
    """Whether a function may call ``ray.tune.report``: Ray Tune is loaded, or the function names
    Ray."""
    if isinstance(function, functools.partial):
        return _uses_ray(function.func)
    code = getattr(function, "__code__", None)
    return "ray.tune" in sys.modules or (code is not None and "ray" in " ".join(code.co_names))


def _ray_tune() -> Any:
    return importlib.import_module("tunerl.runtime.ray_tune")


@dataclass
class _Reported:
    metrics: Metrics
    files: Arrays | None


@dataclass
class _Returned:
    output: Any


@dataclass
class _Raised:
    error: BaseException


class Runner:
    """One run of a function on its own thread, in lockstep with `next`."""

    def __init__(self, function: Callable[[Config], Any], config: Config, session: Session) -> None:
        self._function, self._config, self._session = function, config, session
        self._items: queue.SimpleQueue[_Reported | _Returned | _Raised] = queue.SimpleQueue()
        self._go = threading.Semaphore(0)
        self._ending = False
        self._bridged = False  # to Ray Tune's own report
        self._thread = threading.Thread(target=self._run, name="tunerl-function", daemon=True)
        session.reporter = self._report

    def next(self) -> _Reported | _Returned | _Raised:
        """Let the function run until it reports, returns or raises."""
        if self._thread.ident is None:
            running(self._session, True)
            self._bridged = _uses_ray(self._function) and _ray_tune().enter()
            self._thread.start()
        else:
            self._go.release()
        return self._items.get()

    def end(self) -> None:
        """End the function where it stands: at its report."""
        self._ending = True
        running(self._session, False)
        if self._bridged:
            self._bridged = False
            _ray_tune().leave()
        if self._thread.ident is None:
            return
        self._go.release()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            log.warning(
                "%s: the function goes on %g s after it was told to end; it is left behind",
                self._session.context.get_trial_name(),
                PATIENCE_S,
            )

    def _run(self) -> None:
        with self._session.active():
            try:
                self._items.put(_Returned(self._call()))
            except Ended:
                self._items.put(_Returned(None))
            except BaseException as error:  # SystemExit too: the thread is the author's
                self._items.put(_Raised(error))
            finally:
                running(self._session, False)

    def _call(self) -> Any:
        if not inspect.isgeneratorfunction(self._function):
            return self._function(self._config)
        for output in self._function(self._config):
            self._report(_metrics_of(output), None)
        return None

    def _report(self, metrics: Mapping[str, Any], checkpoint: Checkpoint | None) -> None:
        if self._ending:
            raise Ended
        flat = flatten(metrics)
        self._items.put(_Reported(flat, None if checkpoint is None else _files(checkpoint)))
        self._go.acquire()
        if self._ending:
            raise Ended


def _files(checkpoint: Any) -> Arrays:
    path = getattr(checkpoint, "path", None)
    if not isinstance(path, str):
        raise TrainableError(
            f"report(checkpoint={checkpoint!r}): give Checkpoint.from_directory(path)"
        )
    return pack_files(path)


def _metrics_of(output: Any) -> Mapping[str, Any]:
    if isinstance(output, Mapping):
        return output
    if isinstance(output, numbers.Real) and output is not True and output is not False:
        return {"_metric": output}
    raise MetricError(
        f"the function returned or yielded {output!r}; it may give a dict of metrics, one number, "
        "or nothing"
    )


class FunctionTrainable(Trainable):
    """A function trainable with a class's verbs; subclasses say which `function`.

    When the function returns nothing, its last result is given once more, with ``done=True`` and
    the same `training_iteration`: the end is known only after the last report.
    Its checkpoint is the one it reported last, whatever was reported since.
    """

    function: Callable[[Config], Any]

    def setup(self, config: Config) -> None:
        self._runner: Runner | None = None
        self._last: Metrics | None = None
        self._finished = False
        self._saved_at = (0, 0.0)  # iteration and time of the latest checkpoint

    def train(self) -> Metrics:
        start = time.perf_counter()
        if self._runner is None:
            self._runner = Runner(type(self).function, self.config, self._session)
        item = _Returned(None) if self._finished else self._runner.next()
        if isinstance(item, _Raised):
            raise item.error
        if isinstance(item, _Reported):
            return self._reported(item, start)
        return self._returned(item.output, start)

    def _reported(self, item: _Reported, start: float) -> Metrics:
        self._last = self._fill(item.metrics, start)
        if item.files is not None:
            self._session.files = item.files
            self._saved_at = (self._iteration, self._time_total)
            self._last["should_checkpoint"] = True
        return dict(self._last)

    def _returned(self, output: Any, start: float) -> Metrics:
        self._finished = True
        if output is not None or self._last is None:
            metrics = {} if output is None else _metrics_of(output)
            self._last = self._fill(metrics, start)
        self._last = {**self._last, "done": True}
        self._last.pop("should_checkpoint", None)
        return dict(self._last)

    def get_state(self) -> State:
        iteration, time_total = self._saved_at
        values = {"iteration": iteration, "time_total_s": time_total}
        if self._session.files is None:
            return State({}, values | {"fresh": True})
        return State(dict(self._session.files), values)

    def set_state(self, state: State) -> None:
        """Start the function again, from the files of `state`."""
        self._end()
        self._session.files = None if state.values.get("fresh") else dict(state.arrays)
        self._iteration = int(state.values["iteration"])
        self._time_total = float(state.values["time_total_s"])
        self._saved_at = (self._iteration, self._time_total)

    def reset_config(self, new_config: Config) -> bool:
        self._end()
        self._session.files, self._saved_at = None, (0, 0.0)
        return True

    def cleanup(self) -> None:
        self._end()

    def _end(self) -> None:
        if self._runner is not None:
            self._runner.end()
        self._runner, self._last, self._finished = None, None, False
