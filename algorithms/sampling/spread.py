"""`SpreadSampler`: the sampler of a lone agent whose sub-environments live in Ray actors.

Invariant: a rollout has the bits of one that was collected in this process, and so has a state that
is read; only observation statistics, with a filter, are brought in step once a rollout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.collecting.sampler import Act, Sampler
from algorithms.core.envs import EnvState
from algorithms.core.envs.base import check_size
from algorithms.core.envs.shares import can_split, merged, split
from algorithms.core.packs.member import derived_seed
from algorithms.core.packs.rollouts import RolloutPack
from algorithms.sampling.remote import Fleet, Gone
from tunerl.errors import TrainableError
from tunerl.trainable import Failure

if TYPE_CHECKING:
    from algorithms.core.packs.pack import AlgorithmPack

Array = NDArray[Any]


class SpreadSampler(Sampler):
    """Takes over the one member of `pack`; `fleet`: `ShareRunner`s of equal shares.

    An actor that dies, or takes longer than `timeout` seconds for its part of a rollout, is made
    anew with fresh environments, as often as the fleet may; `restarted` is told which
    sub-environments these are.
    """

    def __init__(
        self,
        pack: AlgorithmPack,
        fleet: Fleet,
        timeout: float | None,
        restarted: Callable[[slice], None],
    ) -> None:
        local = pack.sampler
        super().__init__(
            local.envs,
            local.distribution,
            local.obs_codec,
            local.action_codec,
            filter=local.filter,
        )
        self.pack, self.fleet, self.timeout, self.restarted = pack, fleet, timeout, restarted
        self.obs_stats = local.obs_stats
        self.size = self.envs.num_envs // len(fleet.actors)
        state = local.read(0)
        self.envs.remove(0)
        self._place(state)

    # -- the row --------------------------------------------------------------------------------

    def add(self, seed: int, state: EnvState | None = None) -> None:
        if state is None:
            self.envs.add(seed)
            state = self.envs.read(0)
            self.envs.remove(0)
        check_size(len(state[0]["obs"]), self.envs.num_envs)
        self._place(state)
        self.obs_stats.add()

    def remove(self, row: int) -> None:
        self.obs_stats.remove(row)

    def read(self, row: int) -> EnvState:
        return merged([self._sure(n, "read_environments", ()) for n in self.fleet.actors])

    def _place(self, state: EnvState) -> None:
        parts = split(state, len(self.fleet.actors))
        for number, part in zip(self.fleet.actors, parts, strict=True):
            self._sure(number, "place", (part, *self._where(number)))

    def _where(self, number: int) -> tuple[int, int]:
        return (number - 1) * self.size, self.envs.num_envs

    # -- collecting -----------------------------------------------------------------------------

    def collect(
        self, bind: Callable[[], Act], noise: Array, lost: Callable[[int, Exception], None]
    ) -> Rollout:
        """As in one process; whatever `bind` says, the actors act with the pack's parameters."""
        acting = getattr(self.pack, "acting", lambda: self.pack.flat)
        parameters = self.fleet.put(acting().numpy())
        stats = self.obs_stats.read(0) if self.filter else None
        parts = {
            number: np.ascontiguousarray(noise[:, :, first : first + self.size])
            for number in self.fleet.actors
            for first, _ in [self._where(number)]
        }
        asked = {number: (parameters, part, stats) for number, part in parts.items()}
        answers = self.fleet.call("collect", each=asked, timeout=self.timeout)
        try:
            for number, answer in answers.items():
                if isinstance(answer, Gone):
                    answers[number] = self._again(number, answer, asked[number])
        except TrainableError as error:
            lost(0, error)
            return _no_rows(self, noise)
        failures = [answer["failure"] for answer in answers.values() if "failure" in answer]
        if failures:
            lost(0, _as_error(failures[0]))
            return _no_rows(self, noise)
        for answer in answers.values():
            gathered = answer.pop("gathered")
            if gathered is not None:
                self.obs_stats.merge(0, gathered)
        return _joined(list(answers.values()), self.size)

    def _again(self, number: int, gone: Gone, asked: tuple[Any, ...]) -> dict[str, Any]:
        """The part of an actor that did not answer, from one made anew."""
        first, total = self._where(number)
        while self.fleet.restart(number):
            seed = derived_seed(self.pack.members[0].seed, f"restart {self.fleet.restarts}") >> 32
            self.restarted(slice(first, first + self.size))
            for method, args in (("place", (seed, first, total)), ("collect", asked)):
                answer = self.fleet.call(
                    method, *args, only=[number], timeout=self._patience(method)
                )[number]
                if isinstance(answer, Gone):
                    gone = answer
                    break
            else:
                found: dict[str, Any] = answer
                return found
        hint = "; set sample_timeout_s higher if its steps take so long" if gone.hung else ""
        raise TrainableError(
            f"environment runner {number} gave no samples ({gone.why}), and it has been made anew "
            f"{self.fleet.restarts} times{hint}"
        )

    def _patience(self, method: str) -> float | None:
        """Starting a process takes its time, however quick its environment is."""
        return self.timeout if method == "collect" or self.timeout is None else 60 + self.timeout

    def _sure(self, number: int, method: str, args: tuple[Any, ...]) -> Any:
        answer = self.fleet.call(method, *args, only=[number])[number]
        if isinstance(answer, Gone):
            raise TrainableError(f"environment runner {number} is lost: {answer.why}")
        return answer


def can_spread(pack: AlgorithmPack) -> bool:
    """Whether the one member of a pack may have its sub-environments in several places.

    It may where its actions follow from parameters and observations alone, and nothing here
    watches the steps.
    """
    kind: Any = type(pack)
    plain = isinstance(pack, RolloutPack) and (
        (kind._acting, kind.bound) == (RolloutPack._acting, RolloutPack.bound)
    )
    watched = pack.sampler.memory is not None or pack.shared.get("output")
    return plain and not watched and can_split(pack.sampler.read(0))


def _joined(parts: list[dict[str, Any]], size: int) -> Rollout:
    """One rollout of parts whose arrays are `[T, 1, E, ...]`."""
    whole: dict[str, Any] = {}
    for entry in fields(Rollout):
        values = [part[entry.name] for part in parts]
        if isinstance(values[0], np.ndarray):
            whole[entry.name] = np.concatenate(values, 2).swapaxes(0, 1)
    finals = [
        ((t, k, first * size + e), obs)
        for first, part in enumerate(parts)
        for (k, t, e), obs in zip(part["final_index"], part["final_obs"], strict=True)
    ]
    finals.sort(key=lambda final: final[0])  # as they came about
    whole["final_index"] = [(k, t, e) for (t, k, e), _ in finals]
    whole["final_obs"] = [obs for _, obs in finals]
    return Rollout(**whole)


def _no_rows(sampler: Sampler, noise: Array) -> Rollout:
    return Rollout.empty((0, *noise.shape[1:3]), sampler.obs_codec.D, 1, np.zeros((), np.int64))


def _as_error(failure: Failure) -> Exception:
    error = TrainableError(failure.error)
    error.add_note(f"In the environment runner:\n{failure.traceback}")
    return error
