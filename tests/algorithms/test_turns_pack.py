"""Those that learn in turns keep the packs' invariant: to the bit, whoever sits beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.core.packs.turns import TurnPack
from tests.algorithms.support import timeless
from tests.algorithms.test_ppo_pack import same
from tests.algorithms.turns import SPECS, lone, open_pack, tiny, train
from tunerl import checkpoints
from tunerl.trainable import Failure, State
from tunerl.trial import ReplicaId

ME, SEED, ITERATIONS = ReplicaId(50, 0), 7, 3
NORMAL = {"observation_filter": "MeanStdFilter", "normalize_rewards": True}
GRID = tiny(env="probe/grid", num_envs_per_env_runner=3, rollout_fragment_length=5, **NORMAL)
CELL = {"fcnet_hiddens": [4], "lstm_cell_size": 4, "max_seq_len": 3}
LSTM = CELL | {"use_lstm": True, "lstm_use_prev_action": True, "lstm_use_prev_reward": True}
GRU = CELL | {"use_gru": True, "vf_share_layers": False}
SLOW = [LSTM, GRU]  # their graphs take seconds to trace
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "a2c": ("A2C", tiny(train_batch_size=32)),
    "a2c, multi-discrete": ("A2C", GRID | {"normalize_advantages": True}),
    "a2c, continuous": ("A2C", tiny(env="Pendulum-v1", microbatch_size=4, opt_type="rmsprop_tf")),
    "a3c": ("A3C", tiny(num_env_runners=3, num_envs_per_env_runner=2, train_batch_size=40)),
    "a3c, multi-discrete": ("A3C", GRID | {"num_env_runners": 2}),
    "vpg": ("VPG", tiny(rollout_fragment_length=30)),
    "impala": ("IMPALA", tiny(broadcast_interval=2)),
    "impala, multi-discrete": ("IMPALA", GRID | {"minibatch_size": 10, "num_epochs": 2}),
    "appo": ("APPO", tiny(minibatch_size=8, use_kl_loss=True, tau=0.5)),
    "appo, continuous": ("APPO", tiny(env="Pendulum-v1", opt_type="rmsprop", **NORMAL)),
    "a2c, lstm": ("A2C", GRID | {"model": LSTM, "microbatch_size": 5}),
    "a3c, gru": ("A3C", GRID | {"model": GRU, "num_env_runners": 2, "train_batch_size": 40}),
    "vpg, lstm": ("VPG", GRID | {"model": LSTM, "rollout_fragment_length": 12}),
    "impala, lstm": ("IMPALA", GRID | {"model": LSTM, "minibatch_size": 10, "num_epochs": 2}),
    "appo, gru": ("APPO", tiny(env="Pendulum-v1", model=GRU, minibatch_size=8, **NORMAL)),
}
case = pytest.mark.parametrize(
    ("name", "config"),
    [
        pytest.param(*two, id=id, marks=pytest.mark.slow if two[1]["model"] in SLOW else ())
        for id, two in CONFIGS.items()
    ],
)


def neighbour(name: str, config: dict[str, Any], number: int) -> dict[str, Any]:
    """One that differs in what a neighbour may."""
    more: dict[str, Any] = {
        "lr": 1e-3 * (number + 1),
        "gamma": 0.9,
        "entropy_coeff": 0.01 * number,
        "grad_clip": None if number % 2 else 0.1,
    }
    if name in ("IMPALA", "APPO"):
        more |= {"num_epochs": 1 + number % 3, "broadcast_interval": 1 + number % 2}
    return config | more


def crowd(name: str, config: dict[str, Any], size: int, state: State | None = None) -> TurnPack:
    """A pack of `size`, with `ME` in the middle."""
    pack = open_pack(name, config)
    for number in range(size):
        if number == size // 2:
            pack.join(ME, config, SEED, state)
        else:
            pack.join(ReplicaId(number, 0), neighbour(name, config, number), 100 + number)
    return pack


@case
def test_neighbours_that_come_and_go_change_nothing(name: str, config: dict[str, Any]) -> None:
    metrics, state = lone(name, config, SEED, ITERATIONS)
    pack = crowd(name, config, 3)
    assert train(pack, ME, ITERATIONS) == metrics
    same(pack.read(ME), state)
    pack.close()
    pack = crowd(name, config, 9)
    found = train(pack, ME, 1)
    for number in (0, 3, 8):
        pack.leave(ReplicaId(number, 0))
    for number in (20, 21):
        pack.join(ReplicaId(number, 0), neighbour(name, config, number), number)
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
    name: str, config: dict[str, Any], tmp_path: Path
) -> None:
    metrics, state = lone(name, config, SEED, ITERATIONS)
    pack = crowd(name, config, 2)
    assert train(pack, ME, 2) == metrics[:2]
    checkpoints.save(pack.read(ME), str(tmp_path / "saved"), {})
    pack.close()
    loaded, _ = checkpoints.load(str(tmp_path / "saved"))
    for size in (1, 4):
        pack = crowd(name, config, size, loaded)
        assert train(pack, ME, 1) == metrics[2:]
        same(pack.read(ME), state)
        pack.close()


@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("fault", [{"fail": 11}, {"nan": 11}, {"huge": 11}], ids=str)
@pytest.mark.parametrize("name", SPECS)
def test_a_fault_in_the_middle_of_an_iteration_fails_its_own_replica_alone(
    name: str, fault: dict[str, int], fragments: int
) -> None:
    config = tiny(
        env="probe/grid",
        env_config={**fault, "faulty": 0.3},
        num_env_runners=2,
        num_envs_per_env_runner=1,
        train_batch_size=8 * fragments,
        grad_clip=None,
        **({"normalize_returns": False} if name == "VPG" else {}),
    )
    alone = {}
    for seed in range(5):
        pack = open_pack(name, config)
        pack.join(ME, config, seed)
        alone[seed] = pack.step()[ME]
        pack.close()
    assert {isinstance(outcome, Failure) for outcome in alone.values()} == {True, False}
    pack = open_pack(name, config)
    for seed in range(5):
        pack.join(ReplicaId(seed, 0), config, seed)
    found = pack.step()
    for seed, wanted in alone.items():
        outcome = found[ReplicaId(seed, 0)]
        if isinstance(wanted, Failure):
            assert isinstance(outcome, Failure)
            assert outcome.error == wanted.error
            assert ReplicaId(seed, 0) not in pack.ids
        else:
            assert timeless(outcome) == timeless(wanted)
    pack.step()
    pack.close()


@pytest.mark.parametrize("name", SPECS)
def test_an_exploit_copies_all_that_was_learned_but_not_the_dice(name: str) -> None:
    config = tiny()
    pack = open_pack(name, config)
    source, target = ReplicaId(0, 0), ReplicaId(1, 0)
    pack.join(source, config, 1)
    pack.join(target, config, 2)
    train(pack, source, 1)
    pack.copy(source, target)
    mine, theirs = pack.read(target), pack.read(source)
    learned = [part for part in mine.arrays if not part.startswith("environment/")]
    assert {"parameters", "adam/square"} <= set(learned)
    for part in learned:
        if part != "discounted":
            assert np.array_equal(mine.arrays[part], theirs.arrays[part]), part
    assert not np.array_equal(mine.arrays["environment/obs"], theirs.arrays["environment/obs"])
    train(pack, target, 1)
    assert not torch.equal(pack.flat[0], pack.flat[1])
    pack.close()
