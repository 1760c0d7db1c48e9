"""`learn_on_batch`: one update of an agent on a batch that somebody sampled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from algorithms import CQLConfig, MARWILConfig, PPOConfig, SACConfig
from algorithms.building import algorithm_class
from algorithms.core.specs.spec import AlgorithmSpec
from algorithms.sampling import SampleBatch
from algorithms.sampling.helpers import on_policy_fields
from algorithms.sampling.learner import Learner
from tests.algorithms import dqn_support, soft, turns
from tests.algorithms.agents import TINY
from tests.support import offline
from tunerl.errors import Conflict, InvalidConfig, InvalidInput, TrainableError

NORM = "gradients_default_optimizer_global_norm"


def made(spec: AlgorithmSpec, config: dict[str, Any]) -> Any:
    return algorithm_class(spec)({**config, "seed": 3})


def played(steps: int, env: str = "CartPole-v1") -> SampleBatch:
    """Steps at random; the last episode is cut off."""
    made = gymnasium.make(env, max_episode_steps=25)
    columns = offline.play(made, 1 + steps // 8, lambda obs, g: at_random(made, g))
    return SampleBatch({name: column[:steps] for name, column in columns.items()})


def at_random(env: Any, generator: np.random.Generator) -> Any:
    if isinstance(env.action_space, gymnasium.spaces.Discrete):
        return int(generator.integers(env.action_space.n))
    return generator.uniform(-1, 1, env.action_space.shape).astype(np.float32)


def copied(agent: Any) -> dict[str, Any]:
    return {name: value.copy() for name, value in agent.weights_now().items()}


def moved(agent: Any, before: dict[str, Any]) -> bool:
    return any(not np.array_equal(before[n], v) for n, v in agent.weights_now().items())


@pytest.fixture
def ppo() -> Iterator[Any]:
    with PPOConfig().update_from_dict(TINY).build() as agent:
        yield agent


def test_ppo_takes_the_step_that_a_learner_takes_on_these_fields(ppo: Any) -> None:
    batch = SampleBatch.concat_samples(ppo.env_runner.sample(num_timesteps=24))
    fields = {n: v[0].numpy() for n, v in on_policy_fields(ppo.pack, batch).items()}
    learner = Learner(PPOConfig().update_from_dict(TINY))
    learner.set_weights(ppo.get_weights())
    expected = learner.update(fields)
    policy, other = ppo.get_policy(), ppo.get_policy()
    found = policy.learn_on_batch(batch)
    assert found == {name: pytest.approx(expected[name], rel=1e-4) for name in found}
    assert NORM in found
    theirs = learner.get_weights()["default_policy"]
    for name, value in ppo.get_weights()["default_policy"].items():
        np.testing.assert_allclose(value, theirs[name], atol=1e-6)
        np.testing.assert_array_equal(policy.get_weights()[name], value)
    assert ppo.record.updates == 1
    assert other is policy
    action = ppo.get_policy().compute_single_action(batch["obs"][0])[2]["action_dist_inputs"]
    np.testing.assert_array_equal(
        action, policy.compute_single_action(batch["obs"][0])[2]["action_dist_inputs"]
    )


def test_advantages_that_are_given_count(ppo: Any) -> None:
    batch, before = played(24), copied(ppo)
    found = [ppo.learn_on_batch(batch)["vf_loss"]]
    for targets in (0.0, 9.0):
        ppo.set_weights({"default_policy": before})
        given = np.full(batch.count, targets, np.float32)
        more = SampleBatch(batch, value_targets=given, advantages=given)
        found.append(ppo.learn_on_batch(more)["vf_loss"])
    assert len(set(found)) == 3


def test_steps_of_the_present_policy_need_no_more_than_what_happened(ppo: Any) -> None:
    batch = SampleBatch.concat_samples(ppo.env_runner.sample(num_timesteps=24))
    before = copied(ppo)
    expected = ppo.learn_on_batch(batch)
    ppo.set_weights({"default_policy": before})
    names = ("obs", "new_obs", "actions", "rewards", "eps_id")
    plain = SampleBatch({name: batch[name] for name in names})
    plain["dones"] = batch["terminateds"]
    assert ppo.learn_on_batch(plain)["policy_loss"] == pytest.approx(
        expected["policy_loss"], abs=1e-6
    )


@pytest.mark.parametrize("name", [pytest.param("A3C", marks=pytest.mark.slow), "APPO"])
def test_agents_that_learn_in_turns_learn_from_a_batch(name: str) -> None:
    with made(turns.SPECS[name], turns.tiny()) as agent:
        batch, before = played(24), copied(agent)
        found = agent.get_policy().learn_on_batch(batch)
        assert np.isfinite(list(found.values())).all()
        assert found[NORM] > 0
        assert moved(agent, before)
        if "acting" in agent.pack.more:
            assert torch.equal(agent.pack.more["acting"], agent.pack.flat)
        else:
            assert torch.equal(agent.pack.more["workers"][0, 2], agent.pack.flat[0])


def test_a_batch_in_turns_is_one_column_of_steps_cut_between_episodes() -> None:
    with made(turns.SPECS["A2C"], turns.tiny(use_gae=False, entropy_coeff=0.0)) as agent:
        batch = played(24)
        parts = batch.split_by_episode()
        last = np.concatenate([p["new_obs"][-1:] for p in parts])
        ended = np.array([p["terminateds"][-1] for p in parts])
        value = agent.pack.value(agent.pack.flat, torch.from_numpy(last)[None])[0].numpy()
        after = np.where(ended, 0.0, value)
        targets: list[float] = []
        for part, bootstrap in zip(parts, after, strict=True):
            returns = []
            for reward in part["rewards"][::-1]:
                bootstrap = reward + 0.99 * bootstrap
                returns.append(bootstrap)
            targets += returns[::-1]
        seen = torch.from_numpy(batch["obs"].astype(np.float32))[None]
        own = agent.pack.value(agent.pack.flat, seen)[0].numpy()
        found = agent.learn_on_batch(batch)
        expected = ((own - np.array(targets)) ** 2).mean()
        assert found["vf_loss"] == pytest.approx(expected, rel=1e-4)


def test_vpg_learns_from_episodes_that_end_alone() -> None:
    with made(turns.SPECS["VPG"], turns.tiny()) as agent:
        batch, before = played(24), copied(agent)
        with pytest.raises(InvalidInput, match="no episode ends"):
            agent.learn_on_batch(batch.slice(0, 3))
        assert not moved(agent, before)
        agent.learn_on_batch(batch)
        assert moved(agent, before)


def test_dqn_learns_from_transitions_and_its_target_when_it_is_told() -> None:
    with made(dqn_support.SPEC, dqn_support.tiny(double_q=False, dueling=False)) as agent:
        batch, pack = played(16), agent.pack
        obs, after = (torch.from_numpy(batch[n])[None] for n in ("obs", "new_obs"))
        now = pack.policy(pack.flat, obs)[0].numpy()[np.arange(batch.count), batch["actions"]]
        best = pack.policy(pack.flat, after)[0].numpy().max(-1)
        alive = 1.0 - batch["terminateds"]
        errors = now - (batch["rewards"] + 0.99 * alive * best)
        found = agent.learn_on_batch(batch)
        assert found["td_error_mean"] == pytest.approx(errors.mean(), rel=1e-4)
        assert found["qf_mean"] == pytest.approx(now.mean(), rel=1e-4)
        assert not torch.equal(pack.more["target"], pack.flat)
        agent.get_policy().update_target()  # with tau 1
        assert torch.equal(pack.more["target"], pack.flat)
        assert agent.train()["training_iteration"] == 1


def test_sac_learns_from_batches_of_any_size_and_its_targets_follow() -> None:
    config = SACConfig().update_from_dict(soft.tiny()).debugging(seed=1)
    with config.build() as agent:
        for size in (5, 9):
            before, target = copied(agent), agent.pack.more["target"].clone()
            found = agent.learn_on_batch(played(size, "Pendulum-v1"))
            assert np.isfinite(list(found.values())).all()
            assert moved(agent, before)
            assert not torch.equal(agent.pack.more["target"], target)
        assert agent.pack.batch_size == 8


@pytest.mark.parametrize("kind", [MARWILConfig, pytest.param(CQLConfig, marks=pytest.mark.slow)])
def test_agents_of_files_learn_from_other_data_too(kind: Any, tmp_path: Any) -> None:
    env = gymnasium.make("Pendulum-v1", max_episode_steps=20)
    columns = offline.play(env, 3, lambda obs, g: g.uniform(-2, 2, 1).astype(np.float32))
    path = offline.write(tmp_path / "data.parquet", columns, offline.spaces(env))
    config = kind().offline_data(input_=path, dataset_num_iters_per_learner=1).debugging(seed=1)
    config.training(train_batch_size=8, model={"fcnet_hiddens": [8]})
    with config.build() as agent:
        before, data = copied(agent), agent.pack.data
        batch = SampleBatch({name: column[:25] for name, column in columns.items()})
        found = agent.learn_on_batch(batch)
        assert np.isfinite(list(found.values())).all()
        assert moved(agent, before)
        assert agent.pack.data is data
        assert agent.train()["num_env_steps_trained_lifetime"] == 8
        with pytest.raises(InvalidInput, match="the batch lacks the column"):
            agent.learn_on_batch({"obs": columns["obs"], "actions": columns["actions"]})


def test_a_runner_learns_as_the_guides_have_it(ppo: Any) -> None:
    runner = ppo.env_runner
    before = runner.weights_now()
    batch = runner.sample(num_timesteps=20)
    assert runner.learn_on_batch(batch)[NORM] > 0
    assert any(not np.array_equal(before[n], v) for n, v in runner.weights_now().items())
    policy = runner.get_policy()
    policy.learn_on_batch(batch)
    same = {n: np.array_equal(v, policy.get_weights()[n]) for n, v in runner.weights_now().items()}
    assert all(same.values())


def test_what_cannot_be_learned_from_is_told(ppo: Any) -> None:
    batch = played(24)
    for given, message in (
        ({}, "is empty"),
        ({"obs": batch["obs"]}, "lacks new_obs, actions, rewards"),
        (SampleBatch(batch, rewards=np.full(batch.count, np.nan)), "NaN"),
    ):
        before = copied(ppo)
        with pytest.raises((InvalidInput, TrainableError), match=message):
            ppo.learn_on_batch(given)
        assert not moved(ppo, before)
    with pytest.raises(InvalidConfig, match="no target network"):
        ppo.update_target()
    policy = ppo.get_policy()
    policy.set_weights({n: v + 1 for n, v in policy.get_weights().items()})
    with pytest.raises(Conflict, match="other weights now"):
        policy.learn_on_batch(batch)
    recurrent = PPOConfig().update_from_dict({**TINY, "model": {"use_lstm": True}})
    with recurrent.build() as agent, pytest.raises(InvalidConfig, match="with a memory"):
        agent.learn_on_batch(batch)
