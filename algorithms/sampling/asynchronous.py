"""Fragments from actors that never wait: each collects with the weights it was sent last, while the
learner learns from those that have arrived.

How far behind the weights were is counted, fragment by fragment. Which fragment comes first is up
to the clock: such a run learns, but does not repeat to the bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.packs.member import derived_seed
from algorithms.sampling.remote import Fleet, Gone
from tunerl.errors import TrainableError
from tunerl.trainable import Failure

if TYPE_CHECKING:
    from algorithms.core.packs.lagged import LaggedPack
    from algorithms.core.packs.pack import AlgorithmPack

AHEAD = 2  # fragments that an actor is asked for at a time, so that it need not wait for the next


class Fragment(NamedTuple):
    """Whose columns, what was done, the version of the weights that acted, what `Recall` tells."""

    where: slice
    rollout: Rollout
    version: float
    told: dict[str, Any] | None


class AsyncActors:
    """The actors of the one member of `pack`: `ShareRunner`s, each with environments of its own.

    One that gives nothing for `timeout` seconds, or dies, is made anew as often as the fleet may;
    `restarted` is told whose sub-environments begin afresh.
    """

    def __init__(
        self,
        pack: LaggedPack,
        fleet: Fleet,
        timeout: float | None,
        restarted: Callable[[slice], None],
    ) -> None:
        self.pack, self.fleet, self.timeout, self.restarted = pack, fleet, timeout, restarted
        self.size = pack.num_envs // len(fleet.actors)
        self.begin()

    def begin(self) -> None:
        """Begin afresh everywhere, for the member that there is now; what is under way is lost."""
        while any(self.fleet.in_flight().values()):
            self.fleet.fetch(self.timeout)
        self.member = self.pack.members[0]
        seed = derived_seed(self.member.seed, f"actors from iteration {self.member.iteration}")
        self.generators = {
            number: np.random.Generator(np.random.PCG64([seed, number]))
            for number in self.fleet.actors
        }
        self.arrived: deque[Fragment] = deque()
        self.asked: dict[int, list[float]] = {}
        self._sent: tuple[float, Any] | None = None
        for number in self.fleet.actors:
            self._begin(number)

    def _begin(self, number: int) -> None:
        """Fresh environments, and the first requests."""
        word = f"actor {number}, restart {self.fleet.restarts}"
        seed = derived_seed(self.pack.members[0].seed, word) >> 32
        self.fleet.call("place", seed, 0, self.size, only=[number])
        self.restarted(self.columns(number))
        self.asked[number] = []
        for _ in range(AHEAD):
            self._ask(number)

    def columns(self, number: int) -> slice:
        """Which of the agent's sub-environments an actor has."""
        return slice((number - 1) * self.size, number * self.size)

    def _ask(self, number: int) -> None:
        """One fragment, with the weights that act now; they are sent once."""
        version = float(self.pack.more["version"][0])
        if self._sent is None or self._sent[0] != version:
            self._sent = version, self.fleet.put(self.pack.more["acting"].numpy().copy())
        pack = self.pack
        size = (1, pack.horizon, self.size)
        noise = pack.distribution.noise(self.generators[number], size)
        stats = pack.obs_stats.read(0) if pack.filter else None
        self.asked[number].append(version)
        self.fleet.send("collect", self._sent[1], noise, stats, only=[number])

    def take(self) -> Fragment:
        """The next fragment.

        Raises `TrainableError` where an environment fails, or actors are lost for good.
        """
        while not self.arrived:
            answers = self.fleet.fetch(self.timeout)
            if not answers:
                self._again(min(self.fleet.actors), f"nothing arrived within {self.timeout} s")
            gone: set[int] = set()  # who dies owes several answers
            for number, answer in answers:
                if isinstance(answer, Gone) and number not in gone:
                    self._again(number, answer.why)
                    gone.add(number)
                elif not isinstance(answer, Gone):
                    self._receive(number, answer)
        return self.arrived.popleft()

    def _receive(self, number: int, answer: dict[str, Any]) -> None:
        if "failure" in answer:
            raise _as_error(answer["failure"])
        gathered = answer.pop("gathered")
        if gathered is not None:
            self.pack.obs_stats.merge(0, gathered)
        version, where = self.asked[number].pop(0), self.columns(number)
        told = answer["told"] and {name: value.copy() for name, value in answer["told"].items()}
        self.arrived.append(Fragment(where, _rollout(answer), version, told))
        self._ask(number)

    def _again(self, number: int, why: str) -> None:
        if not self.fleet.restart(number):
            raise TrainableError(
                f"environment runner {number} gave no samples ({why}), and it has been made anew "
                f"{self.fleet.restarts} times"
            )
        self._begin(number)


def can_lag(pack: AlgorithmPack) -> TypeGuard[LaggedPack]:
    """Whether the actors of a pack's one member need not wait for its learner."""
    from algorithms.core.packs.lagged import LaggedPack

    return isinstance(pack, LaggedPack) and not pack.shared.get("output")


def whole(rollout: Rollout, columns: slice, envs: int) -> Rollout:
    """The fragment of some of the `envs` sub-environments; the others have no steps in it."""
    rows, horizon = rollout.rewards.shape[:2]
    action = rollout.actions[0, 0, 0]
    made = Rollout.empty((rows, horizon, envs), 1, 1, np.asarray(action))
    for name in ("raw_rewards", "terminated", "truncated", "valid"):
        getattr(made, name)[:, :, columns] = getattr(rollout, name)
    return made


def _rollout(parts: dict[str, Any]) -> Rollout:
    """What `ShareRunner.collect` sent, whose arrays are `[T, 1, E, ...]`."""
    found: dict[str, Any] = {}
    for entry in fields(Rollout):
        value = parts[entry.name]  # an array that came from an actor cannot be written
        found[entry.name] = value.copy().swapaxes(0, 1) if isinstance(value, np.ndarray) else value
    return Rollout(**found)


def _as_error(failure: Failure) -> TrainableError:
    error = TrainableError(failure.error)
    error.add_note(f"In the environment runner:\n{failure.traceback}")
    return error


def collected(pack: LaggedPack, actors: AsyncActors) -> dict[str, Tensor]:
    """A batch `[1, ...]` of fragments as they arrive, with the `version` that acted (the mean)."""
    if actors.member is not pack.members[0]:
        actors.begin()
    found: list[dict[str, Tensor]] = []
    versions: list[float] = []
    while len(found) * actors.size < pack.columns:
        where, rollout, version, told = actors.take()
        pack.log.add(whole(rollout, where, pack.num_envs))
        discounted, pack.discounted = pack.discounted, pack.discounted[:, where]
        found.append(pack._fields(rollout, told))
        discounted[:, where] = pack.discounted
        pack.discounted = discounted
        versions.append(version)
    batch = {name: torch.cat([part[name] for part in found], 2) for name in found[0]}
    return batch | {"version": torch.tensor([float(np.mean(versions))])}
