"""Replay buffers of a pack: one ring of transitions a sub-environment, stacked over the members.

Transitions are kept as single steps, in the environment's own types; n-step returns are put
together when they are sampled. Rows are members; a member's numbers depend on its rings alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from algorithms.core.collecting.sum_tree import SumTrees

Array = NDArray[Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
FIRST_SIZE = 256  # steps of each sub-environment for which there is room at first
REWARD, TERMINATED, ENDED = 0, 1, 2
SCALARS = 3


class Samples(NamedTuple):
    """Transitions `[R, B, ...]` of some members.

    `rewards` the discounted sum over n steps (fewer where the episode, or what is stored, ends
    before); `next_obs` what followed the last of them; `discounts` what its value counts for:
    gamma^n, or 0 where the episode terminated. `leaf` tells them again to `set_priorities`;
    `weights` are the importance weights of prioritised sampling, 1 at most.
    """

    obs: Array
    actions: Array
    rewards: Floats
    next_obs: Array
    discounts: Floats
    leaf: Ints
    weights: Floats | None


class Replay:
    """`capacity` transitions of each member at most; memory grows with what is stored.

    `fields`: an example of an observation and of an action, which say shape and type.
    """

    def __init__(
        self, capacity: int, num_envs: int, obs: Array, action: Array, *, prioritized: bool
    ) -> None:
        self.num_envs, self.prioritized = num_envs, prioritized
        self.limit = max(1, capacity // num_envs)  # steps of one sub-environment
        self.room = min(self.limit, FIRST_SIZE)
        self.examples = {
            "obs": obs,
            "next_obs": obs,
            "actions": action,
            "scalars": np.zeros(SCALARS, np.float32),
        }
        self.data = {name: self._empty(0, self.room, x) for name, x in self.examples.items()}
        self.places = np.zeros(0, np.int64)  # of each row: where its rings lie in `data`
        self.added = np.zeros((0, num_envs), np.int64)
        self.max_priority = np.zeros(0)
        self.trees = SumTrees(0, _power(self.room * num_envs)) if prioritized else None
        self.stale: list[tuple[Ints, Ints]] = []

    # -- rows -----------------------------------------------------------------------------------

    def add_row(self, arrays: Mapping[str, Array] | None = None) -> None:
        """Append a member, without transitions or with those that `read` gave."""
        free = sorted(set(range(len(self.data["obs"]))) - set(self.places.tolist()))
        if not free:
            free = [len(self.data["obs"])]
            self._resize(max(1, 2 * free[0]), self.room)
        place = free[0]
        self.places = np.append(self.places, place)
        self.added = np.concatenate([self.added, np.zeros((1, self.num_envs), np.int64)])
        self.max_priority = np.append(self.max_priority, 1.0)
        if self.trees is not None:
            self.trees.nodes[place] = 0.0
        if arrays:
            self._restore(len(self.places) - 1, arrays)

    def remove_row(self, row: int) -> None:
        self._refresh()
        self.places = np.delete(self.places, row)
        self.added = np.delete(self.added, row, 0)
        self.max_priority = np.delete(self.max_priority, row)

    def read(self, row: int) -> dict[str, Array]:
        """One member's transitions; copies."""
        self._refresh()
        used, place = self._used(row), self.places[row]
        found = {name: array[place, :used].copy() for name, array in self.data.items()}
        found["added"] = self.added[row].copy()
        if self.trees is not None:
            first = self.trees.leaves
            found["priorities"] = self.trees.nodes[place, first : first + used * self.num_envs]
            found["priorities"] = found["priorities"].copy()
            found["max_priority"] = self.max_priority[row : row + 1].copy()
        return found

    def fits(self, arrays: Mapping[str, Array]) -> bool:
        """Whether `read` of a replay of this kind can have given these arrays."""
        wanted = {*self.examples, "added", *(("priorities", "max_priority") if self.trees else ())}
        return wanted <= arrays.keys() and all(
            arrays[name].shape[1:] == (self.num_envs, *x.shape) and len(arrays[name]) <= self.limit
            for name, x in self.examples.items()
        )

    def cut(self, row: int, obs: Array) -> None:
        """End the running episodes that do not go on with `obs` `[E, ...]`: no return crosses."""
        place = self.places[row]
        for e in np.flatnonzero(self.added[row] > 0).tolist():
            newest = (self.added[row, e] - 1) % self.limit
            if not np.array_equal(self.data["next_obs"][place, newest, e], obs[e]):
                self.data["scalars"][place, newest, e, ENDED] = 1.0

    @property
    def stored(self) -> Ints:
        """How many transitions each member has `[K]`."""
        found: Ints = np.minimum(self.added, self.limit).sum(1)
        return found

    # -- adding ---------------------------------------------------------------------------------

    def add(self, steps: Mapping[str, Array], valid: NDArray[np.bool_]) -> None:
        """One step of every member: `obs`, `next_obs`, `actions`, `scalars`, each `[K, E, ...]`.

        `valid` `[K, E]` tells which are transitions. New ones get the highest priority so far.
        """
        if self.room < self.limit and self.added.max(initial=0) >= self.room:
            self._resize(len(self.data["obs"]), min(2 * self.room, self.limit))
        index = self._physical(self.places[:, None], self.added % self.limit)
        every = bool(valid.all())
        chosen = index.reshape(-1) if every else index[valid]
        for name, array in self.data.items():
            values = steps[name]
            flat = array.reshape(-1, *array.shape[3:])
            flat[chosen] = values.reshape(len(chosen), *array.shape[3:]) if every else values[valid]
        if self.trees is not None:
            rows, envs = np.nonzero(valid)
            leaf = (self.added[rows, envs] % self.limit) * self.num_envs + envs
            self.trees.write(self.places[rows], leaf, self.max_priority[rows])
            self.stale.append((self.places[rows], leaf))
        self.added += valid

    # -- sampling -------------------------------------------------------------------------------

    def sample(
        self,
        rows: Ints,
        uniform: NDArray[np.float64],
        *,
        steps: Ints,
        gamma: Floats,
        reward_scale: Floats | None = None,
        beta: Floats | None = None,
    ) -> Samples:
        """Transitions picked by `uniform` `[R, B]` numbers in [0, 1), one row a member.

        `steps` `[R, B]`: n of each. `gamma` `[R]`. `beta` `[R]`: exponent of the importance
        weights, with priorities. `reward_scale` `[R]`: rewards are multiplied by it, clipped at 10.
        """
        place = self.places[rows][:, None]
        if self.trees is None:
            age, env = self._uniform(rows, uniform)
            weights = None
        else:
            age, env, weights = self._proportional(rows, uniform, beta)
        time = self._of(self.added[rows], env) - 1 - age
        first = self._physical(place, time % self.limit, env)
        where = (place, time, env, age)
        rewards, discounts, last = self._ahead(first, where, steps, gamma, reward_scale)
        return Samples(
            obs=self._take("obs", first),
            actions=self._take("actions", first),
            rewards=rewards,
            next_obs=self._take("next_obs", last),
            discounts=discounts,
            leaf=(time % self.limit) * self.num_envs + env,
            weights=weights,
        )

    def _ahead(
        self,
        first: Ints,
        where: tuple[Ints, Ints, Ints, Ints],
        steps: Ints,
        gamma: Floats,
        scale: Floats | None,
    ) -> tuple[Floats, Floats, Ints]:
        """n-step rewards, discounts, and where the last of the n steps lies; all `[R, B]`."""
        place, time, env, age = where
        rewards, terminated, ended = self._scalars(first, scale)
        power, last = np.broadcast_to(gamma[:, None], first.shape), first
        for j in range(1, int(steps.max())):
            alive = (ended == 0.0) & (j < steps) & (j <= age)
            if not alive.any():
                break
            here = np.where(alive, self._physical(place, (time + j) % self.limit, env), last)
            reward, terminated_here, ended_here = self._scalars(here, scale)
            rewards = np.where(alive, rewards + power * reward, rewards)
            power = np.where(alive, power * gamma[:, None], power)
            terminated = np.where(alive, terminated_here, terminated)
            ended = np.where(alive, ended_here, np.float32(1.0))
            last = np.where(alive, here, last)
        return rewards, power * (np.float32(1.0) - terminated), last

    def _scalars(self, index: Ints, scale: Floats | None) -> tuple[Floats, Floats, Floats]:
        """Reward (scaled), whether the episode terminated, whether it ended: `[R, B]` each."""
        scalars = self._take("scalars", index)
        reward = scalars[..., REWARD]
        if scale is not None:
            reward = np.clip(reward * scale[:, None], -10.0, 10.0)
        return reward, scalars[..., TERMINATED], scalars[..., ENDED]

    def set_priorities(
        self, rows: Ints, leaf: Ints, priorities: NDArray[np.float64], alpha: NDArray[np.float64]
    ) -> None:
        """Priorities `[R, B]` (above 0) of sampled transitions; they count to the power `alpha`."""
        assert self.trees is not None
        powered = priorities ** alpha[:, None]
        highest = np.maximum(self.max_priority[rows], powered.max(1))
        self.max_priority[rows] = highest
        tree = np.repeat(self.places[rows], leaf.shape[1])
        self.trees.write(tree, leaf.reshape(-1), powered.reshape(-1))
        self.trees.refresh(tree, leaf.reshape(-1))

    def _uniform(self, rows: Ints, uniform: NDArray[np.float64]) -> tuple[Ints, Ints]:
        """Age (0: the newest) and sub-environment of each; every transition is as likely."""
        sizes = np.minimum(self.added[rows], self.limit)
        bounds = np.cumsum(sizes, 1)
        picked = (uniform * bounds[:, -1:]).astype(np.int64)
        if self.num_envs == 1:
            return picked, np.zeros_like(picked)
        env = (picked[:, :, None] >= bounds[:, None, :]).sum(2)
        before = np.take_along_axis(bounds - sizes, env, 1)
        return picked - before, env

    def _proportional(
        self, rows: Ints, uniform: NDArray[np.float64], beta: Floats | None
    ) -> tuple[Ints, Ints, Floats]:
        """Stratified sampling by priority: age, sub-environment, importance weight `[R, B]`."""
        assert self.trees is not None
        assert beta is not None
        self._refresh()
        count = uniform.shape[1]
        total = self.trees.totals(self.places[rows])[:, None]
        mass = (np.arange(count) + uniform) * (total / count)
        tree = np.repeat(self.places[rows], count)
        leaf = self.trees.find(tree, np.minimum(mass, np.nextafter(total, 0.0)).reshape(-1))
        probability = (self.trees.leaf(tree, leaf).reshape(-1, count)) / total
        leaf = leaf.reshape(-1, count)
        slot, env = np.divmod(leaf, self.num_envs)
        added = self._of(self.added[rows], env)
        age = (added - 1 - slot) % self.limit
        stored = np.minimum(self.added[rows], self.limit).sum(1)[:, None]
        weights = (probability * stored) ** -beta[:, None].astype(np.float64)
        scaled: Floats = (weights / weights.max(1, keepdims=True)).astype(np.float32)
        return age, env, scaled

    # -- memory ---------------------------------------------------------------------------------

    def _physical(self, place: Ints, slot: Ints, env: Ints | None = None) -> Ints:
        """Where a transition lies in the flattened arrays."""
        env = np.arange(self.num_envs) if env is None else env
        found: Ints = (place * self.room + slot) * self.num_envs + env
        return found

    def _of(self, counts: Ints, env: Ints) -> Ints:
        """Of counts `[R, E]` those of the sub-environments `env` `[R, B]`."""
        return counts if self.num_envs == 1 else np.take_along_axis(counts, env, 1)

    def _take(self, name: str, index: Ints) -> Array:
        array = self.data[name]
        return array.reshape(-1, *array.shape[3:]).take(index, 0)

    def _used(self, row: int) -> int:
        return int(np.minimum(self.added[row], self.limit).max())

    def _refresh(self) -> None:
        if self.trees is not None and self.stale:
            tree, leaf = (np.concatenate(parts) for parts in zip(*self.stale, strict=True))
            self.trees.refresh(tree, leaf)
            self.stale.clear()

    def _empty(self, places: int, room: int, example: Array) -> Array:
        return np.zeros((places, room, self.num_envs, *example.shape), example.dtype)

    def _resize(self, places: int, room: int) -> None:
        for name, old in self.data.items():
            self.data[name] = self._empty(places, room, self.examples[name])
            self.data[name][: len(old), : old.shape[1]] = old
        self.room = room
        if self.trees is not None:
            self.trees = self.trees.resized(places, _power(room * self.num_envs))
            self.stale.clear()

    def _restore(self, row: int, arrays: Mapping[str, Array]) -> None:
        used, place = len(arrays["obs"]), self.places[row]
        while self.room < used:
            self._resize(len(self.data["obs"]), min(2 * self.room, self.limit))
        for name in self.examples:
            self.data[name][place, :used] = arrays[name]
        self.added[row] = arrays["added"]
        if self.trees is not None:
            self.max_priority[row] = arrays["max_priority"][0]
            first = self.trees.leaves
            leaves = arrays["priorities"]
            self.trees.nodes[place, first : first + len(leaves)] = leaves
            self.trees.rebuild(place)


def _power(number: int) -> int:
    """The smallest power of two from `number` on."""
    return 1 << max(1, (number - 1).bit_length())
