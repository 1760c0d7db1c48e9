"""The invariant: a replica's numbers do not depend on its neighbours. Exactly, to the bit."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algorithms.core.nets import register_model
from algorithms.core.packs.on_policy import OnPolicyPack
from tests.algorithms.support import lone, open_pack, parameters, timeless, tiny, train
from tunerl import checkpoints
from tunerl.errors import CheckpointError, InvalidConfig
from tunerl.trainable import Failure, State
from tunerl.trial import ReplicaId

ME, SEED, ITERATIONS = ReplicaId(50, 0), 7, 4


class Own(nn.Module):
    """A user's module of sizes that fill no register."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, 7), nn.SiLU(), nn.LayerNorm(7))
        self.pi, self.vf = nn.Linear(7, outputs), nn.Linear(7, 1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(obs)
        return self.pi(features), self.vf(features).squeeze(-1)


register_model("tests-own", Own)
ODD = {"train_batch_size": 63, "num_envs_per_env_runner": 3, "minibatch_size": 21}
NORMAL = {"observation_filter": "MeanStdFilter", "normalize_rewards": True}
CONFIGS = {
    "cartpole": tiny(lr=1e-2),
    "pendulum": tiny(env="Pendulum-v1", lr=1e-2, **NORMAL),
    "multi-discrete": tiny(env="probe/grid", **NORMAL),
    "odd": tiny(
        env="probe/grid", model={"fcnet_hiddens": [7, 5], "fcnet_activation": "elu"}, **ODD
    ),
    "own": tiny(model={"custom_model": "tests-own"}, **ODD),
    "stops": tiny(num_epochs=5, target_kl=1e-4, lr=1e-2),
}
case = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def neighbour(config: dict[str, Any], number: int) -> dict[str, Any]:
    """One that differs in everything in which a neighbour may."""
    return config | {
        "lr": 1e-3 * (number + 1),
        "gamma": 0.9,
        "num_epochs": 1 + number % 4,
        "target_kl": (None, 1e-4, 0.02)[number % 3],
        "entropy_coeff": 0.01 * number,
        "grad_clip": None if number % 2 else 0.1,
    }


def crowd(config: dict[str, Any], size: int, state: State | None = None) -> OnPolicyPack:
    """A pack of `size`, with `ME` in the middle."""
    pack = open_pack(config)
    for number in range(size):
        if number == size // 2:
            pack.join(ME, config, SEED, state)
        else:
            pack.join(ReplicaId(number, 0), neighbour(config, number), 100 + number)
    return pack


def same(found: State, wanted: State) -> None:
    """Equal to the last bit (`time_total_s` and the clock apart)."""
    assert found.arrays.keys() == wanted.arrays.keys()
    for name, array in wanted.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    mine, others = (dict(state.values["member"]) for state in (found, wanted))
    assert mine | {"time_total_s": 0} == others | {"time_total_s": 0}


@case
def test_a_pack_of_three_changes_nothing(config: dict[str, Any]) -> None:
    metrics, state = lone(config, SEED, ITERATIONS)
    pack = crowd(config, 3)
    assert train(pack, ME, ITERATIONS) == metrics
    same(pack.read(ME), state)
    pack.close()


@case
def test_a_pack_of_sixteen_whose_neighbours_come_and_go_changes_nothing(
    config: dict[str, Any],
) -> None:
    metrics, state = lone(config, SEED, ITERATIONS)
    pack = crowd(config, 16)
    found = train(pack, ME, 1)
    for number in (0, 3, 11, 15):
        pack.leave(ReplicaId(number, 0))
    found += train(pack, ME, 1)
    for number in (20, 21, 22):
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
def test_one_resumed_from_disk_in_another_pack_equals_the_uninterrupted(
    config: dict[str, Any], tmp_path: Path
) -> None:
    metrics, state = lone(config, SEED, ITERATIONS)
    pack = crowd(config, 3)
    assert train(pack, ME, 2) == metrics[:2]
    checkpoints.save(pack.read(ME), str(tmp_path / "saved"), {"note": 1})
    pack.close()
    loaded, meta = checkpoints.load(str(tmp_path / "saved"))
    assert meta == {"note": 1}
    for size in (1, 6):
        pack = crowd(config, size, loaded)
        assert train(pack, ME, 2) == metrics[2:]
        same(pack.read(ME), state)
        pack.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("minibatch", [21, 24, 32])
@pytest.mark.parametrize("name", ["cartpole", "odd"])
def test_compiled_updates_keep_the_invariant(
    name: str, minibatch: int, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = {"minibatch_size": minibatch, "train_batch_size": 3 * minibatch}
    config = CONFIGS[name] | {"torch_compile_learner": True, **sizes}
    metrics, state = lone(config, SEED, 2)
    for size in (3, 16):
        pack = crowd(config, size)
        assert train(pack, ME, 2) == metrics
        same(pack.read(ME), state)
        pack.close()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


FAULTS = [
    ({"fail": 11}, "ValueError: the floor gave way", 'raise ValueError("the floor gave way")'),
    ({"nan": 11}, "FloatingPointError: the environment returned nan: element", ""),
    ({"huge": 11}, "FloatingPointError", "became NaN or infinite in iteration 1"),
]


@pytest.mark.parametrize(("fault", "error", "trace"), FAULTS, ids=["raise", "nan", "huge"])
def test_a_faulty_environment_fails_its_own_replica_alone(
    fault: dict[str, int], error: str, trace: str
) -> None:
    # whether a replica is faulty is drawn by its environments, so from its seed alone
    config = tiny(env="probe/grid", env_config={**fault, "faulty": 0.3}, use_critic=True)
    outcomes = {}
    for seed in range(8):
        pack = open_pack(config)
        pack.join(ME, config, seed)
        outcomes[seed] = pack.step()[ME]
        assert (pack.ids == []) is isinstance(outcomes[seed], Failure)
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
            assert "Traceback" in outcome.traceback or "Error" in outcome.traceback
            assert trace in outcome.traceback
            with pytest.raises(KeyError):
                pack.read(ReplicaId(seed, 0))
        else:
            assert timeless(outcome) == timeless(alone)
    assert len(pack.ids) == sum(not isinstance(outcome, Failure) for outcome in outcomes.values())
    pack.step()
    pack.close()


def test_a_learning_rate_out_of_reason_fails_its_replica_alone() -> None:
    config = tiny()
    metrics, state = lone(config, SEED, 2)
    pack = open_pack(config)
    wild = ReplicaId(1, 0)
    pack.join(wild, config | {"lr": 1e38, "grad_clip": None, "num_epochs": 4}, 3)
    pack.join(ME, config, SEED)
    first = pack.step()
    outcome = first[wild]
    assert isinstance(outcome, Failure)
    assert "became NaN or infinite in iteration 1 (lr=1e+38)" in outcome.error
    assert "FloatingPointError" in outcome.traceback
    assert pack.ids == [ME]
    assert [timeless(first[ME]), *train(pack, ME, 1)] == metrics
    same(pack.read(ME), state)
    pack.close()


def test_an_exploit_copies_what_was_learned_but_not_the_dice() -> None:
    config = tiny(env="Pendulum-v1", use_kl_loss=True, **NORMAL)
    pack = open_pack(config)
    source, target = ReplicaId(0, 0), ReplicaId(1, 0)
    pack.join(source, config, 1)
    pack.join(target, config | {"lr": 1e-2}, 2)
    train(pack, source, 2)
    pack.copy(source, target)
    assert torch.equal(parameters(pack, target), parameters(pack, source))
    mine, theirs = pack.read(target), pack.read(source)
    for name in ("adam/mean", "adam/square", "adam/steps", "observations/mean", "returns/m2"):
        assert np.array_equal(mine.arrays[name], theirs.arrays[name]), name
    assert mine.values["member"]["adaptive"] == theirs.values["member"]["adaptive"]
    assert mine.values["member"]["seed"] == 2
    assert mine.values["member"]["config"]["lr"] == 1e-2
    assert mine.values["member"]["generator"] != theirs.values["member"]["generator"]
    assert not np.array_equal(mine.arrays["environment/obs"], theirs.arrays["environment/obs"])
    metrics = timeless(pack.step()[target])
    assert metrics["training_iteration"] == 3
    assert not torch.equal(parameters(pack, target), parameters(pack, source))
    pack.close()


def test_configure_takes_vector_fields_and_refuses_fixed_ones() -> None:
    config = tiny()
    pack = open_pack(config)
    pack.join(ME, config, SEED)
    before = train(pack, ME, 1)
    pack.configure(ME, config | {"lr": 1e-2, "num_epochs": 5})
    metrics = train(pack, ME, 1)[0]
    assert metrics["learners/default_policy/default_optimizer_learning_rate"] == 1e-2
    updates = "learners/default_policy/num_updates_lifetime"
    assert metrics[updates] - before[0][updates] == 5 * 2
    for changed in ({"train_batch_size": 128}, {"env": "Acrobot-v1"}, {"lr": -1.0}):
        with pytest.raises(InvalidConfig):
            pack.configure(ME, config | changed)
    assert pack.members[0].config["lr"] == 1e-2
    pack.close()


def test_a_state_of_another_network_is_refused_and_harms_nobody() -> None:
    config = tiny()
    _, foreign = lone(tiny(model={"fcnet_hiddens": [9]}), 0, 1)
    metrics, _ = lone(config, SEED, 2)
    pack = open_pack(config)
    pack.join(ME, config, SEED)
    with pytest.raises(CheckpointError, match="parameters"):
        pack.join(ReplicaId(1, 0), config, 1, foreign)
    with pytest.raises(CheckpointError, match="'DQN'"):
        pack.join(ReplicaId(1, 0), config, 1, State(foreign.arrays, {"algorithm": "DQN"}))
    assert pack.ids == [ME]
    assert train(pack, ME, 2) == metrics
    pack.close()


@pytest.mark.parametrize("wrong", ["shapes", "buffers"])
def test_a_users_module_that_cannot_be_packed_is_refused(wrong: str) -> None:
    class Wrong(Own):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__(inputs, outputs + (wrong == "shapes"))
            if wrong == "buffers":
                self.register_buffer("count", torch.zeros(1))

    register_model("tests-wrong", Wrong)
    with pytest.raises(
        InvalidConfig, match="not \\(\\[3, 2\\]" if wrong == "shapes" else "buffers"
    ):
        open_pack(tiny(model={"custom_model": "tests-wrong"}))
