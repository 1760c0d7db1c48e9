"""One agent by hand: results, actions, checkpoints; a restored one goes on bit for bit."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from algorithms import PPO, Algorithm, PPOConfig, register_env
from algorithms.results import OLDER, ResultDict
from tunerl import checkpoints
from tunerl.errors import (
    CheckpointError,
    Conflict,
    CorruptCheckpoint,
    InvalidConfig,
    InvalidInput,
    NotFound,
    TrainableError,
)
from tunerl.metrics import flatten
from tunerl.runtime.base import Join, Save, Step
from tunerl.runtime.host import PackHost
from tunerl.trainable import State
from tunerl.trial import ReplicaId

TINY: dict[str, Any] = {
    "env": "CartPole-v1",
    "num_envs_per_env_runner": 2,
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 1,
    "model": {"fcnet_hiddens": [8]},
    "seed": 3,
}


class Parts(gymnasium.Env[Any, Any]):
    """Dictionary observations and two choices; ``{"fails": n}``: the n-th step raises."""

    observation_space = spaces.Dict(
        {"place": spaces.Discrete(3), "speed": spaces.Box(-1.0, 1.0, (2,))}
    )
    action_space = spaces.MultiDiscrete([2, 3])

    def __init__(self, config: dict[str, Any]) -> None:
        self.fails, self.steps = config.get("fails"), 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.look(), {}

    def look(self) -> dict[str, Any]:
        speed = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"place": int(self.np_random.integers(3)), "speed": speed}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == self.fails:
            raise ValueError("the floor gave way")
        self.time += 1
        return self.look(), float(action[0]), self.time == 5, False, {}


class Network(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.out = torch.nn.Linear(inputs, outputs + 1)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.out(obs)
        return found[:, :-1], found[:, -1]


register_env("test-algorithm/parts", Parts)


def timeless(result: ResultDict) -> dict[str, Any]:
    return {name: value for name, value in result.flat().items() if not name.startswith("time_")}


def same(one: ResultDict, other: ResultDict) -> bool:
    return repr(timeless(one)) == repr(timeless(other))  # a NaN is not itself


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """An agent of one iteration, its result and its checkpoint; not to be trained any further."""
    algorithm = PPO(TINY)
    result = algorithm.train()
    path = algorithm.save(tmp_path_factory.mktemp("trained") / "checkpoint")
    yield SimpleNamespace(algorithm=algorithm, result=result, path=path)
    algorithm.stop()


# -- results ------------------------------------------------------------------------------------


def test_a_result_answers_to_nested_flat_and_older_names(trained: SimpleNamespace) -> None:
    result = trained.result
    mean = result["env_runners"]["episode_return_mean"]
    assert mean > 0
    assert result["env_runners/episode_return_mean"] == mean
    assert result["episode_reward_mean"] == result["episode_return_mean"] == mean
    assert result["sampler_results"]["episode_reward_mean"] == mean
    assert result["env_runners"]["episode_reward_mean"] == mean
    assert result["timesteps_total"] == result["num_env_steps_sampled_lifetime"] == 64
    kl = result["learners"]["default_policy"]["mean_kl_loss"]
    stats = result["info"]["learner"]["default_policy"]["learner_stats"]
    assert stats["kl"] == result["info/learner/default_policy/learner_stats/kl"] == kl
    assert all(name in result for name in OLDER)
    assert "episode_reward_mean" not in dict(result)
    assert result.get("nobody", 5) == 5
    assert "nobody" not in result
    with pytest.raises(KeyError, match="did you mean 'training_iteration'"):
        result["training_iteratio"]


def test_a_result_carries_the_configuration_in_plain_data(trained: SimpleNamespace) -> None:
    copy = pickle.loads(pickle.dumps(trained.result))
    assert flatten(copy)["config/train_batch_size"] == 64
    assert copy.pop("config")["model"]["fcnet_hiddens"] == [8]
    assert flatten(copy) == copy.flat() == trained.result.flat()


def test_an_agent_learns_like_the_same_one_in_a_pack(trained: SimpleNamespace) -> None:
    spec, id = PPO.spec, next(iter(trained.algorithm._pack.ids))
    config = spec.resolve(TINY)
    pack = spec.open(config)
    pack.join(id, config, 0)
    report = pack.step()[id]
    assert isinstance(report, dict)
    assert same(ResultDict.nested(report), trained.result)
    pack.close()


# -- acting and looking ---------------------------------------------------------------------------


def test_actions_are_the_likeliest_unless_exploring(trained: SimpleNamespace) -> None:
    algorithm = trained.algorithm
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    actions = algorithm.compute_actions(observations)
    inputs = algorithm.get_module()(torch.from_numpy(observations))[0]
    assert actions.tolist() == inputs.argmax(-1).tolist()
    assert [algorithm.compute_single_action(obs) for obs in observations] == actions.tolist()
    assert algorithm.compute_actions({"a": observations[0]}) == {"a": actions[0]}
    tries = {int(algorithm.compute_single_action(observations[0], explore=True)) for _ in range(99)}
    assert tries == {0, 1}


def test_a_policy_tells_what_the_network_said(trained: SimpleNamespace) -> None:
    obs = [0.1, 0.2, 0.3, 0.4]
    action, states, extra = trained.algorithm.compute_single_action(obs, full_fetch=True)
    assert states == []
    logp = torch.log_softmax(torch.from_numpy(extra["action_dist_inputs"]), -1)
    assert extra["action_logp"] == pytest.approx(float(logp[action]))
    module = trained.algorithm.get_policy().model
    found = module.forward_inference({"obs": torch.tensor([obs])})
    assert torch.equal(found["action_dist_inputs"][0], torch.tensor(extra["action_dist_inputs"]))
    assert float(found["vf_preds"][0]) == extra["vf_preds"]


@pytest.mark.parametrize("wrong", [[1.0], "up", np.zeros((2, 4)), None])
def test_what_is_no_observation_is_refused(trained: SimpleNamespace, wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="is no observation of Box"):
        trained.algorithm.compute_single_action(wrong)


def test_there_is_one_policy(trained: SimpleNamespace) -> None:
    with pytest.raises(NotFound, match="'default_policy'"):
        trained.algorithm.get_policy("other")


def test_evaluation_repeats_by_seed(trained: SimpleNamespace) -> None:
    algorithm = trained.algorithm
    first, again = algorithm.evaluate(3, seed=1), algorithm.evaluate(3, seed=1)
    assert first == again
    assert first["env_runners"]["num_episodes"] == 3
    assert first["episode_reward_mean"] == first["env_runners/episode_return_mean"]
    lengths = {algorithm.evaluate(3, seed=seed)["episode_len_mean"] for seed in range(5)}
    assert len(lengths) > 1
    steps = algorithm.evaluate(30, "timesteps", explore=True)["env_runners/num_env_steps_sampled"]
    assert steps >= 30
    with pytest.raises(InvalidConfig, match="evaluation_duration_unit"):
        algorithm.evaluate(3, "hours")
    with pytest.raises(InvalidConfig, match="evaluation_duration"):
        algorithm.evaluate(0)


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
    for name, message in [("DQN", "no trainable is called 'DQN'"), ("PPO2", "'PPO2'")]:
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
        assert algorithm.train()["config"]["env"] == f"{__name__}.Parts"
        path = algorithm.save(tmp_path)
        Algorithm.from_checkpoint(path).stop()  # this program has used them
        monkeypatch.setattr("algorithms.core.names._used", {})  # as in another program
        with pytest.raises(CheckpointError, match=r"give other settings: config=\{"):
            Algorithm.from_checkpoint(path)
        given = {"env": Parts, "model": {"fcnet_hiddens": [8], "custom_model": Network}}
        with Algorithm.from_checkpoint(path, config=given) as restored:
            assert same(algorithm.train(), restored.train())


# -- its life -------------------------------------------------------------------------------------


def test_ways_to_build_one() -> None:
    config = PPOConfig.from_dict({n: v for n, v in TINY.items() if n != "env"})
    with pytest.raises(InvalidConfig, match="env: missing"):
        config.build_algo()
    for algorithm in (
        config.build_algo(env="CartPole-v1"),
        config.build("CartPole-v1"),
        PPO(config=config, env="CartPole-v1"),
        Algorithm(config, "CartPole-v1"),
    ):
        assert algorithm.config.env == "CartPole-v1"
        assert algorithm.config.is_frozen
        assert algorithm.name == "PPO"
        algorithm.stop()
    assert "env" not in config.to_dict()
    with pytest.raises(InvalidConfig, match="use PPO"):
        Algorithm(TINY)
    with pytest.raises(InvalidConfig, match="did you mean 'lr'"):
        PPO({"lrr": 1.0})
    with pytest.raises(InvalidConfig, match="3 is no configuration"):
        PPO(config=3)


def test_a_subclass_is_built_and_restored_as_itself(trained: SimpleNamespace) -> None:
    class Mine(PPO):
        pass

    with Mine.from_checkpoint(trained.path) as mine:
        assert type(mine) is Mine
    assert PPOConfig().algo_class is PPO


def test_what_was_stopped_says_so() -> None:
    algorithm = PPO(TINY)
    algorithm.stop()
    algorithm.stop()
    for use in (algorithm.train, algorithm.save, algorithm.get_weights, algorithm.evaluate):
        with pytest.raises(Conflict, match="was stopped"):
            use()


def test_an_agent_that_failed_can_be_restored(tmp_path: Path) -> None:
    config = TINY | {"env": "test-algorithm/parts", "env_config": {"fails": 40}}
    with PPO(config) as algorithm:
        path = algorithm.save(tmp_path)
        algorithm.train()
        with pytest.raises(TrainableError, match="the floor gave way"):
            algorithm.train()
        with pytest.raises(Conflict, match=r"failed \(ValueError: the floor gave way\)"):
            algorithm.train()
        algorithm.restore(path)
        assert algorithm.train()["training_iteration"] == 1
