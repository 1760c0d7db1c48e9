"""`PolicyRunner`: samples with a policy class of the user's own, in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from algorithms.sampling.asking import Asking
from algorithms.sampling.episode import SingleAgentEpisode
from tunerl.errors import InvalidInput
from tunerl.trial import Metrics


class PolicyRunner(Asking):
    """``policy_class(observation_space, action_space, config)`` in ``env_creator(config)``.

    Of the policy it asks ``compute_single_action(obs, explore=...)`` or ``compute_actions(batch)``
    (an action, or a tuple that begins with it), and `get_weights`/`set_weights`.
    """

    def __init__(
        self,
        policy_class: Any,
        env_creator: Callable[[Any], Any],
        config: Mapping[str, Any] | None = None,
        *,
        worker_index: int = 0,
        num_workers: int = 0,
        seed: int | None = None,
        rollout_fragment_length: int = 200,
    ) -> None:
        self.config = dict(config or {})
        self.worker_index, self.num_workers = worker_index, num_workers
        self.rollout_fragment_length = rollout_fragment_length
        self.env = env_creator(self.config)
        self.policy = policy_class(
            self.env.observation_space, self.env.action_space, dict(self.config)
        )
        self._seed = None if seed is None else seed * 1000 + worker_index
        self._episode: SingleAgentEpisode | None = None
        self._made = self._steps = 0
        self._returns: list[float] = []
        self._running = 0.0

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool = True,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[SingleAgentEpisode]:
        """As `EnvRunner.sample`, from the one environment."""
        if num_timesteps is not None and num_episodes is not None:
            raise InvalidInput("give num_timesteps or num_episodes, not both")
        if force_reset or num_episodes is not None:
            self._episode = None
        wanted = num_timesteps or self.rollout_fragment_length
        found: list[SingleAgentEpisode] = []
        steps = 0
        while len(found) < num_episodes if num_episodes is not None else steps < wanted:
            episode = self._step(explore, random_actions)
            steps += 1
            if episode.is_done:
                found.append(episode.to_numpy())
                self._episode = None
        if num_episodes is None and self._episode is not None and len(self._episode):
            found.append(self._episode)
            self._episode = self._episode.cut()
            found[-1].to_numpy()
        self._steps += steps
        return found

    def _step(self, explore: bool, random: bool) -> SingleAgentEpisode:
        if self._episode is None:
            seed = None if self._seed is None or self._made else self._seed
            self._made += 1
            self._running = 0.0
            self._episode = SingleAgentEpisode(f"{self.worker_index}-{self._made}")
            self._episode.add_env_reset(*self.env.reset(seed=seed))
        obs = self._episode.get_observations(-1)
        action = self.env.action_space.sample() if random else self._action(obs, explore)
        after, reward, terminated, truncated, info = self.env.step(action)
        self._episode.add_env_step(
            after, action, reward, info, terminated=terminated, truncated=truncated
        )
        self._running += float(reward)
        if self._episode.is_done:
            self._returns = [*self._returns, self._running][-100:]
        return self._episode

    def _action(self, obs: Any, explore: bool) -> Any:
        if hasattr(self.policy, "compute_single_action"):
            found = self.policy.compute_single_action(obs, explore=explore)
            return found[0] if isinstance(found, tuple) else found
        found = self.policy.compute_actions(np.asarray(obs)[None])
        return (found[0] if isinstance(found, tuple) else found)[0]

    def get_metrics(self) -> Metrics:
        mean = float(np.mean(self._returns)) if self._returns else float("nan")
        return {
            "env_runners/episode_return_mean": mean,
            "env_runners/num_env_steps_sampled_lifetime": self._steps,
        }

    def get_spaces(self) -> dict[str, tuple[Any, Any]]:
        pair = (self.env.observation_space, self.env.action_space)
        return {"__env__": pair, "__env_single__": pair, "default_policy": pair}

    def get_weights(self) -> dict[str, Any]:
        return {"default_policy": self.policy.get_weights()}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        self.policy.set_weights(weights.get("default_policy", weights))

    def stop(self) -> None:
        self.env.close()
