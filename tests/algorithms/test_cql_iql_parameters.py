"""Every hyperparameter of CQL and IQL has an effect; the packs' invariant; what is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium
import pytest

from algorithms.cql import SPEC as CQL
from algorithms.cql import CQLConfig
from algorithms.iql import SPEC as IQL
from tests.algorithms import test_imitation_parameters as imitation
from tests.algorithms.soft import lone, open_pack, same
from tests.algorithms.support import APART, timeless
from tests.support import offline
from tunerl.errors import InvalidConfig
from tunerl.trainable import Failure, hyperparameters
from tunerl.trial import ReplicaId

SPECS = {"CQL": CQL, "IQL": IQL}
BOTH = pytest.mark.parametrize("name", SPECS)
ME = ReplicaId(50, 0)


def tiny(name: str, **changes: Any) -> dict[str, Any]:
    """Two updates of the critics and the policy, and some limits that bind."""
    own = {"CQL": {"num_actions": 2, "bc_iters": 1, "lagrangian": True}, "IQL": {}}
    base = imitation.tiny(evaluation_explore=True, train_batch_size=8, tau=0.3)
    return {key: value for key, value in base.items() if key != "lr"} | own[name] | changes


SHARED: dict[str, Any] = {
    **{
        key: value
        for key, value in imitation.VECTORS.items()
        if key not in ("lr", "bc_logstd_coeff", "evaluation_explore")
    },
    "evaluation_explore": False,
    "gamma": 0.5,
    "normalize_returns": False,
    "actor_lr": 1e-2,
    "critic_lr": 1e-2,
    "lr": 1e-2,
    "tau": 0.7,
    "grad_clip": 0.001,
}
VECTORS: dict[str, dict[str, Any]] = {
    "CQL": SHARED | {
        "alpha_lr": 1e-2,
        "initial_alpha": 0.5,
        "target_entropy": -3.0,
        "bc_iters": 100,
        "temperature": 0.3,
        "min_q_weight": 2.0,
        "lagrangian_thresh": 0.1,
        "deterministic_backup": False,
    },
    "IQL": SHARED | {
        "value_lr": 1e-2,
        "expectile": 0.6,
        "beta": 0.5,
        "normalize_advantages": False,
        "max_advantage_weight": 1.5,
    },
}  # fmt: skip
FIXED: dict[str, tuple[Any, dict[str, Any]]] = {
    **{
        name: imitation.FIXED[name]
        for name in imitation.FIXED
        if name not in ("grad_clip_by", "callbacks")
    },
    "train_batch_size": (12, {}),
    "twin_q": (False, {}),
}
OWN_FIXED: dict[str, dict[str, tuple[Any, dict[str, Any]]]] = {
    "CQL": {"num_actions": (3, {}), "lagrangian": (False, {})},
    "IQL": {"observation_filter": ("NoFilter", {})},
}
CALLBACKS = {"callbacks"}  # in test_callbacks
BOUNDED = {"CQL": {"clip_actions"}, "IQL": set()}  # has one value there


@BOTH
def test_every_field_is_in_a_table(name: str) -> None:
    tables = {*VECTORS[name], *FIXED, *OWN_FIXED[name]}
    rest = imitation.TOLD_APART | imitation.EXECUTION | BOUNDED[name] | CALLBACKS | APART
    assert tables | rest == set(hyperparameters(SPECS[name].parameters))


@BOTH
def test_each_hyperparameter_in_which_members_may_differ_has_an_effect(name: str) -> None:
    base = tiny(name)
    pack = open_pack(name, base)
    configs = [base, *(base | {key: value} for key, value in VECTORS[name].items())]
    for number, config in enumerate(configs):
        pack.join(ReplicaId(number, 0), config, 3)
    reports = [pack.step() for _ in range(2)]
    told = [
        [timeless(report[ReplicaId(number, 0)]) for report in reports]
        for number in range(len(configs))
    ]
    pack.close()
    for key, metrics in zip(VECTORS[name], told[1:], strict=True):
        assert metrics != told[0], key


@cache
def _trained(name: str, key: str) -> Any:
    metrics, state = lone(name, eval(key))
    return metrics, {name: array.tolist() for name, array in state.arrays.items()}


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name in SPECS for field in {**FIXED, **OWN_FIXED[name]}],
)
def test_each_fixed_hyperparameter_has_an_effect(name: str, field: str) -> None:
    if field in BOUNDED[name]:
        pytest.skip("has one value")
    value, more = (FIXED | OWN_FIXED[name])[field]
    if "env" in more:
        more = more | {"input_": offline.random_pendulum()}
    base = tiny(name, **more)
    without, changed = (_trained(name, repr(c)) for c in (base, base | {field: value}))
    assert changed != without


@BOTH
def test_neighbours_change_nothing_and_a_failed_one_leaves_alone(name: str) -> None:
    config = tiny(name)
    metrics, state = lone(name, config, 7, 3)
    pack = open_pack(name, config)
    pack.join(ReplicaId(0, 0), config | {"critic_lr": 1e38}, 1)
    pack.join(ME, config, 7)
    pack.join(ReplicaId(1, 0), config | {"dataset_num_iters_per_learner": 2, "gamma": 0.5}, 2)
    found, failures = [], 0
    for iteration in range(3):
        reports = pack.step()
        failures += sum(isinstance(report, Failure) for report in reports.values())
        found.append(timeless(reports[ME]))
        if iteration == 1:
            saved = pack.read(ME)
    assert failures == 1
    assert found == metrics
    same(pack.read(ME), state)
    pack.leave(ME)
    pack.join(ME, config, 7, saved)
    assert timeless(pack.step()[ME]) == metrics[2]
    pack.close()


def test_iql_takes_choices_and_cql_says_what_does() -> None:
    data = {"env": "CartPole-v1", "input_": offline.random_cartpole()}
    metrics, _ = lone("IQL", tiny("IQL", **data))
    assert metrics[-1]["learners/default_policy/logps_mean"] == pytest.approx(-0.69, abs=0.05)
    for given in (data, {"input_": data["input_"]}):
        with pytest.raises(InvalidConfig, match=r"one of: Box; CQL is for continuous actions"):
            CQL.resolve(given)


def test_the_seeds_cql_on_cartpole_without_data_is_told_both() -> None:
    config = CQLConfig().training(gamma=0.9, lr=0.01)
    with pytest.raises(InvalidConfig) as caught:
        config.build_algo(env="CartPole-v1")
    message = str(caught.value)
    assert "continuous actions" in message
    assert "input_: missing" in message


@BOTH
def test_lr_stands_for_the_rates_that_are_not_given(name: str) -> None:
    found = SPECS[name].resolve(tiny(name, lr=0.01, critic_lr=0.02))
    assert (found["actor_lr"], found["critic_lr"]) == (0.01, 0.02)


def test_iql_normalises_vectors_of_numbers_unless_told_otherwise() -> None:
    vectors = {"env": "Pendulum-v1", "input_": offline.random_pendulum()}
    assert IQL.resolve(vectors)["observation_filter"] == "MeanStdFilter"
    told = IQL.resolve(vectors | {"observation_filter": "NoFilter"})
    assert told["observation_filter"] == "NoFilter"
    env = gymnasium.make("FrozenLake-v1")
    columns = offline.play(env, 2, lambda obs, generator: int(generator.integers(4)))
    choices = offline.write(offline.folder() / "lake.parquet", columns, offline.spaces(env))
    for given in (IQL.resolve({"input_": choices}), IQL.resolve(IQL.resolve({"input_": choices}))):
        assert given["observation_filter"] == "NoFilter"
