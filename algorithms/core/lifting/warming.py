"""Compiles a pack's update ahead of its first pack: ``python -m algorithms.core.lifting.warming``.

A process of its own reads a configuration from its input and takes one small step with it; the
packs that come meanwhile wait for the compiler's lock, and find the result on disk.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from tunerl.trial import Config, ReplicaId

_begun: list[subprocess.Popen[bytes]] = []


def begin(name: str, config: Config, rows: int) -> bool:
    """Start compiling what a pack of the algorithm `name` with `rows` members will need.

    False, and nothing done, where `config` holds what another process cannot read: classes and
    functions. What still runs when this process exits is ended.
    """
    try:
        job = json.dumps({"name": name, "config": small(config), "rows": rows})
    except TypeError:
        return False
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-m", "algorithms.core.lifting.warming"],
        stdin=subprocess.PIPE,
        stdout=quiet,
        stderr=quiet,
        env=environment,
        start_new_session=True,
    )
    _begun[:] = [other for other in _begun if other.poll() is None] + [process]
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(job.encode())
    return True


@atexit.register
def end() -> None:
    """End what was begun."""
    for process in _begun:
        process.kill()
        process.wait()
    _begun.clear()


def small(config: Config) -> Config:
    """The configuration with as few samples as leave its compiled graph as it is."""
    batch, minibatch = config["train_batch_size"], config.get("minibatch_size")
    if minibatch:
        runners = max(1, config["num_env_runners"])
        batch = min(batch, minibatch + runners * config["num_envs_per_env_runner"])
    return config | {"train_batch_size": batch, "num_epochs": 1, "evaluation_interval": None}


def warm(job: dict[str, Any]) -> None:
    """One iteration of a pack with as many members, on as few samples as make one update."""
    from tunerl import registry

    spec = registry.trainable(job["name"])
    pack = spec.open(spec.resolve(job["config"]))
    try:
        for number in range(job["rows"]):
            pack.join(ReplicaId(number, 0), job["config"], number)
        pack.step()
    finally:
        pack.close()


if __name__ == "__main__":
    warm(json.load(sys.stdin))
