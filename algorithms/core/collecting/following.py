"""Episodes as an author's callbacks see them, followed step by step while a pack collects.

Invariant: an episode that was under way when its agent was restored has its true length and return;
what was seen before is not remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from algorithms.core.envs import StepBatch
from algorithms.core.envs.spaces import is_composite
from algorithms.sampling.episode import SingleAgentEpisode

if TYPE_CHECKING:
    from algorithms.core.packs.member import Member
    from algorithms.core.packs.pack import AlgorithmPack


class Episode(SingleAgentEpisode):
    """An episode with room for what callbacks keep and report.

    `custom_data` (formerly `user_data`): anything. `custom_metrics`: numbers, of which each result
    has mean, least and largest. `hist_data`: lists of numbers, which a result holds as they are.
    """

    def __init__(self, *args: Any, before: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before = before
        self.custom_data: dict[Any, Any] = {}
        self.custom_metrics: dict[str, float] = {}
        self.hist_data: dict[str, list[float]] = {}

    @property
    def user_data(self) -> dict[Any, Any]:
        return self.custom_data

    def get_return(self) -> float:
        """The sum of its rewards."""
        return self._before + super().get_return()

    @property
    def total_reward(self) -> float:
        return self.get_return()

    @property
    def length(self) -> int:
        """How many steps it has."""
        return self.t

    @property
    def episode_id(self) -> str:
        return self.id_

    def last_observation_for(self, agent_id: Any = None) -> Any:
        return self.get_observations(-1)

    def last_info_for(self, agent_id: Any = None) -> Any:
        return self.get_infos(-1)


class Follower:
    """The episodes under way of one member, one a sub-environment.

    An entry is None where the next step will only reset.
    """

    def __init__(self, pack: AlgorithmPack, member: Member) -> None:
        self._pack, self._member = pack, member
        self._space: Any = pack.obs_codec.space
        self._late = pack.shared["gym_env_vectorize_mode"] == "envpool"
        self.episodes: list[Episode | None] = [None] * pack.num_envs
        self.ended: list[Episode] = []
        self._given = 0

    def begin(self) -> list[tuple[int, Episode]]:
        """The episodes that are under way now."""
        return [(index, self._new(index, resumed=True)) for index in range(self._pack.num_envs)]

    def _new(self, index: int, *, resumed: bool = False) -> Episode:
        running = self._member.episodes
        length = int(running.running_length[index]) if resumed else 0
        episode = Episode(
            t_started=length,
            before=float(running.running_return[index]) if resumed else 0.0,
            observation_space=self._space,
            action_space=self._pack.action_codec.space,
        )
        self.episodes[index] = episode
        return episode

    def reset(self, row: int, index: int) -> None:
        """The episode's first observation."""
        episode = self.episodes[index]
        assert episode is not None
        infos = self._pack.envs.infos(row, first=True)
        episode.add_env_reset(self._seen(self._pack.envs.obs[row, index]), infos[index])

    def step(self, row: int, chosen: Any, batch: StepBatch) -> list[tuple[str, int]]:
        """Take in a step with actions `[K, E, ...]`.

        What happened, in order: ("step" | "end" | "begin", sub-environment).
        """
        happened: list[tuple[str, int]] = []
        actions = self._pack.action_codec.decode(chosen[row : row + 1])[0]
        infos = self._pack.envs.infos(row)
        for index in range(self._pack.num_envs):
            episode = self.episodes[index]
            if episode is None or not batch.valid[row, index]:
                happened.append(("begin", index))
                continue
            terminated = bool(batch.terminated[row, index])
            truncated = bool(batch.truncated[row, index])
            done = terminated or truncated
            seen = batch.final_obs[row, index] if done else batch.obs[row, index]
            episode.add_env_step(
                self._seen(seen),
                actions[index].copy(),
                float(batch.reward[row, index]),
                infos[index],
                terminated=terminated,
                truncated=truncated,
            )
            happened.append(("step", index))
            if done:
                happened.append(("end", index))
                happened += [] if self._late else [("begin", index)]
        return happened

    def finish(self, index: int) -> None:
        """The episode is over."""
        episode = self.episodes[index]
        assert episode is not None
        self.ended.append(episode)
        self.episodes[index] = None

    def start(self, index: int) -> Episode:
        """The next episode."""
        return self._new(index)

    def _seen(self, obs: Any) -> Any:
        if is_composite(self._space):
            return spaces.unflatten(self._space, np.array(obs))
        return np.array(obs)

    def samples(self) -> list[Episode]:
        """The episodes that have ended since this was asked, and those under way."""
        new, self._given = self.ended[self._given :], len(self.ended)
        return [*new, *(one for one in self.episodes if one is not None and len(one))]

    def metrics(self, keep: bool) -> dict[str, Any]:
        """What the ended episodes report; they are forgotten then."""
        numbers: dict[str, list[float]] = {}
        lists: dict[str, list[float]] = {}
        for episode in self.ended:
            for name, value in episode.custom_metrics.items():
                numbers.setdefault(str(name), []).append(float(value))
            for name, values in episode.hist_data.items():
                lists.setdefault(str(name), []).extend(map(float, values))
        self.ended, self._given = [], 0
        found: dict[str, Any] = {f"hist_stats/{name}": values for name, values in lists.items()}
        for name, values in numbers.items():
            where = f"custom_metrics/{name}"
            if keep:
                found[where] = values
            else:
                found[f"{where}_mean"] = float(np.mean(values))
                found |= {f"{where}_min": min(values), f"{where}_max": max(values)}
        return found
