"""The invariant for packs that learn from replay: exactly alone's numbers, whoever is beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms import DQNConfig
from algorithms.core.packs.off_policy import OffPolicyPack
from tests.algorithms.dqn_support import RAINBOW, lone, open_pack, tiny, train
from tests.algorithms.support import timeless
from tests.algorithms.test_ppo_pack import same
from tunerl import checkpoints
from tunerl.errors import CheckpointError, InvalidConfig
from tunerl.trainable import Failure, State
from tunerl.trial import ReplicaId

ME, SEED, ITERATIONS = ReplicaId(50, 0), 7, 4
NORMAL = {"observation_filter": "MeanStdFilter", "normalize_rewards": True}
CONFIGS = {
    "plain": tiny(n_step=[1, 3]),
    "rainbow": tiny(**RAINBOW),
    "normalised": tiny(env="MountainCar-v0", replay_buffer_capacity=64, **NORMAL),
    "seldom": tiny(rollout_fragment_length=3, training_intensity=5.0, num_envs_per_env_runner=1),
}
case = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
few = pytest.mark.parametrize(
    "name", [pytest.param("plain", marks=pytest.mark.slow),
             pytest.param("rainbow", marks=pytest.mark.slow), "normalised", "seldom"]
)  # fmt: skip


def neighbour(config: dict[str, Any], number: int) -> dict[str, Any]:
    """One that differs in everything in which a neighbour may."""
    return config | {
        "lr": 1e-3 * (number + 1),
        "gamma": 0.9,
        "n_step": (1, [1, 4], 5)[number % 3],
        "rollout_fragment_length": 1 + number % 4,
        "training_intensity": (None, 2.0, 30.0)[number % 3],
        "num_steps_sampled_before_learning_starts": 10 * number,
        "target_network_update_freq": 7 * number,
        "double_q": number % 2 == 0,
        "tau": 0.5,
        "exploration": ("EpsilonGreedy", "SoftQ")[number % 2],
        "prioritized_replay_alpha": 0.1 * (number % 10),
        "td_error_loss_fn": ("huber", "mse")[number % 2],
    }


def crowd(config: dict[str, Any], size: int, state: State | None = None) -> OffPolicyPack:
    """A pack of `size`, with `ME` in the middle."""
    pack = open_pack(config)
    for number in range(size):
        if number == size // 2:
            pack.join(ME, config, SEED, state)
        else:
            pack.join(ReplicaId(number, 0), neighbour(config, number), 100 + number)
    return pack


@few
def test_a_pack_of_three_changes_nothing(name: str) -> None:
    config = CONFIGS[name]
    metrics, state = lone(config, SEED, ITERATIONS)
    pack = crowd(config, 3)
    assert train(pack, ME, ITERATIONS) == metrics
    same(pack.read(ME), state)
    pack.close()


@case
def test_neighbours_that_come_and_go_change_nothing(config: dict[str, Any]) -> None:
    metrics, state = lone(config, SEED, ITERATIONS)
    pack = crowd(config, 9)
    found = train(pack, ME, 1)
    for number in (0, 3, 8):
        pack.leave(ReplicaId(number, 0))
    found += train(pack, ME, 1)
    for number in (20, 21):
        pack.join(ReplicaId(number, 0), neighbour(config, number), number)
    pack.copy(ReplicaId(1, 0), ReplicaId(20, 0))
    found += train(pack, ME, 1)
    for id in list(pack.ids):
        if id != ME:
            pack.leave(id)
    found += train(pack, ME, 1)
    assert found == metrics
    same(pack.read(ME), state)
    pack.close()


@case
def test_one_resumed_from_disk_equals_the_uninterrupted(
    config: dict[str, Any], tmp_path: Path
) -> None:
    metrics, state = lone(config, SEED, ITERATIONS)
    pack = crowd(config, 3)
    assert train(pack, ME, 2) == metrics[:2]
    checkpoints.save(pack.read(ME), str(tmp_path / "saved"), {})
    pack.close()
    loaded, _ = checkpoints.load(str(tmp_path / "saved"))
    for size in (1, 4):
        pack = crowd(config, size, loaded)
        assert train(pack, ME, 2) == metrics[2:]
        same(pack.read(ME), state)
        pack.close()


def test_without_the_buffer_counters_go_on_and_learning_waits_until_it_is_filled_again() -> None:
    config = tiny(store_buffer_in_checkpoints=False, num_steps_sampled_before_learning_starts=100)
    metrics, state = lone(config, SEED, 3)
    updates = "learners/default_policy/num_updates_lifetime"
    assert [m[updates] for m in metrics] == [0, 11, 41]
    assert not [name for name in state.arrays if name.startswith("replay/")]
    pack = open_pack(config)
    pack.join(ME, config, SEED, state)
    found = train(pack, ME, 2)
    assert [m[updates] for m in found] == [41, 52]
    assert [m["num_env_steps_sampled_lifetime"] for m in found] == [240, 300]
    assert [m["replay_buffer/num_env_steps_stored"] for m in found] == [60, 120]
    pack.close()


FAULTS = [
    ({"fail": 31}, "ValueError: the floor gave way"),
    ({"nan": 31}, "FloatingPointError: the environment returned nan: element"),
    ({"huge": 31}, "FloatingPointError"),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=["raise", "nan", "huge"])
def test_a_faulty_environment_fails_its_own_replica_alone(
    fault: dict[str, int], error: str
) -> None:
    config = tiny(env="probe/single", env_config={**fault, "faulty": 0.3}, td_error_loss_fn="mse",
                  num_envs_per_env_runner=1, min_sample_timesteps_per_iteration=200,
                  grad_clip=None)  # fmt: skip
    outcomes = {}
    for seed in range(8):
        pack = open_pack(config)
        pack.join(ME, config, seed)
        outcomes[seed] = pack.step()[ME]
        pack.close()
    assert {isinstance(outcome, Failure) for outcome in outcomes.values()} == {True, False}
    pack = open_pack(config)
    for seed in range(8):
        pack.join(ReplicaId(seed, 0), config, seed)
    found = pack.step()
    for seed, alone in outcomes.items():
        outcome = found[ReplicaId(seed, 0)]
        if isinstance(alone, Failure):
            assert isinstance(outcome, Failure)
            assert outcome.error.startswith(error)
            assert outcome.error == alone.error
        else:
            assert timeless(outcome) == timeless(alone)
    pack.step()
    pack.close()


def test_an_exploit_takes_over_networks_and_memories_but_not_the_dice() -> None:
    config = tiny(**RAINBOW)
    pack = open_pack(config)
    source, target = ReplicaId(0, 0), ReplicaId(1, 0)
    pack.join(source, config, 1)
    pack.join(target, config | {"lr": 1e-3}, 2)
    train(pack, source, 2)
    pack.copy(source, target)
    mine, theirs = pack.read(target), pack.read(source)
    for name in ("parameters", "target", "adam/mean", "replay/obs", "replay/priorities"):
        np.testing.assert_array_equal(mine.arrays[name], theirs.arrays[name], err_msg=name)
    # the episodes that were under way in the source end in the target's memory
    newest = (theirs.arrays["replay/added"] - 1, np.arange(2))
    assert mine.arrays["replay/scalars"][newest][:, 2].tolist() == [1.0, 1.0]
    assert mine.values["member"]["generator"] != theirs.values["member"]["generator"]
    pack.close()


def test_a_state_of_another_buffer_is_refused_and_harms_nobody() -> None:
    config = tiny()
    _, foreign = lone(config | {"prioritized_replay": False, "num_envs_per_env_runner": 1}, 0, 1)
    metrics, _ = lone(config, SEED, 2)
    pack = open_pack(config)
    pack.join(ME, config, SEED)
    with pytest.raises(CheckpointError, match="replay buffer"):
        pack.join(ReplicaId(1, 0), config, 1, foreign)
    assert train(pack, ME, 2) == metrics
    pack.close()


WRONG = [
    ({"env": "Pendulum-v1"}, "env"),
    ({"n_step": [3, 2]}, "n_step"),
    ({"n_step": "three"}, "n_step"),
    ({"num_atoms": 5, "v_min": 1.0, "v_max": 1.0}, "v_min"),
    ({"normalize_actions": True}, "normalize_actions"),
    ({"model": {"head_fcnet_hiddens": [4]}}, "model.head_fcnet_hiddens"),
]


@pytest.mark.parametrize(("changes", "path"), WRONG, ids=lambda x: str(x)[:30])
def test_what_dqn_cannot_do_is_refused_before_training(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        open_pack(tiny(**changes))
    assert [problem.path for problem in caught.value.problems] == [path]


def test_an_agent_acts_evaluates_saves_and_goes_on(tmp_path: Path) -> None:
    config = DQNConfig.from_dict(tiny(**RAINBOW, seed=3))
    with config.build_algo() as agent, config.build_algo() as twin:
        agent.train()
        path = agent.save(str(tmp_path / "saved"))
        obs = np.zeros(4, np.float32)
        action, _, extra = agent.compute_single_action(obs, full_fetch=True)
        assert action == extra["action_dist_inputs"].argmax()
        drawn = [agent.compute_single_action(obs, explore=True, full_fetch=True) for _ in range(9)]
        assert len({tuple(said["action_dist_inputs"]) for _, _, said in drawn}) == 9  # noisy
        assert agent.evaluate(duration=2)["env_runners"]["num_episodes"] == 2
        twin.restore(path)
        assert (
            twin.get_weights()["default_policy"].keys()
            == agent.get_weights()["default_policy"].keys()
        )
        ours, theirs = agent.train(), twin.train()
        for name in ("learners/default_policy/qf_loss", "env_runners/episode_return_mean"):
            assert ours[name] == theirs[name]
