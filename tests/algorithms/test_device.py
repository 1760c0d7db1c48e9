"""Updates on an accelerator: what can be told without one.

With the device "cpu" in its place all goes the way there and back; the device "meta" (tensors
without contents) shows that nothing within an update is left behind on the processor.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from algorithms import PPOConfig
from algorithms.core.lifting import device
from algorithms.core.lifting.device import Device
from tests.algorithms import dqn_support, soft, support, turns
from tests.algorithms.support import timeless
from tests.support import offline
from tunerl import registry
from tunerl.errors import InvalidConfig
from tunerl.trainable import State
from tunerl.trial import ReplicaId

ID = ReplicaId(0, 0)
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "PPO": ("PPO", support.tiny()),
    "A2C": ("A2C", turns.tiny()),
    "APPO": ("APPO", turns.tiny(use_kl_loss=True)),
    "DQN": ("DQN", dqn_support.tiny()),
    "Rainbow": ("DQN", dqn_support.tiny(**dqn_support.RAINBOW)),
    "SAC": ("SAC", soft.tiny()),
}


class Spied(Device):
    """Counts the graphs made for it."""

    made = 0

    def graph(self, *args: Any) -> Any:
        self.made += 1
        return super().graph(*args)


def run(
    name: str, where: Device, monkeypatch: pytest.MonkeyPatch, state: State | None = None
) -> tuple[Any, State]:
    algorithm, config = CONFIGS[name]
    with monkeypatch.context() as patch:
        patch.setattr(device, "of", lambda config: where)
        spec = registry.trainable(algorithm)
        pack: Any = spec.open(spec.resolve(config))
    pack.join(ID, config, 3, state)
    report = pack.step()[ID]
    try:
        return timeless(report), pack.read(ID)
    finally:
        pack.close()


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("A2C", "DQN")]


@pytest.mark.parametrize("name", ["PPO", "SAC", *SLOW])
def test_an_update_there_and_back_is_the_same_and_states_know_no_device(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Spied("cpu", away=True)
    here, there = (run(name, where, monkeypatch) for where in (device.HERE, away))
    assert away.made > 0
    assert here[0] == there[0]
    again = [
        run(name, where, monkeypatch, state)
        for where, (_, state) in ((away, here), (device.HERE, there))
    ]
    assert again[0][0] == again[1][0]
    for name, array in again[0][1].arrays.items():
        np.testing.assert_array_equal(array, again[1][1].arrays[name])


def test_every_pack_that_learns_gives_its_update_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    env = gymnasium.make("Pendulum-v1", max_episode_steps=9)
    columns = offline.play(env, 1, lambda obs, g: g.uniform(-2, 2, 1).astype(np.float32))
    path = offline.write(offline.folder() / "device.parquet", columns, offline.spaces(env))
    files = {"env": None, "input_": path}
    monkeypatch.setattr(device, "of", lambda config: Device("cpu", away=True))
    for name, config in CONFIGS.values():
        assert runs_away(name, config), name
    for name in ("BC", "MARWIL", "CQL", "IQL"):
        assert runs_away(name, files), name


def runs_away(name: str, config: dict[str, Any]) -> bool:
    spec = registry.trainable(name)
    pack: Any = spec.open(spec.resolve(config))
    lifted = [getattr(pack, part, None) for part in ("update", "learning")]
    lifted += [getattr(getattr(pack, "descent", None), "lifted", None)]
    pack.close()
    return any(one.device.away for one in lifted if hasattr(one, "device"))


@pytest.mark.parametrize(
    "name",
    [
        *("PPO", "SAC"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("A2C", "APPO", "DQN", "Rainbow")),
    ],
)
def test_nothing_in_an_update_is_left_on_the_processor(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotImplementedError, match="copy out of meta tensor"):
        run(name, Device("meta"), monkeypatch)


def test_a_gpu_where_there_is_none_is_refused_with_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = PPOConfig().update_from_dict(support.tiny()).learners(num_gpus_per_learner=1)
    with pytest.raises(InvalidConfig, match=r"num_gpus_per_learner: 1 given, .*torch 2.* sees \d"):
        config.build()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.of({"num_gpus_per_learner": 0.5}).name == "cuda"
    assert device.of({"num_gpus_per_learner": None}) is device.HERE


def test_a_trial_reserves_what_it_asks_for() -> None:
    spec = registry.trainable("SAC")
    assert spec.resources(spec.resolve(soft.tiny())) == {"CPU": 1.0}
    asked = spec.resolve(soft.tiny(num_gpus_per_learner=0.25))
    assert spec.resources(asked) == {"CPU": 1.0, "GPU": 0.25}
    assert PPOConfig().resources(num_gpus=1).to_dict() == {"num_gpus_per_learner": 1.0}
    planned = spec.plan(asked, replicas=8, stop={"training_iteration": 10**6})
    assert planned["torch_compile_learner"] is None


@pytest.mark.parametrize("more", [{"torch_compile_learner": True}, {"num_learners": 2}])
def test_what_does_not_go_with_a_gpu_is_refused(more: dict[str, Any]) -> None:
    (name,) = more
    config = support.tiny(num_gpus_per_learner=1, **more)
    with pytest.raises(InvalidConfig, match=f"{name}: .*num_gpus_per_learner"):
        registry.trainable("PPO").resolve(config)
