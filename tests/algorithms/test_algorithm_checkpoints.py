"""Checkpoints of one agent: a restored one goes on bit for bit; where they lie; what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from algorithms import PPO, Algorithm, PPOConfig
from algorithms.results import ResultDict
from tests.algorithms.agents import TINY, Network, Parts, same
from tunerl import checkpoints
from tunerl.errors import CheckpointError, CorruptCheckpoint, InvalidInput
from tunerl.runtime.base import Join, Save, Step
from tunerl.runtime.host import PackHost
from tunerl.trainable import State
from tunerl.trial import ReplicaId

# -- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"env": "CartPole-v1", "observation_filter": "MeanStdFilter"},
        {"env": "Pendulum-v1", "normalize_rewards": True},
        {"env": "test-algorithm/parts"},
        {"env": "FrozenLake-v1"},
        {"env": "Taxi-v4"},
    ],
    ids=lambda settings: settings["env"],
)
def test_a_restored_agent_goes_on_exactly(settings: dict[str, Any], tmp_path: Path) -> None:
    config = TINY | settings | {"seed": None}
    with PPO(config=config) as algorithm:
        algorithm.train()
        path = algorithm.save(tmp_path)
        with Algorithm.from_checkpoint(path) as restored:
            assert isinstance(restored, PPO)
            assert (restored.iteration, restored.config.env) == (1, settings["env"])
            asked(restored)
            assert same(algorithm.train(), restored.train())
            assert same(algorithm.evaluate(2), restored.evaluate(2))
            one, other = algorithm.get_state()["state"], restored.get_state()["state"]
    assert one.arrays.keys() == other.arrays.keys()
    assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)


def asked(algorithm: Algorithm) -> None:
    """Act once in the environment, both ways; that must leave no trace."""
    policy = algorithm.get_policy()
    env = algorithm.config.env
    made = Parts({}) if env == "test-algorithm/parts" else gymnasium.make(env)
    obs, _ = made.reset(seed=1)
    for explore in (False, True):
        action = algorithm.compute_single_action(obs, explore=explore)
        assert made.action_space.contains(action)
    if not isinstance(made.observation_space, spaces.Box):
        nowhere = {**obs, "place": 99, "speed": [1.0]} if isinstance(obs, dict) else 9999
        with pytest.raises(InvalidInput, match="is no observation of"):
            algorithm.compute_single_action(nowhere)
    many = algorithm.compute_actions([obs, obs])
    assert np.array_equal(many[0], policy.compute_single_action(obs)[0])
    algorithm.evaluate(1)
    made.close()


def test_the_filter_is_part_of_the_policy() -> None:
    with PPO(TINY | {"observation_filter": "MeanStdFilter"}) as algorithm:
        algorithm.train()
        arrays = algorithm.get_state()["state"].arrays
        mean, count = arrays["observations/mean"], arrays["observations/count"]
        std = np.sqrt(arrays["observations/m2"] / count + 1e-8)
        obs = np.array([0.5, -0.5, 0.1, 2.0], np.float32)
        encoded = algorithm.get_policy().encode([obs])[0]
        assert np.allclose(encoded, np.clip((obs - mean) / std, -10, 10))


def test_weights_go_to_another_agent(trained: SimpleNamespace) -> None:
    weights = trained.algorithm.get_weights()
    with PPO(TINY | {"seed": 4}) as other:
        obs = [[0.1, 0.2, 0.3, 0.4]]
        before = other.get_policy()
        module = other.get_module()
        other.set_weights(weights)
        ours, theirs = other.get_weights()["default_policy"], weights["default_policy"]
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
        values = [p.compute_actions(obs)[2]["vf_preds"] for p in (before, other.get_policy())]
        assert values[0] != values[1]
        assert module is before.model
        broken = {"default_policy": {"body.0.weight": np.zeros((2, 2))}}
        with pytest.raises(InvalidInput, match=r"body.0.weight: \(2, 2\)"):
            other.set_weights(broken)
        with pytest.raises(InvalidInput, match="'default_policy': weights"):
            other.set_weights(theirs)


def test_an_agent_without_a_seed_draws_one(tmp_path: Path) -> None:
    with PPO(TINY | {"seed": None}) as one, PPO(TINY | {"seed": None}) as other:
        first, second = (a.get_weights()["default_policy"] for a in (one, other))
        assert any(not np.array_equal(first[name], second[name]) for name in first)
        one.restore(other.save(tmp_path))
        assert one.get_state()["seed"] == other.get_state()["seed"]


def test_a_restored_agent_takes_over_the_seed(trained: SimpleNamespace) -> None:
    with PPO(TINY | {"seed": 4}) as other:
        other.restore(trained.path)
        assert other.config.seed == 3
        one, two = other.get_state(), trained.algorithm.get_state()
        assert one["config"] == two["config"]
        assert one["state"].values == two["state"].values


# -- where checkpoints lie ------------------------------------------------------------------------


def trial_of(path: str, root: Path, returns: list[float | None]) -> Path:
    """A trial's checkpoint whose replicas had these mean returns, as a sweep writes it."""
    state, meta = checkpoints.load(path)
    for index, value in enumerate(returns):
        state.values["member"]["episodes"]["returns"] = [] if value is None else [value]
        uri = checkpoints.replica_uri(str(root), "experiment", 0, 7, index)
        checkpoints.save(state, uri, {**meta, "replica": index, "trial": 0})
    return Path(checkpoints.iteration_uri(str(root), "experiment", 0, 7))


def returns_of(algorithm: Algorithm) -> list[float]:
    found: list[float] = algorithm.get_state()["state"].values["member"]["episodes"]["returns"]
    algorithm.stop()
    return found


def test_of_several_replicas_the_best_is_taken_or_the_one_asked_for(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    checkpoint = trial_of(trained.path, tmp_path, [None, 5.0, 9.0, float("nan")])
    assert returns_of(Algorithm.from_checkpoint(checkpoint)) == [9.0]
    assert returns_of(Algorithm.from_checkpoint(checkpoint, replica=1)) == [5.0]
    assert returns_of(PPO.from_checkpoint(checkpoint / "1")) == [5.0]
    assert returns_of(PPO.from_checkpoint(checkpoint.parent)) == [9.0]
    with pytest.raises(CheckpointError, match="has no replica 9; it has 0, 1, 2, 3"):
        Algorithm.from_checkpoint(checkpoint, replica=9)
    with pytest.raises(CheckpointError, match="is of replica 1; replica=2"):
        Algorithm.from_checkpoint(checkpoint / "1", replica=2)


def test_a_replica_of_a_sweep_goes_on_by_hand_and_back(tmp_path: Path) -> None:
    config, id = PPO.spec.resolve(TINY | {"env": "test-algorithm/parts"}), ReplicaId(4, 1)
    meta: dict[str, object] = {"trainable": "PPO", "replica": 1, "seed": 11, "config": config}
    host = PackHost(PPO.spec, config)
    host.execute("pack", [Join(id, config, 11), Step(), Save(id, str(tmp_path / "1"), meta)])
    with Algorithm.from_checkpoint(tmp_path, replica=1) as algorithm:
        expected = host.execute("pack", [Step()]).results[id]
        assert same(algorithm.train(), ResultDict.nested(expected))
        back = algorithm.save(tmp_path / "back")
        again = PackHost(PPO.spec, config)
        orders = [Join(id, config, 11, back), Step()]
        reports = [host.execute("pack", [Step()]), again.execute("pack", orders)]
        one, other = (ResultDict.nested(report.results[id]) for report in reports)
        assert same(one, other)
        assert other["training_iteration"] == 3
    host.close()
    again.close()


def test_a_zip_and_an_object_with_a_checkpoint_are_taken(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    checkpoint = trial_of(trained.path, tmp_path, [1.0, 2.0])
    archive = tmp_path / "best.zip"
    with archive.open("wb") as stream:
        checkpoints.write_zip(str(checkpoint), stream)
    assert returns_of(Algorithm.from_checkpoint(archive)) == [2.0]
    assert returns_of(Algorithm.from_checkpoint(str(archive), replica=0)) == [1.0]
    result = SimpleNamespace(path="elsewhere", checkpoint=SimpleNamespace(path=str(checkpoint)))
    assert returns_of(Algorithm.from_checkpoint(result)) == [2.0]
    assert returns_of(Algorithm.from_checkpoint(result.checkpoint)) == [2.0]
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        Algorithm.from_checkpoint(SimpleNamespace(path="elsewhere", checkpoint=None))
    with pytest.raises(CheckpointError, match="is a path, a URL"):
        Algorithm.from_checkpoint(5)
    archive.write_bytes(b"no zip")
    with pytest.raises(CorruptCheckpoint, match="no zip"):
        Algorithm.from_checkpoint(archive)


def test_save_without_a_directory_makes_one_at_home(trained: SimpleNamespace, home: Path) -> None:
    path = trained.algorithm.save()
    assert Path(path).parent.parent == home / "algorithms"
    assert path.endswith("/checkpoint_000001")
    assert path.checkpoint.path == path
    assert trained.algorithm.save_to_path() == path


def test_save_replaces_a_checkpoint_and_nothing_else(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(CheckpointError, match=r"holds something else \(thesis.txt\)"):
        trained.algorithm.save(tmp_path)
    with pytest.raises(CheckpointError, match="holds something else"):
        trained.algorithm.save(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    once = trained.algorithm.save(tmp_path / "new")
    assert trained.algorithm.save(once) == once


def test_a_directory_that_is_no_checkpoint_is_refused(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="there is nothing"):
        Algorithm.from_checkpoint(tmp_path / "nowhere")
    (tmp_path / "a.txt").touch()
    with pytest.raises(CheckpointError, match=r"it holds a\.txt"):
        Algorithm.from_checkpoint(tmp_path)
    path = trained.algorithm.save(tmp_path / "broken")
    (Path(path) / "state.json").write_bytes(b"{}")
    with pytest.raises(CorruptCheckpoint, match=r"state\.json"):
        Algorithm.from_checkpoint(path)


def test_a_checkpoint_of_something_else_is_refused_and_the_agent_stays(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    state, meta = checkpoints.load(trained.path)
    for name, message in [("TD3", "no trainable is called 'TD3'"), ("PPO2", "'PPO2'")]:
        checkpoints.save(state, str(tmp_path / name), {**meta, "trainable": name})
        with pytest.raises(CheckpointError, match=message):
            Algorithm.from_checkpoint(tmp_path / name)
        with pytest.raises(CheckpointError, match=f"is of '{name}', not of 'PPO'"):
            PPO.from_checkpoint(tmp_path / name)
        with pytest.raises(CheckpointError, match=f"is of '{name}', this is a 'PPO'"):
            trained.algorithm.restore(tmp_path / name)
    with PPO(TINY | {"model": {"fcnet_hiddens": [9]}}) as other:
        before = other.get_state()
        with pytest.raises(CheckpointError, match="give it the model settings"):
            other.restore(trained.path)
        assert repr(other.get_state()) == repr(before)
    with PPO(TINY | {"num_envs_per_env_runner": 3}) as other:
        with pytest.raises(CheckpointError, match="does not fit PPO"):
            other.restore(trained.path)
        assert other.iteration == 0


def test_a_checkpoint_of_an_authors_trainable_is_no_algorithm(tmp_path: Path) -> None:
    from tunerl.registry import register_trainable

    register_trainable("test-algorithm/function", lambda config: None)
    meta = {"trainable": "test-algorithm/function", "config": {}, "seed": 0}
    checkpoints.save(State(), str(tmp_path / "c"), meta)
    with pytest.raises(CheckpointError, match="which is no RL algorithm"):
        Algorithm.from_checkpoint(tmp_path / "c")


def test_classes_in_a_configuration_are_found_again_or_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PPOConfig.from_dict(TINY).environment(env=Parts).rl_module(module_class=Network)
    with config.build_algo() as algorithm:
        assert algorithm.train()["config"]["env"] == f"{Parts.__module__}.Parts"
        path = algorithm.save(tmp_path)
        Algorithm.from_checkpoint(path).stop()  # this program has used them
        monkeypatch.setattr("algorithms.core.specs.names._used", {})  # as in another program
        with pytest.raises(CheckpointError, match=r"give other settings: config=\{"):
            Algorithm.from_checkpoint(path)
        given = {"env": Parts, "model": {"fcnet_hiddens": [8], "custom_model": Network}}
        with Algorithm.from_checkpoint(path, config=given) as restored:
            assert same(algorithm.train(), restored.train())
