"""From the steps of E sub-environments to chunks of episodes.

Invariant: the chunks of one episode have one id and follow one another; a step that only reset its
sub-environment is in none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.envs import StepBatch
from algorithms.core.envs.spaces import is_composite
from algorithms.sampling.episode import SingleAgentEpisode
from algorithms.sampling.track import Track

Array = NDArray[Any]


@dataclass
class Seen:
    """What the environments themselves gave in T steps; a watcher of `Sampler`.

    `obs`: T + 1 arrays `[E, *obs]`; `finals`: the last observations of episodes by (t, e).
    """

    obs: list[Array]
    finals: dict[tuple[int, int], Array] = field(default_factory=dict)

    def __call__(self, t: int, rollout: Rollout, batch: StepBatch) -> None:
        self.obs.append(batch.obs[0].copy())
        for e in np.flatnonzero(batch.terminated[0] | batch.truncated[0]).tolist():
            self.finals[t, e] = batch.final_obs[0, e].copy()


class Chunker:
    """Remembers the episode under way in each of `num_envs` sub-environments.

    `name` goes before the number of an episode in its id.
    """

    def __init__(self, name: str, num_envs: int, spaces_: tuple[Any, Any]) -> None:
        self.name, self.num_envs = name, num_envs
        self.observation_space, self.action_space = spaces_
        self.made = 0
        self.open: list[tuple[str, int]] = []
        self.restart()

    def restart(self) -> None:
        """Every sub-environment begins a fresh episode."""
        self.open = [(self._id(), 0) for _ in range(self.num_envs)]

    def cut(
        self, rollout: Rollout, seen: Seen, actions: Array, outputs: dict[str, Array]
    ) -> list[SingleAgentEpisode]:
        """The chunks of a rollout of one row, in the order in which they end.

        `actions` `[T, E, ...]` and `outputs` (`[T, E, ...]` by name) go into them.
        """
        ends, valid = rollout.ends[0], rollout.valid[0]
        found: list[tuple[int, SingleAgentEpisode]] = []
        for e in range(self.num_envs):
            first = 0
            for last in [*np.flatnonzero(ends[:, e]).tolist(), len(ends) - 1]:
                while first <= last and not valid[first, e]:
                    first += 1
                if first > last:
                    continue
                chunk = self._chunk(rollout, seen, e, first, last)
                chunk.actions.data = list(actions[first : last + 1, e])
                chunk.extra_model_outputs = {
                    name: Track(list(values[first : last + 1, e]), 0)
                    for name, values in outputs.items()
                }
                found.append((last, chunk.to_numpy()))
                first = last + 1
        return [chunk for _, chunk in sorted(found, key=lambda pair: pair[0])]

    def _chunk(
        self, rollout: Rollout, seen: Seen, e: int, first: int, last: int
    ) -> SingleAgentEpisode:
        terminated = bool(rollout.terminated[0, last, e])
        truncated = bool(rollout.truncated[0, last, e])
        id_, started = self.open[e]
        steps = last + 1 - first
        done = terminated or truncated
        self.open[e] = (self._id(), 0) if done else (id_, started + steps)
        raw = [seen.obs[t][e] for t in range(first, last + 1)]
        raw.append(seen.finals[last, e] if done else seen.obs[last + 1][e])
        chunk = SingleAgentEpisode(
            id_,
            t_started=started,
            observation_space=self.observation_space,
            action_space=self.action_space,
        )
        chunk.observations.data = [self._observation(obs) for obs in raw]
        chunk.rewards.data = list(rollout.raw_rewards[0, first : last + 1, e])
        chunk.infos.data = [{} for _ in raw]
        chunk.is_terminated, chunk.is_truncated = terminated, truncated
        return chunk

    def _observation(self, obs: Array) -> Any:
        space = self.observation_space
        if is_composite(space):
            return _plain(spaces.unflatten(space, obs))
        return obs

    def _id(self) -> str:
        self.made += 1
        return f"{self.name}-{self.made}"


def _plain(value: Any) -> Any:
    """Gymnasium's ordered dictionaries as plain ones."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value
