"""Agents with a memory that learn in turns: the learner sees what acted, and they remember.

That they keep the packs' invariant: `test_turns_pack`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.func import functional_call

import tests.algorithms.test_recurrent  # noqa: F401  (registers probe/recollect)
from algorithms.core.collecting.memory import Extras, Recall
from algorithms.core.collecting.rollout import Rollout
from algorithms.core.dists.distributions import Categorical
from algorithms.core.envs import StepBatch
from algorithms.core.lifting.stack import Batch
from algorithms.core.maths.actor_critic import evaluated, timewise
from algorithms.core.packs.turns import TurnPack
from tests.algorithms.support import timeless
from tests.algorithms.test_turns_pack import GRU, LSTM
from tests.algorithms.turns import SPECS, lone, open_pack, tiny
from tunerl.trainable import Failure
from tunerl.trial import ReplicaId

GRID = {"env": "probe/grid", "num_envs_per_env_runner": 3, "rollout_fragment_length": 7}


def said(pack: TurnPack, row: int, batch: Batch) -> torch.Tensor:
    """What a member's network says of a batch of its own, `[T, M, A]`."""
    weights = pack.layout.views(pack.flat[row])

    def call(*seen: torch.Tensor) -> Any:
        return functional_call(pack.network, weights, seen)

    with torch.no_grad():
        return evaluated(call, batch)[0]


@pytest.mark.parametrize(("name", "model"), [("IMPALA", LSTM), ("VPG", GRU), ("A3C", GRU)])
def test_the_learner_says_of_a_batch_what_the_actor_said(
    name: str, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over episodes that end within a fragment, several sequences and fragments."""
    config = tiny(**GRID, model=model, train_batch_size=40)
    pack, found = open_pack(name, config), list[Batch]()
    monkeypatch.setattr(pack, "learn", found.append)
    for seed in (1, 2):
        pack.join(ReplicaId(seed, 0), config, seed)
    pack.step()
    pack.close()
    assert len(found) == pack.turns > 1
    for batch in found:
        for row in range(2):
            own = {field: value[row] for field, value in batch.items()}
            torch.testing.assert_close(said(pack, row, own), own["dist_inputs"])
        assert batch["ends"].any()
        assert batch["states"].any()


def running_sum(obs: torch.Tensor, state: torch.Tensor, starts: torch.Tensor) -> Any:
    """A network of sequences `[N, L, 1]` that sums up what it sees of an episode."""
    sums = []
    for t in range(obs.shape[1]):
        state = state * (1 - starts[:, t, None]) + obs[:, t]
        sums.append(state)
    together = torch.stack(sums, 1)
    return together.repeat(1, 1, 2), together[..., 0]


def test_sequences_of_columns_by_hand() -> None:
    """Five steps of two columns in three sequences of two; a fresh episode in the fourth."""
    obs = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0], [5.0, 50.0]])[..., None]
    states = torch.tensor([[[0.5], [0.0]], [[3.5], [30.0]], [[4.0], [100.0]]])
    starts = torch.zeros(6, 2)
    starts[3, 0] = 1.0
    inputs, values = timewise(running_sum, obs, states, starts)
    assert values.T.tolist() == [[1.5, 3.5, 6.5, 4.0, 9.0], [10.0, 30.0, 60.0, 100.0, 150.0]]
    assert torch.equal(inputs, values[..., None].repeat(1, 1, 2))


def count(obs: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """A memory that counts its steps; the value is the count plus a tenth of the observation."""
    state = state + 1
    return torch.cat([torch.zeros(1, 1, 2), state + 0.1 * obs[..., :1], state], -1)


def test_what_is_told_of_a_rollout_by_hand() -> None:
    """Three steps and what follows them; the episode is cut off with the second."""
    model = {"use_lstm": True, "use_gru": False, "lstm_use_prev_action": False,
             "lstm_use_prev_reward": True}  # fmt: skip
    own = Recall(Extras(model, Categorical(2)), 1, 1, 2, 3, 2, last=True)
    assert (own.sequences, own.length) == (2, 2)
    own.add()
    own.begin()
    rollout, flags = Rollout.empty((1, 3, 1), 1, 2, np.zeros((), np.int64)), np.zeros((1, 1), bool)
    for t in range(3):
        own.act(count, torch.zeros(1, 1, 1))
        obs = np.full((1, 1, 1), 9.0, np.float32)
        reward = np.full((1, 1), t + 1.0, np.float32)
        batch = StepBatch(obs, reward, flags, flags | (t == 1), obs, ~flags)
        rollout.put_step(t, np.zeros((1, 1, 2)), np.ones((1, 1), np.int64), batch)
        if t == 1:
            rollout.put_final(t, batch.truncated, obs)
        own.after(t, rollout, batch, count)
    told = own.told()
    assert told["starts"][0, :, 0].tolist() == [0, 0, 1, 0]
    assert told["seen"][0, :, 0, 0].tolist() == [0, 1, 0, 3]
    assert told["states"][0, :, 0, 0].tolist() == [0, 0]
    np.testing.assert_allclose(told["finals"][0, :, 0], [0.0, 3.9, 0.0])


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "A2C" else pytest.mark.slow) for n in SPECS]
)
def test_a_fault_in_the_middle_of_an_iteration_leaves_the_others_as_they_were(name: str) -> None:
    config = tiny(env="probe/grid", env_config={"fail": 11, "faulty": 0.3}, model=LSTM,
                  num_env_runners=2, num_envs_per_env_runner=1, train_batch_size=16)  # fmt: skip
    pack = open_pack(name, config)
    for seed in range(5):
        pack.join(ReplicaId(seed, 0), config, seed)
    found = pack.step()
    failed = [seed for seed in range(5) if isinstance(found[ReplicaId(seed, 0)], Failure)]
    assert 0 < len(failed) < 5
    for seed in set(range(5)) - set(failed):
        alone, _ = lone(name, config, seed, 1)
        assert timeless(found[ReplicaId(seed, 0)]) == alone[0]
    pack.step()
    pack.close()


CELL = {"fcnet_hiddens": [8], "lstm_cell_size": 8, "max_seq_len": 5}
LEARNING: dict[str, dict[str, Any]] = {
    "A2C": {"model": CELL | {"use_lstm": True}},
    "A3C": {"num_env_runners": 2, "num_envs_per_env_runner": 4, "model": CELL | {"use_gru": True}},
    "IMPALA": {"model": CELL | {"use_lstm": True}},
    "APPO": {"model": CELL | {"use_gru": True}},
    "VPG": {"rollout_fragment_length": 30, "lr": 2e-2, "model": CELL | {"use_lstm": True}},
}


def recollected(name: str, **changes: Any) -> list[float]:
    """Mean returns, training and evaluated, of an agent that must remember a sign for three
    steps: 1 at best, a half without a memory."""
    config = tiny(**{"env": "probe/recollect", "num_envs_per_env_runner": 8, "gamma": 0.9,
                     "rollout_fragment_length": 12, "min_sample_timesteps_per_iteration": 2400,
                     "entropy_coeff": 0.01, "opt_type": "adam", "evaluation_interval": 12,
                     "evaluation_duration": 40, **changes})  # fmt: skip
    last = lone(name, config, 0, 12)[0][-1]
    return [last[f"{where}env_runners/episode_return_mean"] for where in ("", "evaluation/")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_what_must_be_remembered_is_learned(name: str) -> None:
    trained, evaluated = recollected(name, **LEARNING[name])
    assert trained > 0.85
    assert evaluated > 0.95


@pytest.mark.slow
def test_without_a_memory_it_is_not() -> None:
    trained, _ = recollected("A2C", model={"fcnet_hiddens": [8]})
    assert trained < 0.7
