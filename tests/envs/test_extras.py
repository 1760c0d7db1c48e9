"""The environments that are extras: each trains for a moment, and resumes where it can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.core import envs
from algorithms.core.envs.atari import game_of
from tests.algorithms.support import lone, open_pack, timeless, tiny
from tunerl.errors import InvalidConfig
from tunerl.statistics import iqm
from tunerl.trial import ReplicaId

SHORT = {"train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1}


@pytest.mark.parametrize(
    ("env_id", "game"),
    [
        ("ALE/Pong-v5", "pong"),
        ("ALE/MsPacman-v5", "ms_pacman"),
        ("SpaceInvadersNoFrameskip-v4", "space_invaders"),
        ("CartPole-v1", None),
    ],
)
def test_an_id_names_its_game(env_id: str, game: str | None) -> None:
    assert game_of(env_id) == game


@pytest.mark.parametrize(
    ("env_id", "config", "changes", "says"),
    [
        ("ALE/Pongg-v5", {}, {}, "did you mean 'pong'"),
        ("ALE/Pong-v5", {"frame_skip": 2}, {}, "did you mean 'frameskip'"),
        ("ALE/Pong-v5", {"reward_clipping": True}, {}, "env_config cannot set"),
        ("ALE/Pong-v5", {"frameskip": 0}, {}, "frameskip must be positive"),
        ("CartPole-v1", {}, {"is_atari": True}, "is no Atari game"),
    ],
)
def test_a_wrong_atari_game_or_argument_is_told(
    env_id: str, config: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    pytest.importorskip("ale_py")
    with pytest.raises(InvalidConfig, match=says):
        envs.make(env_id, config, 1, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("is_atari", [None, False])
def test_atari_frames_are_preprocessed_unless_told_otherwise(is_atari: bool | None) -> None:
    pytest.importorskip("ale_py")
    pack = envs.make("ALE/Breakout-v5", {}, 2, is_atari=is_atari)
    shape = (4, 84, 84) if is_atari is None else (210, 160, 3)
    assert pack.single_observation_space.shape == shape
    pack.add(1)
    assert pack.obs.shape == (1, 2, *shape)
    pack.close()


@pytest.mark.slow
def test_an_atari_row_resumes_and_ignores_its_neighbours() -> None:
    pytest.importorskip("ale_py")
    pack = envs.make("ALE/Breakout-v5", {"noop_max": 5}, 2)
    generator = np.random.default_rng(0)
    for seed in (3, 7):
        pack.add(seed)
    for _ in range(60):
        pack.step(generator.integers(0, 4, (2, 2)))
    other = envs.make("ALE/Breakout-v5", {"noop_max": 5}, 2)
    other.add(7, pack.read(1))
    assert np.array_equal(other.obs[0], pack.obs[1])
    ended = 0
    for _ in range(250):
        actions = generator.integers(0, 4, (2, 2))
        whole, alone = pack.step(actions), other.step(actions[1:])
        assert np.array_equal(whole.obs[1], alone.obs[0])
        assert np.array_equal(whole.final_obs[1], alone.final_obs[0])
        ended += int(whole.terminated[1].sum())
    assert ended > 0
    pack.close()
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "changes"),
    [
        ("ale_py", {"env": "ALE/Pong-v5", "model": {"conv_filters": [[4, 8, 8], [4, 3, 2]]}}),
        ("minatar", {"env": "MinAtar/Breakout-v1", "model": {}}),
        ("Box2D", {"env": "LunarLander-v3"}),
        ("mujoco", {"env": "HalfCheetah-v5"}),
        ("envpool", {"env": "Acrobot-v1", "gym_env_vectorize_mode": "envpool"}),
        ("envpool", {"env": "Pong-v5", "gym_env_vectorize_mode": "envpool",
                     "model": {"conv_filters": [[4, 8, 8], [4, 3, 2]]}}),
    ],
    ids=lambda value: value if isinstance(value, str) else value["env"],
)  # fmt: skip
def test_an_agent_trains_in_the_environments_of(package: str, changes: dict[str, Any]) -> None:
    pytest.importorskip(package)
    metrics, state = lone(tiny(**changes, **SHORT), 0, 2)
    assert metrics[-1]["num_env_steps_sampled_lifetime"] > 32
    assert np.isfinite(state.arrays["parameters"]).all()


@pytest.mark.slow
def test_ppo_learns_minatar_breakout_from_its_pictures() -> None:
    """Random play has a mean return of 0.4."""
    pytest.importorskip("minatar")
    config = tiny(env="MinAtar/Breakout-v1", train_batch_size=1024, minibatch_size=256, lr=1e-3,
                  num_envs_per_env_runner=8, num_epochs=3, model={},
                  entropy_coeff=0.01)  # fmt: skip
    pack = open_pack(config)
    for seed in range(3):
        pack.join(ReplicaId(seed, 0), config, seed)
    for _ in range(50):
        reports = pack.step()
    pack.close()
    returns = [timeless(report)["env_runners/episode_return_mean"] for report in reports.values()]
    assert iqm(returns) > 2.5, returns
