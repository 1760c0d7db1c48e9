"""Agents with memory: what they remember, what they learn from, and how they share a pack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import tests.algorithms.support as support
from algorithms.core.collecting.memory import Extras, Recall
from algorithms.core.collecting.rollout import Rollout
from algorithms.core.dists.distributions import Categorical, DiagGaussian, MultiCategorical
from algorithms.core.envs import StepBatch
from algorithms.dqn import SPEC as DQN
from algorithms.ppo import SPEC
from tests.algorithms.support import lone, open_pack, parameters, timeless, tiny
from tunerl.errors import InvalidConfig
from tunerl.registry import register_env
from tunerl.trial import ReplicaId

CELL = {"fcnet_hiddens": [8], "lstm_cell_size": 8, "max_seq_len": 5}
MODELS: dict[str, dict[str, Any]] = {
    "lstm": {**CELL, "use_lstm": True, "lstm_use_prev_action": True, "lstm_use_prev_reward": True},
    "gru": {**CELL, "use_gru": True, "vf_share_layers": False},
}


class Recollect(support.Probe):
    """Shows a sign in the first of three steps; the last one's action must repeat it."""

    observation_space = spaces.Box(-1.0, 1.0, (2,))
    length = 3

    def see(self) -> Any:
        if self.time == 0:
            self.sign = int(self.np_random.integers(2))
            return np.array([2.0 * self.sign - 1.0, 1.0], np.float32)
        return np.zeros(2, np.float32)

    def reward(self, action: Any) -> float:
        return float(self.time == 2 and action == self.sign)


register_env("probe/recollect", Recollect)


@pytest.mark.parametrize(
    ("env", "cell"),
    [
        ("CartPole-v1", "lstm"),
        ("Pendulum-v1", "gru"),
        pytest.param("CartPole-v1", "gru", marks=pytest.mark.slow),
        pytest.param("Pendulum-v1", "lstm", marks=pytest.mark.slow),
        ("probe/grid", "lstm"),
        pytest.param("probe/grid", "gru", marks=pytest.mark.slow),
    ],
)
def test_a_member_whose_neighbours_leave_is_as_alone(env: str, cell: str) -> None:
    config = tiny(env=env, model=MODELS[cell], lr=1e-2, observation_filter="MeanStdFilter")
    metrics, state = lone(config, 5, 3)
    pack = open_pack(config)
    for i, seed in enumerate((3, 5, 9)):
        pack.join(ReplicaId(i, 0), config, seed)
    for number, before in enumerate(metrics):
        if number == 1:
            pack.leave(ReplicaId(0, 0))
        assert timeless(pack.step()[ReplicaId(1, 0)]) == before
    after = pack.read(ReplicaId(1, 0))
    pack.close()
    assert all(np.array_equal(after.arrays[name], own) for name, own in state.arrays.items())


@pytest.mark.parametrize("fault", [{"fail": 9}, {"nan": 9}])
def test_a_fault_in_the_middle_of_a_rollout_leaves_the_others_as_they_were(fault: Any) -> None:
    config = tiny(env="probe/grid", env_config={**fault, "faulty": 0.3}, model=MODELS["lstm"])
    pack = open_pack(config)
    for seed in range(6):
        pack.join(ReplicaId(seed, 0), config, seed)
    pack.step()
    left = list(pack.ids)
    assert 0 < len(left) < 6
    alone = open_pack(config)
    alone.join(left[-1], config, left[-1].trial)
    alone.step()
    assert torch.equal(parameters(alone, left[-1]), parameters(pack, left[-1]))
    alone.close()
    pack.close()


def recollected(model: dict[str, Any], iterations: int) -> dict[str, Any]:
    """The last metrics of an agent that must remember a sign for three steps."""
    config = tiny(env="probe/recollect", train_batch_size=480, minibatch_size=96, lr=1e-2,
                  num_epochs=6, num_envs_per_env_runner=8, evaluation_interval=iterations,
                  evaluation_duration=40, model=model)  # fmt: skip
    return lone(config, 0, iterations)[0][-1]


def test_what_must_be_remembered_is_learned_and_shown_in_evaluation() -> None:
    found = recollected({**CELL, "use_gru": True}, 14)
    assert found["env_runners/episode_return_mean"] > 0.8
    assert found["evaluation/env_runners/episode_return_mean"] > 0.9


@pytest.mark.slow
def test_an_lstm_learns_it_too_and_a_network_without_memory_does_not() -> None:
    found = recollected({**CELL, "use_lstm": True}, 40)
    assert found["evaluation/env_runners/episode_return_mean"] > 0.9
    without = recollected({"fcnet_hiddens": [8]}, 40)
    assert without["env_runners/episode_return_mean"] < 0.75


def recall(horizon: int = 5, length: int = 2) -> Recall:
    found = Recall(Extras({"use_lstm": True, "use_gru": False, "lstm_use_prev_action": True,
                           "lstm_use_prev_reward": True}, Categorical(2)),
                   1, 1, 2, horizon, length)  # fmt: skip
    found.add()
    found.begin()
    return found


def count(obs: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """A memory that counts its steps; the value is the count plus a tenth of the observation."""
    state = state + 1
    return torch.cat([torch.zeros(1, 1, 2), state + 0.1 * obs[..., :1], state], -1)


def test_values_states_and_resets_by_hand() -> None:
    """An episode that is cut off with the second step, and one that ends with the fourth."""
    own, flags = recall(), np.zeros((1, 1), np.bool_)
    rollout = Rollout.empty((1, 5, 1), 1, 2, np.zeros((), np.int64))
    for t in range(5):
        rollout.put_obs(t, np.full((1, 1, 1), t, np.float32))
        own.act(count, torch.from_numpy(rollout.at(t)))
        obs = np.full((1, 1, 1), 9.0, np.float32)
        batch = StepBatch(obs, np.full((1, 1), 0.5, np.float32), flags | (t == 3),
                          flags | (t == 1), obs, ~flags)  # fmt: skip
        rollout.put_step(t, np.zeros((1, 1, 2)), np.ones((1, 1), np.int64), batch)
        if t == 1:
            rollout.put_final(t, batch.truncated, obs)
        own.after(t, rollout, batch, count)
    rollout.put_obs(5, np.full((1, 1, 1), 5, np.float32))
    values, following = own.values(count, rollout)
    np.testing.assert_allclose(values[0, :, 0], [1.0, 2.1, 1.2, 2.3, 1.4], rtol=1e-6)
    np.testing.assert_allclose(following[0, :, 0], [2.1, 3.9, 2.3, 0.0, 2.5], rtol=1e-6)
    flat = {"obs": rollout.obs, "values": values}
    fields = own.fields(flat, rollout.valid)
    assert fields["state_in"][0, :, 0].tolist() == [0.0, 0.0, 0.0]
    assert fields["resets"][0].tolist() == [[0, 0], [1, 0], [1, 0]]
    assert fields["weights"][0].tolist() == [[1, 1], [1, 1], [1, 0]]
    assert fields["obs"][0, 0].tolist() == [[0, 0, 0, 0], [1, 0, 1, 0.5]]
    assert fields["obs"][0, 1].tolist() == [[2, 0, 0, 0], [3, 0, 1, 0.5]]


@pytest.mark.parametrize(
    ("distribution", "action", "numbers"),
    [
        (Categorical(3), np.array([2]), [0, 0, 1]),
        (MultiCategorical((2, 3)), np.array([[1, 0]]), [0, 1, 1, 0, 0]),
        (DiagGaussian(2), np.array([[0.5, -2.0]]), [0.5, -2.0]),
    ],
)
def test_the_last_action_is_told_in_numbers(distribution: Any, action: Any, numbers: Any) -> None:
    settings = {"use_lstm": True, "use_gru": False, "lstm_use_prev_action": True,
                "lstm_use_prev_reward": False}  # fmt: skip
    extras = Extras(settings, distribution)
    assert extras.size == len(numbers)
    assert extras(action, np.zeros(1))[0].tolist() == numbers


def test_who_has_no_memory_says_so() -> None:
    with pytest.raises(InvalidConfig, match="DQN has no recurrent networks"):
        DQN.resolve({"env": "CartPole-v1", "model": {"use_lstm": True}})
    model = {"use_gru": True, "custom_model": torch.nn.Linear}
    with pytest.raises(InvalidConfig, match="for networks of TuneRL's"):
        open_pack(SPEC.resolve(tiny(model=model)))
