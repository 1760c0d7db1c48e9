"""A lone IMPALA or APPO agent with actors that do not wait."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algorithms import Algorithm
from algorithms.core.packs.lagged import LaggedPack
from tests.algorithms.test_turns_pack import LSTM
from tests.algorithms.test_turns_recurrent import said
from tests.algorithms.turns import SPECS, tiny
from tests.support.actors import kill
from tunerl.errors import TrainableError

pytestmark = pytest.mark.usefixtures("ray_cluster")
LATE = "learners/default_policy/diff_num_grad_updates_vs_sampler_policy"


def build(name: str, **changes: Any) -> Algorithm:
    config = tiny(num_env_runners=2, num_envs_per_env_runner=2, seed=1, **changes)
    from algorithms.config import AlgorithmConfig

    return AlgorithmConfig.of(SPECS[name], config).build_algo()


def test_fragments_arrive_late_and_how_late_is_told() -> None:
    with build("IMPALA", observation_filter="MeanStdFilter", normalize_rewards=True) as agent:
        results = [agent.train().flat() for _ in range(3)]
        assert [r["num_env_steps_sampled_lifetime"] for r in results] == [96, 192, 288]
        waiting = agent.config["learner_queue_size"]
        assert results[-1]["learners/default_policy/num_updates_lifetime"] == 18 - waiting
        assert 0 < results[-1][LATE] < 18
        assert results[-1]["fault_tolerance/num_healthy_workers"] == 2
        assert results[-1]["env_runners/num_episodes_lifetime"] > 0


def test_a_dead_actor_is_made_anew_and_a_restored_agent_begins_afresh() -> None:
    with build("APPO") as agent:
        agent.train()
        state = agent.get_state()
        group = agent.env_runner_group
        assert group.fleet is not None
        kill(group.fleet, 1)
        for _ in range(2):
            result = agent.train().flat()
        assert result["fault_tolerance/num_remote_worker_restarts"] == 1
        agent.set_state(state)
        assert agent.train()["num_env_steps_sampled_lifetime"] == 192


@pytest.mark.slow
def test_a_failing_environment_fails_the_agent() -> None:
    faulty = {"env": "probe/grid", "env_config": {"fail": 3, "faulty": 1.0}}
    with build("IMPALA", **faulty) as agent, pytest.raises(TrainableError, match="floor gave way"):
        agent.train()


@pytest.mark.slow
def test_actors_with_a_memory_tell_what_they_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    with build("IMPALA", model=LSTM, rollout_fragment_length=20) as agent:
        batches: list[Any] = []
        assert isinstance(agent.pack, LaggedPack)
        monkeypatch.setattr(agent.pack, "learn", batches.append)
        agent.train()
        assert agent.pack.source is not None
        for batch in batches:  # of weights that never change
            own = {name: value[0] for name, value in batch.items()}
            torch.testing.assert_close(said(agent.pack, 0, own), own["dist_inputs"])
        assert any(batch["ends"].any() and batch["states"].any() for batch in batches)
        monkeypatch.undo()
        assert agent.train().flat()["learners/default_policy/num_updates_lifetime"] > 0


def test_in_a_sweep_the_lag_is_simulated() -> None:
    with build("IMPALA") as agent:
        agent.in_sweep = True
        for _ in range(2):
            result = agent.train().flat()
        assert result[LATE] == 3.0
        assert isinstance(agent.pack, LaggedPack)
        assert agent.pack.source is None
