"""A pack's update is compiled ahead, by another process."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from typing import Any

import pytest

from algorithms.core.lifting import warming
from algorithms.ppo import SPEC
from tests.algorithms.support import open_pack, tiny


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was begun, instead of beginning it."""
    found: list[dict[str, Any]] = []

    def begin(name: str, config: dict[str, Any], rows: int) -> bool:
        found.append({"name": name, "config": config, "rows": rows})
        return True

    monkeypatch.setattr(warming, "begin", begin)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    return found


def test_a_compiled_experiment_warms_packs_of_the_size_to_come(jobs: list[dict[str, Any]]) -> None:
    config = SPEC.resolve(tiny(torch_compile_learner=True, max_pack_size=16))
    SPEC.warm(config, replicas=20)
    SPEC.warm(config, replicas=64)
    assert [(job["name"], job["rows"]) for job in jobs] == [("PPO", 10), ("PPO", 16)]


def test_what_is_not_compiled_needs_no_warming(jobs: list[dict[str, Any]]) -> None:
    SPEC.warm(SPEC.resolve(tiny(torch_compile_learner=False)), replicas=20)
    assert jobs == []


def test_the_small_job_compiles_the_graph_of_the_large_one() -> None:
    config = SPEC.resolve(tiny(train_batch_size=4096, minibatch_size=48, num_epochs=10))
    small = warming.small(config)
    assert small["train_batch_size"] == 50
    pack = open_pack(small)
    assert pack.minibatch == 48
    pack.close()
    whole = SPEC.resolve(tiny(train_batch_size=64, minibatch_size=None))
    assert warming.small(whole)["train_batch_size"] == 64  # the batch is the minibatch


def test_a_job_trains_one_small_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr("algorithms.core.lifting.stack.compiler_available", lambda: True)

    def note(graph: Any, args: Any) -> Any:
        sizes.append(len(args[0]))
        return graph

    monkeypatch.setattr("algorithms.core.lifting.stack.compiled", note)
    monkeypatch.setattr("algorithms.core.lifting.stack.any_length", lambda batch: False)
    monkeypatch.setattr("algorithms.core.lifting.kept._kinds", OrderedDict())
    config = warming.small(SPEC.resolve(tiny(torch_compile_learner=True)))
    warming.warm(json.loads(json.dumps({"name": "PPO", "config": config, "rows": 3})))
    assert sizes == [2]


def test_another_process_is_begun_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/cat")
    config = SPEC.resolve(tiny())
    assert not warming.begin("PPO", config | {"env": object}, 2)
    assert warming.begin("PPO", config, 2)
    warming.end()
    assert warming._begun == []
