"""The environment runners of a lone agent: in actors where it was asked for, once they are needed.

Invariant: where they live changes none of the agent's numbers, but for those agents whose actors
do not wait (`asynchronous.py`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from algorithms.sampling.asynchronous import AsyncActors, can_lag, collected
from algorithms.sampling.group import EnvRunnerGroup
from algorithms.sampling.learner import spread_learning
from algorithms.sampling.remote import Fleet
from algorithms.sampling.spread import SpreadSampler, can_spread
from tunerl.trial import Metrics

if TYPE_CHECKING:
    from algorithms.algorithm import Algorithm

_SETTINGS = (
    "num_cpus_per_env_runner",
    "sample_timeout_s",
    "restart_failed_env_runners",
    "max_num_env_runner_restarts",
)


class Runners:
    """Made on the first use of one of its methods; in a sweep the agents have no actors."""

    def __init__(self, agent: Algorithm) -> None:
        self.agent = agent
        self._group: EnvRunnerGroup | None = None
        self._learners: Fleet | None = None
        self._given: torch.Tensor | None = None  # the parameters that the group was given last

    def begin(self) -> None:
        """Before an iteration: the actors, if there are to be any, collect for it."""
        pack = self.agent.pack
        if self._group is None and self._wanted() and (can_spread(pack) or can_lag(pack)):
            self._make()
        number = self.agent.config.get("num_learners") or 0
        if number > 1 and self._learners is None and not self.agent.in_sweep:
            self._learners = spread_learning(self.agent.pack, self.agent.config, number)

    @property
    def group(self) -> EnvRunnerGroup:
        """All of them, with the agent's present weights."""
        group = self._group or self._make()
        flat = self.agent.pack.flat
        if self._given is None or not torch.equal(self._given, flat):
            group.sync_weights(weights=self.agent.get_weights())
            self._given = flat.clone()
        return group

    def metrics(self) -> Metrics:
        """What became of the actors, by RLlib's names; nothing where there are none."""
        if self._group is None or self._group.fleet is None:
            return {}
        fleet = self._group.fleet
        return {
            "fault_tolerance/num_healthy_workers": len(fleet.actors),
            "fault_tolerance/num_remote_worker_restarts": fleet.restarts,
        }

    def stop(self) -> None:
        if self._group is not None:
            self._group.stop()
            self._group = None
        if self._learners is not None:
            self._learners.stop()
            self._learners = None

    def _wanted(self) -> bool:
        return bool(self.agent.config.get("num_env_runners")) and not self.agent.in_sweep

    def _make(self) -> EnvRunnerGroup:
        config, pack = self.agent.config, self.agent.pack
        self._group = EnvRunnerGroup(
            config,
            num_env_runners=config["num_env_runners"] if self._wanted() else 0,
            seed=self.agent.record.seed,
            **{name: config[name] for name in _SETTINGS if name in config},
        )
        fleet = self._group.fleet
        if fleet is not None and can_spread(pack):
            fleet.call("ping")  # starting takes its time; it is none of the environment's
            pack.sampler = SpreadSampler(pack, fleet, config["sample_timeout_s"], self._restarted)
        elif fleet is not None and can_lag(pack):
            fleet.call("ping")
            actors = AsyncActors(pack, fleet, config["sample_timeout_s"], self._restarted)
            pack.source = partial(collected, pack, actors)
        return self._group

    def _restarted(self, which: slice) -> None:
        """Sub-environments began fresh episodes: the returns under way are lost. Callbacks hear."""
        episodes, pack = self.agent.record.episodes, self.agent.pack
        episodes.running_return[which], episodes.running_length[which] = 0.0, 0
        pack.discounted[:, which] = 0.0
        if pack.hooks is not None:
            pack.hooks.call(pack.ids[0], "on_env_runners_recreated")
