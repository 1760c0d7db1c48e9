"""`ResultDict`: metrics nested as RLlib nests them, which also answer to flat and to older names.

Invariant: its items are the nested metrics alone; the other names are for reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunerl.errors import nearest
from tunerl.metrics import flatten
from tunerl.trial import Metrics

_RUNNERS, _POLICY = "env_runners/", "learners/default_policy/"
_EPISODES = {
    "episode_reward_mean": _RUNNERS + "episode_return_mean",
    "episode_reward_min": _RUNNERS + "episode_return_min",
    "episode_reward_max": _RUNNERS + "episode_return_max",
    "episode_return_mean": _RUNNERS + "episode_return_mean",
    "episode_return_min": _RUNNERS + "episode_return_min",
    "episode_return_max": _RUNNERS + "episode_return_max",
    "episode_len_mean": _RUNNERS + "episode_len_mean",
    "episodes_this_iter": _RUNNERS + "num_episodes",
}
_STATISTICS = {
    "total_loss": "total_loss",
    "policy_loss": "policy_loss",
    "vf_loss": "vf_loss",
    "vf_explained_var": "vf_explained_var",
    "kl": "mean_kl_loss",
    "entropy": "entropy",
    "entropy_coeff": "curr_entropy_coeff",
    "cur_kl_coeff": "curr_kl_coeff",
    "cur_lr": "default_optimizer_learning_rate",
    "grad_gnorm": "gradients_default_optimizer_global_norm",
}
OLDER: dict[str, str] = {
    **_EPISODES,
    **{f"sampler_results/{old}": new for old, new in _EPISODES.items()},
    **{
        f"info/learner/default_policy/learner_stats/{old}": _POLICY + new
        for old, new in _STATISTICS.items()
    },
    "episodes_total": _RUNNERS + "num_episodes_lifetime",
    "timesteps_total": "num_env_steps_sampled_lifetime",
    "agent_timesteps_total": "num_env_steps_sampled_lifetime",
    "num_env_steps_sampled": "num_env_steps_sampled_lifetime",
    "num_env_steps_trained": "num_env_steps_sampled_lifetime",
    "info/num_env_steps_sampled": "num_env_steps_sampled_lifetime",
    "info/num_env_steps_trained": "num_env_steps_sampled_lifetime",
}
"""Names of RLlib before 2.40, and what they are called now."""


class ResultDict(dict[str, Any]):
    """``result["env_runners"]["episode_return_mean"]``, ``result["env_runners/..."]``, and
    ``result["episode_reward_mean"]`` are the same number. Raises `KeyError` with the nearest name.
    """

    @classmethod
    def nested(cls, flat: Mapping[str, Any]) -> ResultDict:
        """The metrics of a pack: ``/`` in a name is a level."""
        made = cls()
        for name, value in flat.items():
            *levels, last = name.split("/")
            inner = made
            for level in levels:
                inner = inner.setdefault(level, cls())
            inner[last] = value
        return made

    def flat(self) -> Metrics:
        """The metrics alone, under flat names."""
        return flatten({name: value for name, value in self.items() if name != "config"})

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        missing = object()
        return isinstance(key, str) and self.get(key, missing) is not missing

    def __missing__(self, key: str) -> Any:
        first, _, rest = key.partition("/")
        if rest and isinstance(inner := dict.get(self, first), ResultDict) and rest in inner:
            return inner[rest]
        if key in OLDER:
            new, last = OLDER[key], OLDER[key].rpartition("/")[2]
            if new in self:
                return self[new]
            if dict.__contains__(self, last):
                return self[last]
        below = {
            old.removeprefix(f"{key}/"): self[new]
            for old, new in OLDER.items()
            if old.startswith(f"{key}/") and new in self
        }
        if below:
            return ResultDict.nested(below)
        raise KeyError(f"{key!r} is not in the result; {nearest(str(key), self.flat())}")
