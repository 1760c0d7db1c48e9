"""What an agent does is recorded: from a checkpoint, and while it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from typer.testing import CliRunner

from algorithms import PPOConfig
from algorithms.core.packs.on_policy import OnPolicyPack
from algorithms.offline import Writer, load, record
from algorithms.offline.recording import random_actions
from algorithms.offline.runs import Runs
from tests.algorithms import turns
from tests.algorithms.support import lone, open_pack, timeless, tiny
from tunerl import registry
from tunerl.errors import InvalidConfig, InvalidInput
from tunerl.trainable import Failure
from tunerl.trial import ReplicaId


@pytest.fixture(scope="module")
def agent() -> Any:
    config = PPOConfig().update_from_dict(tiny(train_batch_size=512, lr=1e-2, num_epochs=8))
    with config.debugging(seed=2).build() as found:
        for _ in range(14):
            found.train()
        yield found


def test_as_many_episodes_or_steps_are_written_as_were_asked_for(
    agent: Any, tmp_path: Path
) -> None:
    summary = record(agent, str(tmp_path / "a"), episodes=12)
    found = load(tmp_path / "a")
    assert (summary["episodes"], found.num_episodes) == (12, 12)
    assert (found.terminateds | found.truncateds)[found.last].all()
    assert summary["steps"] == len(found)
    assert summary["episode_return_mean"] == pytest.approx(found.episode_returns().mean())
    expected = agent.evaluate(duration=12)["env_runners"]["episode_return_mean"]
    assert 0.4 * expected < summary["episode_return_mean"] < 2.5 * expected
    assert found.observation_space == agent.get_policy().observation_space
    summary = record(agent, str(tmp_path / "b"), steps=333, format="json", max_rows_per_file=100)
    assert (summary["steps"], len(load(tmp_path / "b"))) == (333, 333)
    assert len(summary["files"]) > 1
    assert all(name.endswith(".json") for name in summary["files"])


def test_the_actions_are_the_agents_likeliest_and_equal_seeds_give_equal_data(
    agent: Any, tmp_path: Path
) -> None:
    for name, settings in {"a": {}, "b": {}, "c": {"seed": 1}, "d": {"explore": True}}.items():
        record(agent, str(tmp_path / name), episodes=3, **settings)
    a, b, c, d = (load(tmp_path / name) for name in "abcd")
    np.testing.assert_array_equal(a.actions, agent.get_policy().compute_actions(a.obs)[0])
    np.testing.assert_array_equal(a.obs, b.obs)
    assert a.obs[0].tolist() != c.obs[0].tolist()
    assert (d.actions != agent.get_policy().compute_actions(d.obs)[0]).any()


def test_the_kinds_differ_in_how_well_is_played(agent: Any, tmp_path: Path) -> None:
    means = {}
    for kind in ("random", "medium", "expert", "mixed"):
        means[kind] = record(agent, str(tmp_path / kind), episodes=30, kind=kind)
    returns = {kind: summary["episode_return_mean"] for kind, summary in means.items()}
    assert returns["random"] < returns["medium"] < returns["expert"]
    assert returns["random"] < returns["mixed"] < returns["expert"]
    assert 0.0 < means["medium"]["random_action_share"]["medium"] < 1.0
    shares = load(tmp_path / "random").actions.mean()
    assert 0.4 < shares < 0.6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either episodes or steps"),
        ({"episodes": 1, "steps": 1}, "either episodes or steps"),
        ({"steps": 0}, "nothing to record"),
        ({"steps": 1, "kind": "exprt"}, "did you mean 'expert'"),
        ({"steps": 1, "format": "csv"}, "known: json, parquet"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    agent: Any, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        record(agent, str(tmp_path / "a"), **settings)
    assert not (tmp_path / "a").exists()


def test_the_command_records_a_checkpoint(agent: Any, tmp_path: Path) -> None:
    from service.cli import app

    agent.save(tmp_path / "checkpoint")
    command = ["record", str(tmp_path / "checkpoint"), "--output", str(tmp_path / "data")]
    done = CliRunner().invoke(app, [*command, "--steps", "50", "--kind", "random"])
    assert done.exit_code == 0, done.output
    assert '"steps": 50' in done.output
    assert len(load(tmp_path / "data")) == 50
    wrong = CliRunner().invoke(app, command)
    assert isinstance(wrong.exception, InvalidInput)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=2),
        spaces.MultiDiscrete([2, 5]),
        spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 5.0], np.float32)),
    ],
    ids=str,
)
def test_random_actions_are_of_the_space_and_reach_all_of_it(space: Any) -> None:
    drawn = random_actions(space, np.random.default_rng(0), 500)
    assert all(space.contains(action) for action in drawn)
    if isinstance(space, spaces.Box):
        assert (drawn.min(0) < space.low + 0.1).all()
        assert (drawn.max(0) > space.high - 0.1).all()
    else:
        assert len(np.unique(drawn)) == (3 if isinstance(space, spaces.Discrete) else 5)


def test_an_agent_with_a_memory_plays_as_it_does_when_it_is_asked_step_by_step(
    tmp_path: Path,
) -> None:
    config = PPOConfig().update_from_dict(tiny()).debugging(seed=4)
    config.rl_module(
        model_config={"use_lstm": True, "lstm_cell_size": 4, "lstm_use_prev_action": True}
    )
    with config.build() as recurrent:
        record(recurrent, str(tmp_path / "a"), episodes=4)
        policy = recurrent.get_policy()
        found = load(tmp_path / "a")
        for number in range(4):
            rows = found.eps_id == number
            state, before = policy.get_initial_state(), None
            for obs, action in zip(found.obs[rows], found.actions[rows], strict=True):
                chosen, state, _ = policy.compute_single_action(obs, state, before)
                assert chosen == action
                before = chosen


def tick(rewards: list[float], ends: list[bool]) -> dict[str, Any]:
    return {
        "rewards": np.array(rewards),
        "terminateds": np.array(ends),
        "truncateds": np.zeros(len(ends), np.bool_),
    }


def test_steps_are_cut_into_episodes_that_go_on_over_several_takes() -> None:
    runs, every = Runs(2), np.array([True, True])
    runs.step(tick([1, 10], [False, True]), every)
    runs.step(tick([2, 20], [True, False]), every)
    runs.step(tick([3, 99], [False, False]), np.array([True, False]))  # only a reset
    first = [[run["rewards"].tolist() for run in own] for own in runs.take()]
    assert first == [[[1, 2]], [[10]]]
    runs.step(tick([4, 30], [False, True]), every)
    rest = [[run["rewards"].tolist() for run in own] for own in runs.take(unfinished=True)]
    assert rest == [[[3, 4]], [[20, 30]]]
    assert runs.take(unfinished=True) == [[], []]


def test_a_writer_starts_a_file_with_the_episode_after_the_one_that_was_too_much(
    tmp_path: Path,
) -> None:
    space = spaces.Discrete(2)
    for limits, sizes in [
        ({"max_rows": 5}, [6, 3]),
        ({"max_bytes": 1}, [3, 3, 3]),
        ({}, [9]),
    ]:
        folder = tmp_path / str(len(sizes))
        writer = Writer(str(folder), spaces.Box(-1, 1, (1,)), space, **limits)
        for _ in range(3):
            run = {"obs": np.zeros((3, 1), np.float32), "actions": np.zeros(3, np.int64)}
            run |= {"terminateds": np.array([False, False, True])}
            writer.add(run | {"rewards": np.ones(3, np.float32)})
        writer.flush()
        writer.flush()
        assert [len(load(path)) for path in writer.files] == sizes
        assert sorted(map(str, folder.iterdir())) == writer.files


# -- while it learns -------------------------------------------------------------------------


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_tracing_changes_nothing_and_holds_every_step(tmp_path: Path, env: str) -> None:
    pack, plain, traced = open_pack(tiny(env=env)), ReplicaId(0, 0), ReplicaId(1, 0)
    pack.join(plain, tiny(env=env), 3)
    pack.join(traced, tiny(env=env, output=str(tmp_path / "data")), 3)
    for _ in range(3):
        report = pack.step()
        metrics = timeless(report[traced])
        assert metrics == timeless(report[plain])
    assert torch.equal(*pack.flat)
    pack.close()
    found = load(tmp_path / "data")
    assert len(found) == metrics["num_env_steps_sampled_lifetime"] == 3 * 64
    ended = found.terminateds | found.truncateds
    assert ended.sum() == metrics["env_runners/num_episodes_lifetime"]
    going_on = ~found.last
    np.testing.assert_array_equal(found.new_obs[going_on], found.obs[1:][going_on[:-1]])
    assert (found.action_logp is not None) == (env == "CartPole-v1")
    if found.action_logp is not None:
        np.testing.assert_allclose(np.exp(found.action_logp[:64]), 0.5, atol=0.1)
        returns = found.episode_returns()[ended[found.last]]
        assert returns.mean() == pytest.approx(metrics["env_runners/episode_return_mean"])


def test_an_agent_with_a_replay_buffer_is_traced_too(tmp_path: Path) -> None:
    spec = registry.trainable("DQN")
    config = {"env": "CartPole-v1", "min_sample_timesteps_per_iteration": 40}
    config |= {"num_steps_sampled_before_learning_starts": 30, "model": {"fcnet_hiddens": [8]}}
    pack = spec.open(spec.resolve(config))
    for trial, output in enumerate((None, str(tmp_path / "data"))):
        pack.join(ReplicaId(trial, 0), config | {"output": output}, 5)
    reports = [pack.step() for _ in range(2)]
    pack.close()
    for report in reports:
        assert timeless(report[ReplicaId(0, 0)]) == timeless(report[ReplicaId(1, 0)])
    found = load(tmp_path / "data")
    assert len(found) == 80
    np.testing.assert_array_equal(found.new_obs[~found.last], found.obs[1:][~found.last[:-1]])
    assert (found.terminateds[:-1] == found.last[:-1]).all()


@pytest.mark.parametrize("name", turns.SPECS)
def test_agents_that_learn_in_turns_are_traced_too(tmp_path: Path, name: str) -> None:
    pack, plain, traced = turns.open_pack(name, turns.tiny()), ReplicaId(0, 0), ReplicaId(1, 0)
    pack.join(plain, turns.tiny(), 5)
    pack.join(traced, turns.tiny(output=str(tmp_path / "data")), 5)
    reports = [pack.step() for _ in range(2)]
    files = len(list((tmp_path / "data").iterdir()))
    assert files <= 2  # one an iteration, however many fragments it had
    pack.close()
    for report in reports:
        assert timeless(report[plain]) == timeless(report[traced])
    assert torch.equal(*pack.flat)
    found, last = load(tmp_path / "data"), report[traced]
    assert len(found) == last["num_env_steps_sampled_lifetime"] > 150
    ended = found.terminateds | found.truncateds
    assert ended.sum() == last["env_runners/num_episodes_lifetime"] > 0
    going_on = ~found.last
    np.testing.assert_array_equal(found.new_obs[going_on], found.obs[1:][going_on[:-1]])
    returns = found.episode_returns()[ended[found.last]]
    assert returns.mean() == pytest.approx(last["env_runners/episode_return_mean"])


def test_files_are_of_the_kind_and_size_that_were_asked_for(tmp_path: Path) -> None:
    settings = {
        "each": {},
        "json": {"output_write_method": "write_json"},
        "rows": {"output_max_rows_per_file": 1000},
        "bytes": {"output_max_file_size": 1},
    }
    pack = open_pack(tiny())
    for trial, (name, own) in enumerate(settings.items()):
        pack.join(ReplicaId(trial, 0), tiny(output=str(tmp_path / name), **own), 3)
    for _ in range(3):
        pack.step()
    pack.close()
    names = {path.name: list(path.iterdir()) for path in tmp_path.iterdir()}
    assert {file.suffix for file in names["json"]} == {".json"}
    assert len(names["each"]) == 4  # one each iteration, and what was under way at the end
    assert len(names["rows"]) == 1
    assert len(names["bytes"]) == load(tmp_path / "each").num_episodes


def test_members_of_a_pack_are_traced_each_for_itself(tmp_path: Path) -> None:
    pack: OnPolicyPack = open_pack(tiny())
    for trial, name in enumerate("ab"):
        pack.join(ReplicaId(trial, 0), tiny(output=str(tmp_path / name)), trial)
    pack.join(ReplicaId(2, 0), tiny(), 2)
    pack.step()
    pack.write(ReplicaId(0, 0), pack.read(ReplicaId(0, 0)))
    pack.step()
    pack.leave(ReplicaId(0, 0))
    pack.step()
    pack.close()
    assert len(load(tmp_path / "a")) == 128
    assert len(load(tmp_path / "b")) == 192
    assert load(tmp_path / "b").obs[:, 0].tolist() != load(tmp_path / "a").obs[:, 0].tolist()


def test_an_output_that_cannot_be_written_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = tiny(output=str(tmp_path / "file" / "below"))
    pack = open_pack(config)
    with pytest.raises(InvalidConfig, match=r"output: .*cannot be written"):
        pack.join(ReplicaId(0, 0), config, 0)
    pack.close()


def test_a_disk_that_is_full_fails_only_the_member_that_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = open_pack(tiny())
    pack.join(ReplicaId(0, 0), tiny(), 0)
    pack.join(ReplicaId(1, 0), tiny(output=str(tmp_path / "a")), 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("algorithms.offline.writer.os.replace", full)
    outcome = pack.step()
    failed = outcome[ReplicaId(1, 0)]
    assert isinstance(failed, Failure)
    assert "No space left" in failed.error
    assert timeless(outcome[ReplicaId(0, 0)]) == lone(tiny(), 0, 1)[0][0]
    pack.close()
