"""Networks of one's own for agents that value actions: DQN, SAC, CQL, IQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algorithms import DQN, DQNConfig, RLModule, RLModuleSpec, SACConfig, register_model
from algorithms.core.packs.pack import AlgorithmPack
from tests.algorithms.support import timeless
from tests.support import offline
from tunerl import registry
from tunerl.errors import InvalidConfig
from tunerl.trainable import State
from tunerl.trial import ReplicaId

PLAIN, NEIGHBOUR = ReplicaId(0, 0), ReplicaId(1, 0)


class Pair(nn.Module):
    """As for PPO: outputs and a value."""

    def __init__(self, inputs: int, outputs: int, width: int = 6) -> None:
        super().__init__()
        self.body = nn.Linear(inputs, width)
        self.out, self.value = nn.Linear(width, outputs), nn.Linear(width, 1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.tanh(self.body(obs))
        return self.out(features), self.value(features).squeeze(-1)


class Single(Pair):
    """Outputs alone."""

    def forward(self, obs: Tensor) -> Any:
        return super().forward(obs)[0]


class Normed(Single):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, obs: Tensor) -> Any:
        return self.norm(super().forward(obs))


class Dropping(Single):
    def forward(self, obs: Tensor) -> Any:
        return nn.functional.dropout(super().forward(obs))


class Branching(Single):
    def forward(self, obs: Tensor) -> Any:
        found = super().forward(obs)
        return found if found.sum() > 0 else -found


class Wide(Single):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs + 1)


class Mine(RLModule):
    """RLlib's form, without values."""

    def setup(self) -> None:
        outputs = getattr(self.action_space, "n", None) or 2 * self.action_space.shape[0]
        self.out = nn.Linear(self.observation_space.shape[0], int(outputs))

    def _forward(self, batch: Any, **kwargs: Any) -> dict[str, Any]:
        return {"action_dist_inputs": self.out(batch["obs"])}


register_model("tests-pair", Pair)
BASE = {"env": "CartPole-v1", "num_steps_sampled_before_learning_starts": 8, "train_batch_size": 8}
TINY = {
    "DQN": BASE | {"min_sample_timesteps_per_iteration": 30, "target_network_update_freq": 10},
    "SAC": BASE | {"min_sample_timesteps_per_iteration": 20},
}
PENDULUM = {"env": "Pendulum-v1"}


def tiny(name: str, model: Any = "tests-pair", **more: Any) -> dict[str, Any]:
    return {**TINY[name], "model": {"custom_model": model}, **more}


def opened(name: str, config: dict[str, Any]) -> Any:
    spec = registry.trainable(name)
    pack = spec.open(spec.resolve(config))
    assert isinstance(pack, AlgorithmPack)
    return pack


def trained(name: str, config: dict[str, Any], neighbour: bool) -> tuple[Any, State, State]:
    """Reports of three iterations, the state after two and after three."""
    pack = opened(name, config)
    if neighbour:
        pack.join(NEIGHBOUR, config | {"gamma": 0.5}, 8)
    pack.join(PLAIN, config, 3)
    reports = [timeless(pack.step()[PLAIN]) for _ in range(2)]
    middle = pack.read(PLAIN)
    if neighbour:
        pack.leave(NEIGHBOUR)
    reports.append(timeless(pack.step()[PLAIN]))
    end = pack.read(PLAIN)
    pack.close()
    return reports, middle, end


def same(one: State, other: State) -> None:
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)


CONTRACT = [
    pytest.param("DQN", {}, id="DQN"),
    pytest.param("SAC", PENDULUM, id="SAC", marks=pytest.mark.slow),
    pytest.param("SAC", {}, id="SAC of choices", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "more"), CONTRACT)
def test_they_keep_the_contract_of_a_pack(name: str, more: dict[str, Any]) -> None:
    config = tiny(name, **more)
    alone, middle, end = trained(name, config, neighbour=False)
    among, _, again = trained(name, config, neighbour=True)
    assert alone == among
    same(end, again)
    assert not np.array_equal(middle.arrays["parameters"], end.arrays["parameters"])
    pack = opened(name, config)
    pack.join(PLAIN, config, 3, middle)
    assert timeless(pack.step()[PLAIN]) == alone[2]
    same(pack.read(PLAIN), end)
    pack.close()


def test_a_networks_outputs_are_advantages_beside_its_value_or_the_values() -> None:
    obs = torch.randn(1, 5, 4)
    pack = opened("DQN", tiny("DQN"))
    pack.join(PLAIN, tiny("DQN"), 0)
    network, flat = pack.network, pack.flat
    pack.layout.load(network, flat[0])
    advantages, value = network.network(obs[0])
    expected = value[:, None] + advantages - advantages.mean(-1, keepdim=True)
    torch.testing.assert_close(pack.policy(flat, obs)[0], expected)
    pack.close()
    for model in (Pair, Single):
        config = tiny("DQN", model, dueling=False)
        pack = opened("DQN", config)
        pack.join(PLAIN, config, 0)
        pack.layout.load(pack.network, pack.flat[0])
        found = pack.network.network(obs[0])
        values = found[0] if isinstance(found, tuple) else found
        torch.testing.assert_close(pack.policy(pack.flat, obs)[0], values)
        pack.close()


def test_returns_can_have_a_distribution_of_ones_own_too() -> None:
    config = tiny("DQN", Single, dueling=False, num_atoms=5, v_min=0.0, v_max=20.0)
    pack = opened("DQN", config)
    pack.join(PLAIN, config, 0)
    assert pack.network.logits(torch.zeros(3, 4)).shape == (3, 2, 5)
    assert "learners/default_policy/targets_out_of_range" in pack.step()[PLAIN]
    pack.close()


def test_critics_are_networks_of_their_own_each() -> None:
    pack = opened("SAC", tiny("SAC", Single, **PENDULUM))
    shapes = pack.layout.shapes
    assert shapes["critics.each.0.body.weight"] == shapes["critics.each.1.body.weight"] == (6, 4)
    assert shapes["actor.each.0.body.weight"] == (6, 3)
    obs, action = torch.randn(5, 3), torch.randn(5, 1)
    q = pack.network.values(obs, action)
    assert q.shape == (2, 5)
    for i in range(2):
        own = pack.network.critics.each[i](torch.cat([obs, action], -1))
        torch.testing.assert_close(q[i], own.squeeze(-1))
    assert not torch.equal(q[0], q[1])
    pack.close()


@pytest.mark.parametrize("name", [pytest.param("CQL", marks=pytest.mark.slow), "IQL"])
def test_agents_of_files_take_them_too(name: str, tmp_path: Path) -> None:
    env = gymnasium.make("Pendulum-v1", max_episode_steps=20)
    columns = offline.play(env, 2, lambda obs, g: g.uniform(-2, 2, 1).astype(np.float32))
    path = offline.write(tmp_path / "data.parquet", columns, offline.spaces(env))
    config = {"input_": path, "dataset_num_iters_per_learner": 2, "train_batch_size": 4}
    pack = opened(name, config | {"model": {"custom_model": Single}})
    pack.join(PLAIN, config | {"model": {"custom_model": Single}}, 0)
    before = pack.flat.clone()
    assert np.isfinite(list(timeless(pack.step()[PLAIN]).values())).all()
    assert ("value.each.0.body.weight" in pack.layout.shapes) == (name == "IQL")
    for part in pack.descent.segments.values():
        assert not torch.equal(before[:, part], pack.flat[:, part]) or part.stop - part.start == 1
    pack.close()


def test_a_module_in_rllibs_form_is_a_policy_and_values_actions(tmp_path: Path) -> None:
    spec = RLModuleSpec(module_class=Mine)
    config = SACConfig().update_from_dict(TINY["SAC"] | PENDULUM).rl_module(rl_module_spec=spec)
    with config.build() as agent:
        names = agent.pack.layout.shapes
        assert "actor.each.0.module.out.weight" in names
        assert "critics.layers.0.weight" in names
        agent.train()
    dqn = DQNConfig().update_from_dict(TINY["DQN"]).rl_module(rl_module_spec=spec)
    with pytest.raises(InvalidConfig, match="values no observations"):
        dqn.build()
    with dqn.training(dueling=False).build() as agent:
        agent.train()
        obs = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
        values = agent.get_module().forward_inference({"obs": obs[None]})["action_dist_inputs"]
        assert agent.compute_single_action(obs) == values.argmax()
        assert isinstance(agent.get_module().unwrapped(), Mine)
        agent.save(tmp_path)
        with DQN.from_checkpoint(tmp_path) as again:
            assert again.compute_single_action(obs) == values.argmax()


@pytest.mark.parametrize("name", ["PPO", "DQN", "SAC"])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Normed, "buffers .BatchNorm"),
        (Dropping, "does not work for several agents at once"),
        (Branching, "does not work for several agents at once"),
        (Wide, "it gave"),
    ],
)
def test_what_cannot_be_trained_is_told_before_training(
    name: str, model: Any, message: str
) -> None:
    class WithValue(model):  # type: ignore[misc]
        def forward(self, obs: Tensor) -> Any:
            return super().forward(obs), obs.sum(-1)

    given = WithValue if name != "SAC" else model
    config = {"env": "CartPole-v1", "model": {"custom_model": given}}
    with pytest.raises(InvalidConfig, match=rf"model.custom_model: .*{message}"):
        opened(name, config)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"noisy": True}, "noisy"),
        ({"hiddens": [8]}, "hiddens"),
        ({"num_atoms": 5}, "dueling"),
    ],
)
def test_settings_of_tunerls_own_layers_are_refused(more: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidConfig, match=f"^{path}: "):
        registry.trainable("DQN").resolve(tiny("DQN", **more))


def test_dueling_needs_a_value() -> None:
    with pytest.raises(InvalidConfig, match=r"it gave \(\[?\(?3, 2"):
        opened("DQN", tiny("DQN", Single))
