"""Every hyperparameter of BC and MARWIL has an effect: change one, and the numbers change.

Those in which members of a pack may differ are tried side by side in one pack.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from algorithms.bc import SPEC as BC
from algorithms.marwil import SPEC as MARWIL
from tests.algorithms.support import APART, Target, timeless
from tests.support import offline
from tunerl.errors import InvalidConfig
from tunerl.registry import register_env
from tunerl.trainable import Failure, hyperparameters
from tunerl.trial import ReplicaId

SPECS = {"BC": BC, "MARWIL": MARWIL}
BOTH = pytest.mark.parametrize("name", SPECS)


class Shifted(Target):
    """Two steps; wants half of what it shows, and more."""

    length = 2

    def reward(self, action: Any) -> float:
        return super().reward(action - self.config.get("shift", 0.0))


register_env("probe/shifted", Shifted)


@cache
def targets() -> str:
    """Random steps in that probe."""
    env = Shifted({})
    columns = offline.play(env, 60, lambda obs, g: g.uniform(-1, 1, 1).astype(np.float32))
    return offline.write(offline.folder() / "targets.parquet", columns, offline.spaces(env))


def tiny(**changes: Any) -> dict[str, Any]:
    """Continuous actions, sampled in evaluation, and some limits that bind."""
    return {
        "env": "probe/shifted",
        "input_": targets(),
        "dataset_num_iters_per_learner": 3,
        "train_batch_size": 16,
        "evaluation_duration": 3,
        "grad_clip": 0.5,
        "lr": 1e-2,
        "model": {"fcnet_hiddens": [8]},
        **changes,
    }


def reported(*, result: dict[str, Any], **_: Any) -> None:
    result["seen"] = 1


VECTORS: dict[str, Any] = {
    "evaluation_interval": 2,
    "evaluation_duration": 4,
    "evaluation_duration_unit": "timesteps",
    "evaluation_explore": True,
    "evaluation_config": {"env_config": {"shift": 0.5}},
    "seed": 1,
    "dataset_num_iters_per_learner": 2,
    "lr": 1e-3,
    "adam_epsilon": 1e-1,
    "grad_clip": 0.01,
    "bc_logstd_coeff": 0.5,
}
MARWIL_VECTORS: dict[str, Any] = VECTORS | {
    "beta": 0.3,
    "gamma": 0.5,
    "use_gae": False,
    "lambda_": 0.3,
    "vf_coeff": 0.1,
    "normalize_returns": False,
    "moving_average_sqd_adv_norm_start": 0.5,
    "moving_average_sqd_adv_norm_update_rate": 0.9,
    "max_advantage_weight": 1.1,
}
# field -> (another value, the base in which it matters)
FIXED: dict[str, tuple[Any, dict[str, Any]]] = {
    "env": (None, {}),
    "env_config": ({"g": 3.0}, {"env": "Pendulum-v1"}),
    "clip_actions": (False, {"evaluation_explore": True}),
    "normalize_actions": (False, {"env": "Pendulum-v1"}),
    "observation_filter": ("MeanStdFilter", {}),
    "model": ({"fcnet_hiddens": [4]}, {}),
    "input_": ([targets(), targets()], {}),
    "train_batch_size": (8, {}),
    "grad_clip_by": ("value", {}),
    "callbacks": ({"on_train_result": reported}, {}),
}
TOLD_APART = {"observation_space", "action_space", "input_read_method"}  # tests of their own
EXECUTION = {"torch_compile_learner", "max_pack_size"}


def vectors(name: str) -> dict[str, Any]:
    return MARWIL_VECTORS if name == "MARWIL" else VECTORS


@BOTH
def test_every_field_is_in_a_table(name: str) -> None:
    fields = hyperparameters(SPECS[name].parameters)
    known = [set(vectors(name)), set(FIXED), TOLD_APART, EXECUTION, APART]
    assert set.union(*known) == set(fields)
    assert sum(map(len, known)) == len(fields)
    assert {field for field, info in fields.items() if info.vector} - APART == set(vectors(name))


def side_by_side(name: str, base: dict[str, Any], changes: list[dict[str, Any]]) -> list[Any]:
    """What the base and each change of it come to after two iterations, in one pack."""
    spec = SPECS[name]
    pack = spec.open(spec.resolve(base))
    ids = [ReplicaId(trial, 0) for trial in range(1 + len(changes))]
    for id, change in zip(ids, [{}, *changes], strict=True):
        pack.join(id, base | change, 3)
    reports = [pack.step() for _ in range(2)]
    found = [
        (
            [timeless(report[id]) for report in reports],
            {key: array.tolist() for key, array in pack.read(id).arrays.items()},
        )
        for id in ids
    ]
    pack.close()
    return found


@BOTH
def test_each_field_in_which_members_may_differ_has_an_effect(name: str) -> None:
    base = tiny()
    changes = [{field: value} for field, value in vectors(name).items()]
    first, *rest = side_by_side(name, base, changes)
    for change, found in zip(changes, rest, strict=True):
        assert found != first, change
    again = side_by_side(name, base, changes[-1:])
    assert again[0] == first  # and nobody noticed the neighbours
    assert again[1] == rest[-1]


@pytest.mark.parametrize("field", FIXED)
def test_each_field_that_is_fixed_has_an_effect_and_needs_another_pack(field: str) -> None:
    value, base = FIXED[field]
    if base.get("env") == "Pendulum-v1":
        base = base | {"input_": offline.random_pendulum()}
    config = tiny(**base)
    changed = config | {field: value}
    assert side_by_side("BC", changed, []) != side_by_side("BC", config, [])
    pack = BC.open(BC.resolve(config))
    with pytest.raises(InvalidConfig, match="fixed"):
        pack.join(ReplicaId(0, 0), changed, 3)
    pack.close()


def test_spaces_that_are_given_go_before_those_that_are_guessed(tmp_path: Path) -> None:
    batch = {"obs": [0, 1, 2, 1], "actions": [0, 1, 0, 1]}
    path = tmp_path / "steps"
    path.write_text(json.dumps(batch))
    with pytest.raises(InvalidConfig, match="input_read_method="):
        BC.resolve({"input_": str(path)})
    config = {"input_": str(path), "input_read_method": "read_json", "train_batch_size": 4}
    sizes = {}
    for name, spaces in {
        "guessed": {},
        "actions": {"action_space": gymnasium.spaces.Discrete(5)},
        "observations": {"observation_space": gymnasium.spaces.Discrete(3)},
    }.items():
        pack = BC.open(BC.resolve(config | spaces))
        sizes[name] = pack.obs_codec.D, pack.distribution.num_inputs
        pack.close()
    assert sizes == {"guessed": (1, 2), "actions": (1, 5), "observations": (3, 2)}


def test_whether_compiling_pays_is_decided_by_the_number_of_updates() -> None:
    config = BC.resolve({"input_": offline.random_cartpole()})
    for stop, pays in (
        ({"training_iteration": 1}, False),
        ({"training_iteration": 1000}, True),
        ({"num_env_steps_trained_lifetime": 10**8}, True),
    ):
        assert BC.plan(config, replicas=32, stop=stop)["torch_compile_learner"] is pays


@BOTH
def test_normalised_observations_go_into_the_checkpoint_with_the_policy(name: str) -> None:
    config = tiny(observation_filter="MeanStdFilter")
    spec = SPECS[name]
    pack = spec.open(spec.resolve(config))
    pack.join(ReplicaId(0, 0), config, 0)
    state = pack.read(ReplicaId(0, 0))
    obs = pack.data.obs
    np.testing.assert_allclose(state.arrays["observations/mean"], obs.mean(0), rtol=1e-5)
    np.testing.assert_allclose(pack.obs_stats.std[0], obs.std(0), rtol=1e-5)
    pack.close()


def test_without_an_environment_there_is_no_evaluation_but_it_may_have_one_of_its_own() -> None:
    with pytest.raises(InvalidConfig, match="nothing to evaluate in"):
        BC.resolve({"input_": targets(), "evaluation_interval": 1})
    resolved = BC.resolve({"input_": targets()})
    assert resolved["evaluation_interval"] is None
    assert BC.resolve(resolved) == resolved
    own = tiny(env=None, evaluation_config={"env": "probe/shifted"})
    assert "evaluation/env_runners/episode_return_mean" in side_by_side("BC", own, [])[0][0][0]
    with pytest.raises(InvalidConfig, match="action space"):
        BC.resolve(own | {"evaluation_config": {"env": "probe/choice"}})


@BOTH
def test_what_becomes_infinite_fails_alone(name: str) -> None:
    spec, base = SPECS[name], tiny(evaluation_interval=None)
    pack = spec.open(spec.resolve(base))
    for trial, change in enumerate(({}, {"lr": 1e30, "grad_clip": None}, {})):
        pack.join(ReplicaId(trial, 0), base | change, trial)
    reports = [pack.step() for _ in range(2)]
    failed = [report.get(ReplicaId(1, 0)) for report in reports]
    told = next(outcome for outcome in failed if isinstance(outcome, Failure))
    assert "became NaN or infinite in iteration" in told.error
    assert [id.trial for id in pack.ids] == [0, 2]
    for trial in (0, 2):
        alone = spec.open(spec.resolve(base))
        alone.join(ReplicaId(trial, 0), base, trial)
        found = [timeless(alone.step()[ReplicaId(trial, 0)]) for _ in range(2)]
        assert found == [timeless(report[ReplicaId(trial, 0)]) for report in reports]
        alone.close()
    pack.close()
