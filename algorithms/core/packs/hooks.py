"""`Hooks`: tells the callbacks of a pack's members what happens to them.

Invariant: a hook that raises fails its member alone; where there are no callbacks nothing is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from algorithms.callbacks import SAMPLING, Callbacks, has
from algorithms.core.collecting.following import Follower
from algorithms.core.collecting.rollout import Rollout
from algorithms.core.envs import StepBatch
from algorithms.core.envs.factory import EnvContext
from algorithms.results import ResultDict
from tunerl.errors import MetricError, TrainableError
from tunerl.metrics import flatten
from tunerl.trial import Metrics, ReplicaId

if TYPE_CHECKING:
    from algorithms.core.packs.pack import AlgorithmPack

RUNNERS = "env_runners/"


class Runner:
    """What steps the environments of one member, as far as callbacks may look at it."""

    worker_index = 0

    def __init__(self, hooks: Hooks, id: ReplicaId) -> None:
        self._hooks, self._id = hooks, id

    @property
    def config(self) -> Any:
        return self._hooks.algorithm(self._id).config

    @property
    def env(self) -> Environments:
        return Environments(self._hooks.pack, self._id)

    @property
    def module(self) -> Any:
        return self._hooks.algorithm(self._id).get_module()

    @property
    def metrics(self) -> Any:
        return self._hooks.member(self._id).logger

    @property
    def num_envs(self) -> int:
        return self._hooks.pack.num_envs


class Environments:
    """The sub-environments of one member; `envs`: Gymnasium's objects, where there are such."""

    def __init__(self, pack: AlgorithmPack, id: ReplicaId) -> None:
        self.num_envs = pack.num_envs
        self.single_observation_space = pack.obs_codec.space
        self.single_action_space = pack.action_codec.space
        self.envs = pack.envs.parts(pack.ids.index(id))

    def get_sub_environments(self) -> list[Any]:
        return self.envs


class Hooks:
    """The callbacks of the members of `pack`, by replica."""

    def __init__(self, pack: AlgorithmPack, given: Any) -> None:
        self.pack, self._given = pack, given
        self._callbacks: dict[ReplicaId, Callbacks] = {}
        self._followers: dict[ReplicaId, Follower] = {}
        self._algorithms: dict[ReplicaId, Any] = {}
        self._follows = has(given, SAMPLING)
        if self._follows:
            pack.sampler.watchers.append(self._watch)

    # -- members --------------------------------------------------------------------------------

    def entered(self, id: ReplicaId, *, restored: bool) -> None:
        """A member has joined. Raises `TrainableError` from a hook."""
        again = self.pack.owner is not None and id in self._callbacks
        if not again:
            self._callbacks[id] = Callbacks(self._given)
        self._algorithms.pop(id, None)
        self.forget_episodes(id)
        context = EnvContext(self.member(id).config["env_config"], 0)
        self.call(id, "on_environment_created", RUNNERS, env_context=context)
        if not again:
            self.call(id, "on_algorithm_init")
        if restored:
            self.call(id, "on_checkpoint_loaded")

    def forget_episodes(self, id: ReplicaId) -> None:
        """Its environments are elsewhere now."""
        self._followers.pop(id, None)

    def member(self, id: ReplicaId) -> Any:
        return self.pack.members[self.pack.ids.index(id)]

    def algorithm(self, id: ReplicaId) -> Any:
        """The agent as an `Algorithm`: that which owns the pack, or one made for looking at it."""
        if id not in self._algorithms:
            from algorithms.building import agent_in

            self._algorithms[id] = agent_in(self.pack, id)
        return self._algorithms[id]

    def call(self, id: ReplicaId, hook: str, prefix: str = "", **given: Any) -> None:
        """Call a hook of a member. Raises `TrainableError` from it."""
        callbacks = self._callbacks[id]
        if hook not in callbacks:
            return
        logger = self.member(id).logger
        offered: Mapping[str, Callable[[], Any]] = {"algorithm": lambda: self.algorithm(id)}
        if prefix:
            runner = Runner(self, id)
            offered = {
                **offered,
                **dict.fromkeys(("env_runner", "worker"), lambda: runner),
                **dict.fromkeys(("env", "base_env"), lambda: runner.env),
                "rl_module": lambda: runner.module,
                "policies": lambda: {"default_policy": self.algorithm(id).get_policy()},
            }
        logger.prefix = prefix
        try:
            callbacks.call(hook, offered, metrics_logger=logger, **given)
        finally:
            logger.prefix = ""

    # -- episodes -------------------------------------------------------------------------------

    def begin(self, id: ReplicaId) -> None:
        """Before an iteration: a member's episodes under way are told of once."""
        if self._follows and id not in self._followers:
            row = self.pack.ids.index(id)
            follower = self._followers[id] = Follower(self.pack, self.pack.members[row])
            for index, episode in follower.begin():
                self._told(id, "on_episode_created", index, episode)
                follower.reset(row, index)
                self._told(id, "on_episode_start", index, episode)

    def _watch(self, t: int, rollout: Rollout, batch: StepBatch) -> None:
        last = t + 1 == rollout.raw_rewards.shape[1]
        self.stepped(rollout.actions[:, t], batch, last=last)

    def stepped(self, actions: NDArray[Any], batch: StepBatch, *, last: bool) -> None:
        """The environments took a step with `actions` `[K, E, ...]` (as a policy puts them out);
        `last`: a rollout ends with it. Who raises is in `batch.error` then."""
        for row, id in enumerate(self.pack.ids) if self._follows else ():
            if row in batch.error:
                continue
            try:
                self._follow(row, id, actions, batch)
                if last:
                    self.call(id, "on_sample_end", RUNNERS, samples=self._followers[id].samples())
            except TrainableError as error:
                batch.error[row] = error

    def _follow(self, row: int, id: ReplicaId, actions: NDArray[Any], batch: StepBatch) -> None:
        follower = self._followers[id]
        for what, index in follower.step(row, actions, batch):
            if what == "begin":
                episode = follower.start(index)
                self._told(id, "on_episode_created", index, episode)
                follower.reset(row, index)
                self._told(id, "on_episode_start", index, episode)
                continue
            self._told(id, f"on_episode_{what}", index, follower.episodes[index])
            if what == "end":
                follower.finish(index)

    def _told(self, id: ReplicaId, hook: str, index: int, episode: Any) -> None:
        self.call(id, hook, RUNNERS, episode=episode, env_index=index)

    # -- results --------------------------------------------------------------------------------

    def changed(self, id: ReplicaId, hook: str, name: str, metrics: Metrics) -> Metrics:
        """What a hook makes of metrics, which it is given nested under the argument `name`."""
        if hook not in self._callbacks[id]:
            return metrics
        result = ResultDict.nested(metrics)
        arguments: dict[str, Any] = {name: result}
        self.call(id, hook, **arguments)
        return flatten({key: value for key, value in result.items() if key != "config"})

    def finished(self, id: ReplicaId, report: Metrics) -> Metrics:
        """After an iteration: the report with what the callbacks logged and changed."""
        follower = self._followers.get(id)
        if follower is not None:
            keep = self.member(id).config["keep_per_episode_custom_metrics"]
            report = report | follower.metrics(keep)
        report = self.changed(id, "on_train_result", "result", report)
        logged = self.member(id).logger.report()
        both = sorted(set(logged) & set(report))
        if both:
            raise MetricError(
                f"callbacks logged {both[0]!r}, which the algorithm reports itself; rename it"
            )
        return {**report, **logged}
