"""The Ray cluster that packs run on: connecting, whether it may grow, why a worker is gone."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from tunerl import codec
from tunerl.errors import InvalidInput
from tunerl.runtime.base import Report
from tunerl.trainable import Failure
from tunerl.trial import ReplicaId

PATIENCE_S = 300.0  # for nodes of a cluster that is not of this process
PATIENCE = "TUNERL_NODES_PATIENCE_SECONDS"
REASON_CHARS = 500
_WORD, _SO_FAR = "tunerl:last-words:{}", "tunerl:so-far:{}"
_DETAIL = re.compile(r"Worker exit detail: (.*?)(?:Some common causes|There are some|$)")

_LOCAL_ENVIRONMENT = {  # of a cluster that this runtime starts
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ROTATION_MAX_BYTES": str(16 << 20),  # what workers print goes to files that are rotated
    "RAY_ROTATION_BACKUP_COUNT": "1",
}


def connect(address: str, num_cpus: int | None) -> None:
    """Connect, or start a cluster here. What its processes inherit is set only meanwhile."""
    import ray

    options: dict[str, Any] = {}
    if address == "local":
        options = {"num_cpus": num_cpus, "include_dashboard": False}
    before = dict(os.environ)
    for name, value in _LOCAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        ray.init(
            address=address,
            namespace="tunerl",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **options,
        )
    finally:
        for name in _LOCAL_ENVIRONMENT.keys() - before.keys():
            del os.environ[name]


def patience_of(given: float | None) -> float:
    """For how many seconds nodes may still come: `given`, else what the environment says; 0 where
    this process started the cluster, for then nobody adds to it. Raises `InvalidInput`."""
    from ray._private import worker

    node = worker._global_node
    if node is None or node.head:
        return 0.0
    text = os.environ.get(PATIENCE) if given is None else given
    try:
        seconds = PATIENCE_S if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InvalidInput(f"{PATIENCE} is {text!r}; give seconds, 0 or more")
    return seconds


def ask_for_node(resources: Mapping[str, float] | None) -> None:
    """Tell an autoscaler, if there is one, which node is wanted; None: none any more."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[] if resources is None else [dict(resources)])


def leave_word(text: str) -> None:
    """For whoever asks why this actor has ended."""
    from ray import get_runtime_context
    from ray.experimental import internal_kv

    actor = get_runtime_context().get_actor_id()
    internal_kv._internal_kv_put(_WORD.format(actor).encode(), text.encode())


def word_of(actor: str) -> str | None:
    """What an actor that has ended left word of, by its id; to be asked once."""
    from ray.experimental import internal_kv

    key = _WORD.format(actor).encode()
    found = internal_kv._internal_kv_get(key)
    if found is not None:
        internal_kv._internal_kv_del(key)
    return None if found is None else found.decode()


def current_task() -> str:
    """The id of the call that this actor carries out."""
    from ray import get_runtime_context

    task: str = get_runtime_context().get_task_id()
    return task


def leave_for(task: str, report: Report) -> None:
    """Leave what has come of a relay for whoever waits for a call, before its answer."""
    from ray.experimental import internal_kv

    told = {
        "pack": report.pack,
        "results": [[*_plain(id), metrics] for id, metrics in report.results.items()],
        "failures": [[*_plain(id), asdict(each)] for id, each in report.failures.items()],
        "left": [_plain(id) for id in report.left],
        "waiting": [_plain(id) for id in report.waiting],
    }
    internal_kv._internal_kv_put(_SO_FAR.format(task).encode(), codec.dumps(told).encode())


def left_for(task: str) -> Report | None:
    """What a call left before its answer; None: nothing. To be asked until there is something."""
    from ray.experimental import internal_kv

    key = _SO_FAR.format(task).encode()
    found = internal_kv._internal_kv_get(key)
    if found is None:
        return None
    internal_kv._internal_kv_del(key)
    told = codec.loads(found.decode())
    return Report(
        told["pack"],
        {ReplicaId(*id): metrics for *id, metrics in told["results"]},
        {ReplicaId(*id): Failure(**each) for *id, each in told["failures"]},
        left=[ReplicaId(*id) for id in told["left"]],
        waiting=[ReplicaId(*id) for id in told["waiting"]],
    )


def _plain(id: ReplicaId) -> tuple[int, int]:
    return id.trial, id.index


def why_lost(
    error: Exception, *, node_gone: bool, word: str | None = None
) -> tuple[str, Literal["node", "memory", "exit"]]:
    """In a few words why an actor is gone, and its cause. `word`: what it left word of itself."""
    from ray import exceptions

    if word is not None:
        return word, "memory"
    text = " ".join(str(error).split())
    detail = _DETAIL.search(text)  # the rest is about numbers of processes and what might be
    told = f"{type(error).__name__}: {detail[1].strip() if detail else text}"
    told = told if len(told) <= REASON_CHARS else f"{told[:REASON_CHARS]} ..."
    if isinstance(error, exceptions.OutOfMemoryError) or "running low on memory" in text:
        return f"it was killed, for its machine ran out of memory ({told})", "memory"
    away = (exceptions.NodeDiedError, exceptions.ActorUnavailableError)  # no word of its process
    died = "node has died" in text or isinstance(error, away)
    if node_gone or died or getattr(error, "preempted", False):
        return f"its node is gone or out of reach ({told})", "node"
    return f"its process ended ({told})", "exit"
