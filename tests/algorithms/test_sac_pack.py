"""The invariant for SAC: a replica's numbers do not depend on its neighbours. To the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.core.lifting import descent
from algorithms.core.packs.soft_pack import SoftPack
from tests.algorithms.soft import lone, open_pack, same, tiny
from tests.algorithms.support import timeless
from tunerl.errors import CheckpointError
from tunerl.trainable import Failure
from tunerl.trial import ReplicaId

ME, SEED, ITERATIONS = ReplicaId(50, 0), 7, 3
CONFIGS = {
    "pendulum": tiny(observation_filter="MeanStdFilter", normalize_rewards=True),
    "choices": tiny(env="CartPole-v1", n_step=[1, 3], prioritized_replay=True),
    "masked": tiny(env="probe/allowed"),
    "odd": tiny(
        env="probe/target",
        train_batch_size=7,
        num_envs_per_env_runner=3,
        normalize_actions=False,
        model={"fcnet_hiddens": [7, 5], "fcnet_activation": "elu"},
    ),
}
WIDE = pytest.mark.parametrize("wide", [False, True], ids=["stacked", "a row at a time"])


def neighbour(config: dict[str, Any], number: int) -> dict[str, Any]:
    """One that differs in everything in which a neighbour may."""
    return config | {
        "actor_lr": 1e-3 * (number + 1),
        "gamma": 0.9,
        "tau": 0.1,
        "training_intensity": 4.0 * (1 + number % 3),
        "num_steps_sampled_before_learning_starts": 10 * number,
        "grad_clip": None if number % 2 else 0.1,
        "initial_alpha": 0.1,
    }


def crowd(config: dict[str, Any], size: int) -> Any:
    pack = open_pack("SAC", config)
    for number in range(size):
        if number == size // 2:
            pack.join(ME, config, SEED)
        else:
            pack.join(ReplicaId(number, 0), neighbour(config, number), 100 + number)
    return pack


@WIDE
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_alone_or_among_neighbours_that_come_and_go_are_the_same_numbers(
    config: dict[str, Any], wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wide:
        monkeypatch.setattr(descent, "WIDE", 0)
    metrics, state = lone("SAC", config, SEED, ITERATIONS)
    for size in (2, 3, 5):
        pack = crowd(config, size)
        found = []
        for iteration in range(ITERATIONS):
            found.append(timeless(pack.step()[ME]))
            if iteration == 0 and size == 5:
                pack.leave(ReplicaId(0, 0))
                pack.join(ReplicaId(9, 0), neighbour(config, 9), 109)
        assert found == metrics
        same(pack.read(ME), state)
        pack.close()


def test_wide_networks_are_not_stacked() -> None:
    narrow, wide = (
        open_pack("SAC", tiny(train_batch_size=batch, model={"fcnet_hiddens": sizes}))
        for batch, sizes in ((64, [64, 64]), (256, [256, 256]))
    )
    assert isinstance(narrow, SoftPack)
    assert isinstance(wide, SoftPack)
    assert narrow.descent.sizes == narrow.descent.lifted.sizes
    assert wide.descent.sizes == (1,)


@WIDE
def test_saved_and_resumed_is_as_uninterrupted(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if wide:
        monkeypatch.setattr(descent, "WIDE", 0)
    config = tiny(prioritized_replay=True, n_step=[1, 2])
    metrics, state = lone("SAC", config, SEED, 4)
    pack = open_pack("SAC", config)
    pack.join(ME, config, SEED)
    first = [timeless(pack.step()[ME]) for _ in range(2)]
    saved = pack.read(ME)
    pack.close()
    again = crowd(config, 2)
    again.leave(ME)
    again.join(ME, config, SEED, saved)
    assert first + [timeless(again.step()[ME]) for _ in range(2)] == metrics
    same(again.read(ME), state)
    again.close()


def test_a_copy_has_the_sources_networks_and_its_own_dice() -> None:
    config = tiny()
    pack = crowd(config, 3)
    pack.step()
    pack.copy(ReplicaId(0, 0), ME)
    source, target = pack.read(ReplicaId(0, 0)), pack.read(ME)
    for name in ("parameters", "target", "adam/mean"):
        np.testing.assert_array_equal(source.arrays[name], target.arrays[name])
    assert source.values["member"]["generator"] != target.values["member"]["generator"]
    pack.step()
    assert (
        pack.read(ReplicaId(0, 0)).arrays["parameters"] != pack.read(ME).arrays["parameters"]
    ).any()
    pack.close()


def test_nan_fails_its_member_alone() -> None:
    config = tiny()
    metrics, state = lone("SAC", config, SEED, 2)
    pack = open_pack("SAC", config)
    pack.join(ReplicaId(0, 0), config | {"critic_lr": 1e38}, 1)
    pack.join(ME, config, SEED)
    found, failed = [], []
    for _ in range(2):
        reports = pack.step()
        found.append(timeless(reports[ME]))
        failed += [r for r in reports.values() if isinstance(r, Failure)]
    assert len(failed) == 1
    assert "NaN or infinite" in failed[0].error
    assert found == metrics
    same(pack.read(ME), state)
    pack.close()


def test_a_state_of_other_networks_is_refused() -> None:
    _, state = lone("SAC", tiny(model={"fcnet_hiddens": [9]}), iterations=1)
    pack = open_pack("SAC", tiny())
    with pytest.raises(CheckpointError, match="model settings"):
        pack.join(ME, tiny(), SEED, state)
    assert pack.ids == []
    pack.close()


def test_actions_keep_to_the_bounds_and_random_ones_fill_them() -> None:
    for normalize in (True, False):
        config = tiny(normalize_actions=normalize, min_sample_timesteps_per_iteration=300)
        _, state = lone("SAC", config | {"num_steps_sampled_before_learning_starts": 300})
        actions = state.arrays["replay/actions"][:300]
        limit = 1.0 if normalize else 2.0
        assert np.abs(actions).max() <= limit
        assert actions.std() == pytest.approx(limit / 3**0.5, rel=0.1)  # uniform
