"""Plays with a trained agent, or at random, and writes what was done as offline data.

Invariant: equal seeds give equal transitions; the agent is not changed.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from algorithms.algorithm import Algorithm
from algorithms.core.envs import StepBatch
from algorithms.core.packs.member import derived_seed
from algorithms.offline.columns import Columns
from algorithms.offline.runs import Runs, step_columns
from algorithms.offline.writer import Writer
from algorithms.policy import Policy
from tunerl.errors import InvalidInput, Problem, nearest

KINDS = ("random", "medium", "expert", "mixed")
FORMATS = ("parquet", "json")
ENVS = 10  # environments played in at once
TRIALS = 7  # halvings of the interval in which the share of random actions is looked for

Actions = Callable[[NDArray[Any]], NDArray[Any]]


def record(
    checkpoint: Any,
    output: str,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    kind: str = "expert",
    format: str = "parquet",
    explore: bool = False,
    seed: int = 0,
    max_rows_per_file: int | None = None,
) -> dict[str, Any]:
    """Write `episodes` whole episodes, or exactly `steps` steps, to the directory `output`.

    `checkpoint`: an `Algorithm`, or anything `Algorithm.from_checkpoint` takes. `kind`: "expert":
    the agent's likeliest actions (`explore`: sampled ones); "random": actions drawn evenly;
    "medium": the agent's, of which as many are replaced by random ones as it takes to bring the
    return half way down to that of random; "mixed": a third of each. Returns what was written:
    episodes, steps, episode_return_mean, files. Raises `InvalidInput`, `CheckpointError`.
    """
    _check(episodes, steps, kind, format)
    given = isinstance(checkpoint, Algorithm)
    algorithm = checkpoint if given else Algorithm.from_checkpoint(checkpoint)
    try:
        player = Player(algorithm, explore)
        writer = Writer(
            output,
            player.policy.observation_space,
            player.policy.action_space,
            method=f"write_{format}",
            max_rows=max_rows_per_file,
            name=kind,
        )
        runs: list[Columns] = []
        shares: dict[str, float] = {}
        parts = ("random", "medium", "expert") if kind == "mixed" else (kind,)
        for number, part in enumerate(parts):
            shares[part] = player.share(part, seed)
            amounts = [
                amount and amount // len(parts) + (number < amount % len(parts))
                for amount in (episodes, steps)
            ]
            runs += player.play(shares[part], derived_seed(seed, part), *amounts)
    finally:
        if not given:
            algorithm.stop()
    for run in runs:
        writer.add(run)
    writer.flush()
    ended = [run for run in runs if run["terminateds"][-1] or run["truncateds"][-1]]
    returns = [float(run["rewards"].sum()) for run in ended]
    return {
        "kind": kind,
        "episodes": len(ended),
        "steps": sum(len(run["rewards"]) for run in runs),
        "episode_return_mean": float(np.mean(returns)) if returns else None,
        "random_action_share": shares,
        "files": writer.files,
    }


def _check(episodes: int | None, steps: int | None, kind: str, format: str) -> None:
    problems = []
    if (episodes is None) == (steps is None):
        problems.append(Problem("episodes", "give either episodes or steps"))
    amount = episodes if episodes is not None else steps
    if amount is not None and amount < 1:
        problems.append(Problem("episodes", f"{amount} is nothing to record; give 1 or more"))
    for name, value, known in (("kind", kind, KINDS), ("format", format, FORMATS)):
        if value not in known:
            problems.append(Problem(name, f"{value!r} is not known; {nearest(value, known)}"))
    if problems:
        raise InvalidInput(problems)


@dataclass
class Player:
    """Plays with an agent some of whose actions are replaced by random ones."""

    algorithm: Algorithm
    explore: bool

    def __post_init__(self) -> None:
        self.policy = copy.copy(self.algorithm.get_policy())  # to draw with another generator
        self.means: dict[float, float] = {}

    def share(self, kind: str, seed: int) -> float:
        """How many of the actions are random: of an expert none, for "medium" found by halving."""
        if kind != "medium":
            return float(kind == "random")
        low, high = 0.0, 1.0
        wanted = (self._mean(low, seed) + self._mean(high, seed)) / 2
        for _ in range(TRIALS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._mean(middle, seed) > wanted else (low, middle)
        return (low + high) / 2

    def _mean(self, share: float, seed: int) -> float:
        runs = self.play(share, derived_seed(seed, "medium trial"), ENVS, None)
        return float(np.mean([run["rewards"].sum() for run in runs]))

    def play(
        self, share: float, seed: int, episodes: int | None, steps: int | None
    ) -> list[Columns]:
        """Runs of single episodes; with `steps` the last of them are cut short."""
        amount = episodes or steps or 0
        if amount == 0:
            return []
        count = min(ENVS, amount)
        runs, played, taken = Runs(count), np.zeros(count, np.int64), 0
        quota = np.full(count, amount // count) + (np.arange(count) < amount % count)
        generator = np.random.Generator(np.random.PCG64(seed))
        self.policy.generator = generator
        mind = Mind(self.policy, self.explore, count)
        with contextlib.closing(self.algorithm.make_envs(count)) as envs:
            envs.add(seed >> 32)
            while (played < quota).any() if episodes else taken < amount:
                obs = np.array(envs.obs[0])
                actions = self._actions(obs, share, generator, mind)
                batch = envs.step(actions[None])
                if batch.error:
                    raise batch.error[0]
                mind.follow(actions, batch)
                runs.step(step_columns(obs, actions, batch, 0), batch.valid[0].copy())
                played += (batch.terminated[0] | batch.truncated[0]) & batch.valid[0]
                taken += int(batch.valid[0].sum())
        if episodes:
            each = runs.take()
            return [run for own, wanted in zip(each, quota, strict=True) for run in own[:wanted]]
        return _first([run for own in runs.take(unfinished=True) for run in own], amount)

    def _actions(
        self, obs: NDArray[Any], share: float, generator: np.random.Generator, mind: Mind
    ) -> NDArray[Any]:
        drawn = random_actions(self.policy.action_space, generator, len(obs))
        if share == 1.0:
            return drawn
        chosen = mind.choose(obs)
        if share == 0.0:
            return chosen
        replaced = generator.random(len(obs)) < share
        return np.where(replaced.reshape(-1, *[1] * (chosen.ndim - 1)), drawn, chosen)


class Mind:
    """Chooses actions, and remembers for each environment what a network with a memory needs."""

    def __init__(self, policy: Policy, explore: bool, count: int) -> None:
        self.policy, self.explore = policy, explore
        self.begun = np.zeros(count, np.bool_)
        self.states: NDArray[Any] | None = None
        self.actions = self.rewards = np.zeros(count)
        if policy.is_recurrent():
            self.states = np.stack([policy.get_initial_state()[0]] * count)

    def choose(self, obs: NDArray[Any]) -> NDArray[Any]:
        """The agent's actions for observations `[E, *obs]`."""
        if self.states is None:
            return np.asarray(self.policy.compute_actions(obs, explore=self.explore)[0])
        chosen: dict[int, Any] = {}
        for rows in (np.flatnonzero(self.begun), np.flatnonzero(~self.begun)):
            if len(rows):
                before = self.begun[rows[0]]  # an action and a reward, of each of these or of none
                actions, states, _ = self.policy.compute_actions(
                    obs[rows],
                    [self.states[rows]],
                    self.actions[rows] if before else None,
                    self.rewards[rows] if before else None,
                    explore=self.explore,
                )
                self.states[rows] = states[0]
                chosen |= dict(zip(rows.tolist(), actions, strict=True))
        return np.stack([chosen[row] for row in range(len(obs))])

    def follow(self, actions: NDArray[Any], batch: StepBatch) -> None:
        """What was really done, and what came of it; an episode's end is forgotten."""
        ended = batch.terminated[0] | batch.truncated[0]
        self.begun, self.actions, self.rewards = ~ended, actions, batch.reward[0].copy()
        if self.states is not None:
            self.states[ended] = self.policy.get_initial_state()[0]


def _first(runs: list[Columns], amount: int) -> list[Columns]:
    """The runs as far as they hold `amount` steps."""
    found = []
    for run in runs:
        kept = {name: column[:amount] for name, column in run.items()}
        found.append(kept)
        amount -= len(kept["rewards"])
        if amount <= 0:
            break
    return found


def random_actions(space: Space[Any], generator: np.random.Generator, count: int) -> NDArray[Any]:
    """`count` actions of a (checked) space drawn evenly, ``[count, *action]``."""
    if isinstance(space, spaces.Discrete):
        return np.asarray(generator.integers(int(space.n), size=count) + int(space.start))
    shape = (count, *(space.shape or ()))
    if isinstance(space, spaces.MultiDiscrete):
        return np.asarray(generator.integers(space.nvec, size=shape) + space.start)
    drawn = generator.uniform(space.low, space.high, shape)
    return np.asarray(drawn.astype(space.dtype))
