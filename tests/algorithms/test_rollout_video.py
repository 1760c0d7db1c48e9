"""A trained agent plays: returns as they were, films that can be seen."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
from typer.testing import CliRunner

from algorithms import PPO, rollout
from algorithms.playing import play
from service.cli import app
from tests.algorithms.agents import TINY, Parts
from tunerl.errors import InvalidInput


def test_a_rollout_gives_the_returns_of_whole_episodes_by_seed(trained: SimpleNamespace) -> None:
    agent = trained.algorithm
    returns = rollout(agent, "CartPole-v1", num_episodes=3)
    assert returns == rollout(str(trained.path), num_episodes=3, no_render=True)
    assert len(returns) == 3
    assert min(returns) >= 8
    assert returns != rollout(agent, num_episodes=3, seed=1)
    found = play(agent, num_episodes=None, num_steps=50)
    assert sum(found["episode_lengths"]) == 50
    assert found["episode_returns"] == [float(n) for n in found["episode_lengths"]]
    assert found["videos"] == []
    assert agent.iteration == 1


def pictures_of(path: str) -> np.ndarray[Any, Any]:
    """`[T, 400, 600, 3]`"""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "rawvideo"]
    data = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    return np.frombuffer(data.stdout, np.uint8).reshape(-1, 400, 600, 3)


def test_a_film_shows_each_episode(trained: SimpleNamespace, tmp_path: Path) -> None:
    found = play(trained.algorithm, num_episodes=2, video_dir=tmp_path / "films")
    names = ["episode-000.mp4", "episode-001.mp4"]
    assert found["videos"] == [str(tmp_path / "films" / name) for name in names]
    for path, length in zip(found["videos"], found["episode_lengths"], strict=True):
        pictures = pictures_of(path)
        assert abs(len(pictures) - length) <= 1
        assert np.abs(pictures[0].astype(int) - pictures[-1]).max() > 100  # the cart has moved


def test_an_environment_made_by_a_function_is_told_that_it_is_to_be_filmed(tmp_path: Path) -> None:
    def make(config: dict[str, Any]) -> gymnasium.Env[Any, Any]:
        return gymnasium.make("CartPole-v1", **config)

    with PPO({**TINY, "env": make}) as agent:
        assert len(play(agent, num_steps=9, video_dir=tmp_path)["videos"]) == 1
    with (
        PPO({**TINY, "env": Parts}) as agent,
        pytest.raises((InvalidInput, NotImplementedError)),
    ):
        play(agent, video_dir=tmp_path / "none")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"num_episodes": None}, "it would never end"),
        ({"num_episodes": 0}, "num_episodes=0; give a number from 1"),
        ({"num_steps": True}, "num_steps=True"),
        ({"env": "Pendulum-v1"}, "has the spaces"),
        ({"env": "CartPoll-v1"}, "cannot be played.*did you mean"),
    ],
)
def test_what_cannot_be_played_says_so(
    how: dict[str, Any], message: str, trained: SimpleNamespace
) -> None:
    with pytest.raises(InvalidInput, match=message):
        play(trained.algorithm, **how)


def test_without_the_extra_a_film_is_refused(
    trained: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(InvalidInput, match=r"pip install tunerl\[video\]"):
        play(trained.algorithm, video_dir=tmp_path / "films")
    assert not (tmp_path / "films").exists()


# -- the command line ---------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_the_command_rolls_out_a_checkpoint(trained: SimpleNamespace, tmp_path: Path) -> None:
    shown = run("rollout", str(trained.path), "--episodes", "2", "--video", str(tmp_path / "v"))
    found = json.loads(shown.output)
    assert found["episode_returns"] == rollout(trained.algorithm, num_episodes=2)
    assert all(Path(path).stat().st_size > 1000 for path in found["videos"])
    cut = json.loads(run("rollout", str(trained.path), "--steps", "5").output)
    assert cut["episode_lengths"] == [5]


def test_the_command_trains_an_algorithm_in_an_environment_and_from_a_file(
    tmp_path: Path, home: Path
) -> None:
    config = {key: value for key, value in TINY.items() if key != "env"}
    here = ["--runtime", "local", "--stop", json.dumps({"training_iteration": 2})]
    run("train", "--algo", "PPO", "--env", "CartPole-v1", "--config", json.dumps(config), *here)
    saved = sorted(home.rglob("state.json"))
    assert len(saved) == 1
    assert json.loads(run("rollout", str(saved[0].parent)).output)["episode_returns"][0] >= 8
    spec = {"trainable": "PPO", "param_space": TINY, "stop": {"training_iteration": 1}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    run("train", str(tmp_path / "spec.json"), "--runtime", "local")
    assert len(list(home.rglob("state.json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "algo: missing.*env: missing.*stop: missing"),
        (["--algo", "PPO", "--env", "CartPole-v1", "--stop", "5"], "stop: '5' is no object"),
        (["--algo", "PPO", "--config", "{"], "config: '{' is no JSON"),
        (["spec.yaml", "--algo", "PPO"], "file: the file says it all"),
    ],
)
def test_the_command_says_what_is_missing(arguments: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        CliRunner().invoke(app, ["train", *arguments], catch_exceptions=False)
