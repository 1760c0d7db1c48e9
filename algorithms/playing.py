"""`rollout`: a trained agent plays, on the screen or into video files."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.agent import Agent
from algorithms.algorithm import Algorithm
from algorithms.core import envs
from algorithms.core.packs.evaluation import steps
from tunerl.errors import InvalidConfig, InvalidInput

FPS = 30  # where an environment does not say


def rollout(
    agent: Any,
    env_name: Any = None,
    num_steps: int | None = None,
    num_episodes: int | None = 1,
    no_render: bool = False,
    video_dir: Any = None,
    *,
    env_config: dict[str, Any] | None = None,
    seed: int = 0,
    explore: bool = False,
) -> list[float]:
    """The return of each episode that an agent plays; see `play`."""
    found: list[float] = play(
        agent,
        env=env_name,
        env_config=env_config,
        num_steps=num_steps,
        num_episodes=num_episodes,
        render=not no_render,
        video_dir=video_dir,
        seed=seed,
        explore=explore,
    )["episode_returns"]
    return found


def play(
    agent: Any,
    *,
    env: Any = None,
    env_config: dict[str, Any] | None = None,
    num_steps: int | None = None,
    num_episodes: int | None = 1,
    render: bool = False,
    video_dir: Any = None,
    seed: int = 0,
    explore: bool = False,
) -> dict[str, Any]:
    """``episode_returns``, ``episode_lengths``, and the ``videos`` that were written.

    `agent`: an `Algorithm`, or what `Algorithm.from_checkpoint` takes. `env`: by default its own;
    another one must have the same spaces. It ends after `num_episodes`, or in the middle of an
    episode after `num_steps`; that episode then counts with what it has. `render`: on the screen,
    where there is one. `video_dir`: one mp4 file an episode (its first and last picture may be
    missing), instead of the screen. Raises `InvalidInput` for an environment that cannot be
    rendered, or where the extra ``video`` is missing.
    """
    if num_steps is None and num_episodes is None:
        raise InvalidInput("give num_steps or num_episodes; it would never end")
    for name, number in (("num_steps", num_steps), ("num_episodes", num_episodes)):
        if number is not None and (isinstance(number, bool) or number < 1):
            raise InvalidInput(f"{name}={number!r}; give a number from 1, or None for no limit")
    if not isinstance(agent, Agent):
        with Algorithm.from_checkpoint(agent, config={"callbacks": None}) as loaded:
            return _played(loaded, env, env_config, num_steps, num_episodes, render, video_dir,
                           seed, explore)  # fmt: skip
    return _played(
        agent, env, env_config, num_steps, num_episodes, render, video_dir, seed, explore
    )


def _played(
    agent: Agent,
    env: Any,
    env_config: dict[str, Any] | None,
    num_steps: int | None,
    num_episodes: int | None,
    render: bool,
    video_dir: Any,
    seed: int,
    explore: bool,
) -> dict[str, Any]:
    mode = "rgb_array" if video_dir is not None else "human" if render and _screen() else None
    pack, row = agent.seat()
    films = Films(video_dir)
    returns: list[float] = []
    lengths: list[int] = []
    total, length, taken = 0.0, 0, 0
    with contextlib.closing(_environment(pack, env, env_config, mode)) as playing, films:
        for batch in steps(pack, row, playing, seed=seed, explore=explore):
            total, length = total + float(batch.reward[0, 0]), length + int(batch.valid[0, 0])
            taken += int(batch.valid[0, 0])
            over = bool(batch.terminated[0, 0] or batch.truncated[0, 0])
            enough = num_steps is not None and taken >= num_steps
            if over or enough:
                returns.append(total)
                lengths.append(length)
                total, length = 0.0, 0
                films.cut()
            if enough or (num_episodes is not None and len(returns) >= num_episodes):
                break
            films.take(playing)  # after an episode's end the first picture of the next one
    return {"episode_returns": returns, "episode_lengths": lengths, "videos": films.paths}


def _environment(pack: Any, env: Any, env_config: Any, mode: str | None) -> Any:
    """One environment to play in, with spaces like those the agent knows."""
    own = pack.shared
    given = env_config if env_config is not None else own["env_config"]
    settings = {**own, "env": env if env is not None else own["env"], "env_config": dict(given)}
    if settings["env"] is None:
        raise InvalidInput("the agent has learned from data alone; name an environment")
    if mode is not None:
        settings["env_config"]["render_mode"] = mode
    try:
        playing = envs.of(settings, 1, "sync" if mode is not None else None)
    except InvalidConfig as error:
        raise InvalidInput(f"{settings['env']!r} cannot be played: {error}") from error
    spaces = (playing.single_observation_space, playing.single_action_space)
    if spaces != (pack.obs_codec.space, pack.action_codec.space):
        playing.close()
        raise InvalidInput(
            f"{settings['env']!r} has the spaces {spaces}, the agent knows "
            f"{(pack.obs_codec.space, pack.action_codec.space)}"
        )
    return playing


def _screen() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Films:
    """One file an episode below `folder`; without it nothing."""

    def __init__(self, folder: Any) -> None:
        self.paths: list[str] = []
        self._folder = None if folder is None else Path(folder)
        self._writer: Generator[None, Any, None] | None = None
        if self._folder is not None:
            _ffmpeg()
            self._folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Films:
        return self

    def __exit__(self, *error: object) -> None:
        self.cut()

    def take(self, playing: Any) -> None:
        """The picture of the moment."""
        if self._folder is None:
            return
        env = playing.parts(0)[0]
        frame = env.render()
        if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3:
            raise InvalidInput(
                f"render() of {env} gave {type(frame).__name__}, no picture [height, width, 3]; "
                "its creator is given render_mode='rgb_array' in its configuration"
            )
        height, width = (size + size % 2 for size in frame.shape[:2])  # as the codec wants them
        padded = np.zeros((height, width, 3), np.uint8)
        padded[: frame.shape[0], : frame.shape[1]] = frame
        if self._writer is None:
            path = str(self._folder / f"episode-{len(self.paths):03d}.mp4")
            fps = (getattr(env, "metadata", None) or {}).get("render_fps") or FPS
            self._writer = _ffmpeg().write_frames(
                path, (width, height), fps=fps, macro_block_size=1, ffmpeg_log_level="error"
            )
            self._writer.send(None)
            self.paths.append(path)
        self._writer.send(padded)

    def cut(self) -> None:
        """The episode is over."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _ffmpeg() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise InvalidInput(f"videos need an extra: pip install tunerl[video] ({error})") from error
    return imageio_ffmpeg
