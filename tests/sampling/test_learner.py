"""Learners: one alone and several together take the same step; the helpers of older programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms import PPO, A2CConfig, PPOConfig
from algorithms.sampling import SampleBatch
from algorithms.sampling.helpers import (
    on_policy_fields,
    synchronous_parallel_sample,
    train_one_step,
)
from algorithms.sampling.learner import Learner, LearnerGroup
from tests.algorithms.support import TINY
from tunerl.errors import InvalidConfig, InvalidInput

BASE = {**TINY, "env": "CartPole-v1", "seed": 3, "normalize_advantages": False}


def config(**more: Any) -> PPOConfig:
    return PPOConfig().update_from_dict({**BASE, **more})


def fields(number: int = 32) -> dict[str, Any]:
    """Fields of a batch that the agent itself sampled."""
    algorithm = config().build_algo()
    batch = SampleBatch.concat_samples(algorithm.env_runner.sample(num_timesteps=number))
    found = {n: v[0].numpy() for n, v in on_policy_fields(algorithm.pack, batch).items()}
    algorithm.stop()
    return found


def test_a_step_is_the_gradient_clipped_and_applied() -> None:
    one, other = Learner(config(grad_clip=0.1)), Learner(config(grad_clip=0.1))
    batch = fields()
    found = one.compute_gradients(batch)
    before = one.get_weights()["default_policy"]
    assert before.keys() == found["gradients"].keys()
    norm = one.apply_gradients(found["gradients"])
    total = sum(float((g.astype(np.float64) ** 2).sum()) for g in found["gradients"].values())
    assert norm == pytest.approx(total**0.5, rel=1e-5)
    assert norm > 0.1
    # Adam's first step goes along the sign: lr * g / (|g| + eps), g clipped
    for name, gradient in found["gradients"].items():
        g = gradient * 0.1 / norm
        expected = before[name] - 3e-4 * g / (np.abs(g) + 1e-5)
        assert one.get_weights()["default_policy"][name] == pytest.approx(expected, abs=1e-6)
    statistics = other.update(batch)
    assert statistics["total_loss"] == found["statistics"]["total_loss"]
    assert statistics["gradients_default_optimizer_global_norm"] == norm
    same = zip(
        one.get_weights()["default_policy"].values(),
        other.get_weights()["default_policy"].values(),
        strict=True,
    )
    assert all(np.array_equal(a, b) for a, b in same)
    state = one.get_state()
    other.set_state(state)
    assert other.update(batch) == one.update(batch)
    other.set_weights(before)
    with pytest.raises(InvalidInput, match="not of this network"):
        one.apply_gradients({"x": 1})


@pytest.mark.usefixtures("ray_cluster")
def test_two_learners_take_the_step_of_one_on_the_whole_batch() -> None:
    group, alone = LearnerGroup(config(), num_learners=2), LearnerGroup(config())
    assert (len(group), len(alone)) == (2, 1)
    batch = fields()
    for _ in range(3):
        ours, theirs = group.update(batch), alone.update(batch)
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    weights, whole = group.get_weights()["default_policy"], alone.get_weights()["default_policy"]
    assert all(weights[name] == pytest.approx(whole[name], abs=1e-5) for name in whole)
    assert group.foreach_learner(lambda learner: learner.pack.members[0].updates) == [3]
    with pytest.raises(InvalidInput, match="cannot be divided among 2"):
        group.update({name: value[:31] for name, value in batch.items()})
    group.stop()
    alone.stop()


@pytest.mark.usefixtures("ray_cluster")
def test_an_agent_learns_the_same_with_several_learners() -> None:
    several, alone = config(num_learners=2).build_algo(), config().build_algo()
    for _ in range(2):
        ours, theirs = several.train(), alone.train()
    name = "learners/default_policy/total_loss"
    assert ours[name] == pytest.approx(theirs[name], rel=1e-2, abs=1e-3)
    a, b = (x.get_weights()["default_policy"] for x in (several, alone))
    assert all(a[n] == pytest.approx(b[n], abs=1e-4) for n in a)
    several.stop()
    alone.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("model", [{}, {"use_lstm": True, "lstm_cell_size": 4}], ids=["", "lstm"])
def test_columns_of_steps_are_shared_out_whole(model: dict[str, Any]) -> None:
    settings = {"env": "CartPole-v1", "num_envs_per_env_runner": 4, "seed": 3,
                "min_sample_timesteps_per_iteration": 40,
                "model": {"fcnet_hiddens": [8], **model}}  # fmt: skip
    several, alone = (
        A2CConfig().update_from_dict({**settings, "num_learners": number}).build_algo()
        for number in (2, 0)
    )
    for _ in range(2):
        several.train()
        alone.train()
    a, b = (x.get_weights()["default_policy"] for x in (several, alone))
    assert all(a[n] == pytest.approx(b[n], abs=1e-4) for n in a)
    several.stop()
    alone.stop()


def test_learners_that_cannot_be_are_refused_before_anything_trains() -> None:
    with pytest.raises(InvalidConfig, match="num_learners: a minibatch of 32 cannot be divided"):
        config(num_learners=3).build_algo()
    from algorithms.dqn import DQNConfig

    with pytest.raises(InvalidConfig, match="DQN learns in one process only"):
        DQNConfig().update_from_dict({"env": "CartPole-v1", "num_learners": 2}).build_algo()


def test_advantages_of_a_batch_by_hand() -> None:
    algorithm = PPOConfig().update_from_dict({**BASE, "env": "probe/two-steps"}).build_algo()
    batch = SampleBatch.concat_samples(algorithm.env_runner.sample(num_timesteps=8))
    found = on_policy_fields(algorithm.pack, batch)
    v0, v1 = (float(found["values"][0][batch["obs"][:, 0] == x][0]) for x in (0, 1))
    last = 1.0 - v1
    first = 0.0 + 0.99 * v1 - v0 + 0.99 * 0.95 * last
    for row, advantage in zip(batch.rows(), found["advantages"][0].tolist(), strict=True):
        assert advantage == pytest.approx(first if row["obs"][0] == 0 else last, rel=1e-5)
    with pytest.raises(InvalidInput, match="lacks new_obs"):
        on_policy_fields(algorithm.pack, SampleBatch(obs=[1]))
    algorithm.stop()


class GuidesVPG(PPO):
    """`training_step` as the guide writes it; it trains what is called `workers` there."""

    def training_step(self) -> Any:
        # 1. Sampling.
        train_batch = synchronous_parallel_sample(
            worker_set=self.workers, max_env_steps=self.config["train_batch_size"]
        )
        # 2. Updating the Policy.
        train_results = train_one_step(self, train_batch)
        # 3. Synchronize worker weights.
        self.workers.sync_weights()
        # 4. Return results.
        return train_results


def test_training_step_as_the_guide_writes_it() -> None:
    algorithm = GuidesVPG(config().to_dict())
    before = algorithm.get_weights()["default_policy"]["value_head.bias"]
    results = [algorithm.train() for _ in range(2)]
    after = algorithm.get_weights()["default_policy"]["value_head.bias"]
    assert not np.array_equal(before, after)
    assert results[-1]["training_iteration"] == 2
    assert results[-1]["num_env_steps_sampled_lifetime"] == 2 * TINY["train_batch_size"]
    assert np.isfinite(results[-1]["default_policy"]["total_loss"])
    runner = algorithm.env_runner.module.get_state()["value_head.bias"]
    assert np.array_equal(runner, after)
    algorithm.stop()
