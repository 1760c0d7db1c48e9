"""A training iteration of agents that learn from files: so many updates on minibatches of them.

The data are loaded once and shared by all members; each draws its minibatches with a generator of
its own. What an algorithm adds is `learn`.
"""

from __future__ import annotations

import contextlib
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.core.dists.distributions import DiagGaussian
from algorithms.core.envs import PackEnvs
from algorithms.core.envs.no_envs import NoEnvs
from algorithms.core.lifting.stack import Batch, LiftedForward, caller
from algorithms.core.maths.episode_returns import episode_returns
from algorithms.core.maths.imitation import sides
from algorithms.core.packs.iteration import Reports
from algorithms.core.packs.member import Member
from algorithms.core.packs.pack import AlgorithmPack
from algorithms.offline.columns import Columns
from algorithms.offline.dataset import Dataset, load
from algorithms.offline.spaces_json import from_json
from tunerl.errors import InvalidConfig, InvalidInput, Problem
from tunerl.trainable import State
from tunerl.trial import Config, Metrics, ReplicaId

Statistics = dict[str, float]
CLIP = 10.0  # normalised observations, as `RunningStats` has it


class OfflinePack(AlgorithmPack):
    """`needed`: the columns of the data without which this algorithm cannot learn."""

    needed: tuple[str, ...] = ("obs", "actions")

    def __init__(self, config: Config, resolve: Any, key: Any) -> None:
        super().__init__(config, resolve, key)
        self.batch_size: int = self.shared["train_batch_size"]
        self.policy = LiftedForward(self.layout, self.half("policy", 0), self.kind("policy"))
        self.data = dataset_of(self.shared, self.needed)
        self.columns = self._columns()
        self.scales: dict[float, tuple[float, float]] = {}
        self.in_order = False  # each update takes all of the data, as they are

    def half(self, name: str, index: int) -> Any:
        """The network's method `policy` or `value`; without it, that part of its forward."""
        if hasattr(type(self.network), name):
            return caller(self.network, name)
        whole = caller(self.network)
        return lambda parameters, obs: whole(parameters, obs)[index]

    def training_envs(self, num_envs: int) -> PackEnvs:
        return NoEnvs(
            from_json(self.shared["observation_space"]), from_json(self.shared["action_space"])
        )

    def make_envs(self, num_envs: int) -> PackEnvs:
        if self.shared["env"] is None:
            raise InvalidConfig(
                Problem("env", "missing: there is nothing to play in; name an environment")
            )
        return super().make_envs(num_envs)

    def _columns(self) -> Batch:
        """The data as the networks take them, `[N, ...]`: encoded, but not normalised."""
        data = self.data
        encoded = {
            "obs": self.obs_codec.encode(data.obs),
            "new_obs": self.obs_codec.encode(data.new_obs),
            "actions": self.action_codec.encode(data.actions),
            "rewards": data.rewards,
            "terminateds": data.terminateds.astype(np.float32),
        }
        found = {name: column for name, column in encoded.items() if name in self.needed}
        space = self.action_codec.space
        if isinstance(self.distribution, DiagGaussian) and self.action_codec.clip and len(data):
            found["sides"] = sides(data.actions, space)
        return {
            name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in found.items()
        }

    def _enter(self, id: ReplicaId, config: Config, seed: int, state: State | None) -> None:
        super()._enter(id, config, seed, state)
        if state is None and self.filter and len(self.data):
            self.obs_stats.write(len(self.members) - 1, self._moments())

    def _moments(self) -> Any:
        """Mean, sum of squared deviations and number of the observations, as statistics keep it."""
        obs = self.obs_codec.encode(self.data.obs).astype(np.float64)
        mean = obs.mean(0)
        return mean, ((obs - mean) ** 2).sum(0), np.array([float(len(obs))])

    def scale(self, config: Config) -> tuple[float, float]:
        """Mean and deviation of the data's discounted returns, the units of a member's values."""
        gamma: float = config["gamma"]
        if not config["normalize_returns"] or not len(self.data):
            return 0.0, 1.0
        if gamma not in self.scales:
            nothing = np.zeros((1, self.data.num_episodes), np.float32)
            returns = episode_returns(self.data.rewards, nothing, self.data.last, np.array([gamma]))
            self.scales[gamma] = float(returns.mean()), float(returns.std()) + 1e-6
        return self.scales[gamma]

    @contextlib.contextmanager
    def instead(self, given: Columns) -> Iterator[None]:
        """Within it an update learns from all of these (completed) columns; values stay in the
        units of the data proper."""
        before = self.data, self.columns, self.batch_size, dict(self.scales)
        for config in (member.config for member in self.members):
            if "gamma" in config:
                self.scales[config["gamma"]] = self.scale(config)
        names = Dataset.__dataclass_fields__
        own = {name: column for name, column in given.items() if name in names}
        spaces = self.obs_codec.space, self.action_codec.space
        self.data = Dataset(**own, observation_space=spaces[0], action_space=spaces[1])
        self.columns, self.batch_size, self.in_order = self._columns(), len(self.data), True
        try:
            yield
        finally:
            self.data, self.columns, self.batch_size, self.scales = before
            self.in_order = False

    # -- minibatches --------------------------------------------------------------------------

    def draw(self, rows: list[int], updates: int) -> Tensor:
        """Which transitions each update of some members takes: `[updates, R, B]`.

        A member's own generator draws them, with replacement; a row that stands in `rows` again
        (as padding) draws nothing.
        """
        if self.in_order:
            return torch.arange(len(self.data)).expand(updates, len(rows), -1)
        own = {
            row: self.members[row].generator.integers(
                len(self.data), size=(updates, self.batch_size)
            )
            for row in dict.fromkeys(rows)
        }
        return torch.from_numpy(np.stack([own[row] for row in rows], 1))

    def minibatch(self, rows: list[int], index: Tensor) -> Batch:
        """The columns `[R, B, ...]` at `index` `[R, B]`, observations as each member sees them."""
        flat = index.reshape(-1)
        batch = {
            name: column.index_select(0, flat).view(*index.shape, *column.shape[1:])
            for name, column in self.columns.items()
        }
        for name in ("obs", "new_obs"):
            if self.filter and name in batch:
                batch[name] = self.normalized(rows, batch[name])
        return batch

    def normalized(self, rows: list[int], obs: Tensor) -> Tensor:
        """Observations `[R, B, D]` by the statistics of each row."""
        mean, std = (
            torch.from_numpy(part[rows].astype(np.float32)).unsqueeze(1)
            for part in (self.obs_stats.mean, self.obs_stats.std)
        )
        return ((obs - mean) / std).clamp(-CLIP, CLIP)

    # -- one iteration ------------------------------------------------------------------------

    @abstractmethod
    def learn(self, rows: list[int], updates: int) -> list[Statistics]:
        """So many updates of each of the members in `rows`; the mean of each statistic, by row."""

    def iterate(self) -> Reports:
        if not len(self.data):
            self.data = dataset_of(self.shared, self.needed)  # or says why there are none
            self.columns = self._columns()
            self.scales = {}
        started = time.perf_counter()
        self.failures = {}
        statistics: dict[int, Statistics] = {}
        updates = [m.config["dataset_num_iters_per_learner"] for m in self.members]
        for count in sorted(set(updates)):
            rows = [row for row, own in enumerate(updates) if own == count]
            statistics |= dict(zip(rows, self.learn(rows, count), strict=True))
        elapsed = time.perf_counter() - started
        self.check_finite([statistics[row] for row in range(len(self.members))])
        reports: Reports = {}
        for row, (id, member) in enumerate(zip(self.ids, self.members, strict=True)):
            if id not in self.failures:
                reports[id] = self._report(row, member, statistics[row], updates[row], elapsed)
        return self.ended(reports)

    def _report(
        self, row: int, member: Member, statistics: Statistics, updates: int, elapsed: float
    ) -> Metrics:
        member.iteration += 1
        member.env_steps += updates * self.batch_size
        member.updates += updates
        member.time_total_s += elapsed
        trained = "num_env_steps_trained"
        metrics: Metrics = {
            f"learners/default_policy/{name}": value for name, value in statistics.items()
        }
        metrics |= {
            "training_iteration": member.iteration,
            f"{trained}_lifetime": member.env_steps,
            f"learners/__all_modules__/{trained}": updates * self.batch_size,
            f"learners/__all_modules__/{trained}_lifetime": member.env_steps,
            "learners/default_policy/num_updates_lifetime": member.updates,
            "time_this_iter_s": elapsed,
            "time_total_s": member.time_total_s,
        }
        return metrics

    def evaluated(self, member: Member, found: Metrics) -> None:
        """By these returns the best of several replicas is found."""
        if "env_runners/episode_return_mean" in found:  # an evaluation of one's own may lack it
            member.episodes.returns.clear()
            member.episodes.returns.append(found["env_runners/episode_return_mean"])


def dataset_of(config: Config, needed: tuple[str, ...]) -> Dataset:
    """The data of a resolved configuration. Raises `InvalidConfig` with what is wrong with them."""
    try:
        return load(
            config["input_"],
            observation_space=from_json(config["observation_space"]),
            action_space=from_json(config["action_space"]),
            needed=needed,
            method=config["input_read_method"],
        )
    except InvalidInput as error:
        raise InvalidConfig(
            [Problem(problem.path or "input_", problem.message) for problem in error.problems]
        ) from error
