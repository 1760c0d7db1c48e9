"""What recurrent members carry from step to step, and what learning from sequences needs of it.

Invariant: at an episode's end a sub-environment's state, last action and last reward become 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.collecting.targets import Floats
from algorithms.core.dists.distributions import Categorical, Distribution, MultiCategorical
from algorithms.core.envs import StepBatch
from algorithms.core.envs.spaces import one_hot

Step = Callable[[Tensor, Tensor], Tensor]
"""``[K, E, D], [K, E, S] -> [K, E, A + 1 + S]``: distribution, value and state after it."""


def recurrent(model: Mapping[str, Any]) -> bool:
    return bool(model["use_lstm"] or model["use_gru"])


class Extras:
    """The previous action and reward as numbers `[..., size]` for the network."""

    def __init__(self, model: Mapping[str, Any], distribution: Distribution) -> None:
        on = recurrent(model)
        self.distribution = distribution
        self.action: bool = on and model["lstm_use_prev_action"]
        self.reward: bool = on and model["lstm_use_prev_reward"]
        size = distribution.action_shape[0] if distribution.action_shape else 1
        if isinstance(distribution, Categorical | MultiCategorical):
            size = distribution.num_inputs
        self.size = (size if self.action else 0) + int(self.reward)

    def __call__(self, action: NDArray[Any], reward: NDArray[Any]) -> Floats:
        """Of actions `[..., *action]` as the distribution gives them, and rewards `[...]`."""
        parts: list[Floats] = []
        if self.action:
            parts += self._numbers(action)
        if self.reward:
            parts.append(reward[..., None].astype(np.float32))
        return np.concatenate(parts, -1) if parts else np.zeros((*reward.shape, 0), np.float32)

    def _numbers(self, action: NDArray[Any]) -> list[Floats]:
        if isinstance(self.distribution, Categorical):
            return [one_hot(action, self.distribution.n)]
        if isinstance(self.distribution, MultiCategorical):
            sizes = enumerate(self.distribution.sizes)
            return [one_hot(action[..., i], n) for i, n in sizes]
        return [
            (action if self.distribution.action_shape else action[..., None]).astype(np.float32)
        ]


class Carried:
    """The present state `[K, E, S]` and extras `[K, E, X]` of some members."""

    def __init__(self, extras: Extras, state_size: int, num_envs: int) -> None:
        self.of, self.num_envs = extras, num_envs
        self.state = np.zeros((0, num_envs, state_size), np.float32)
        self.extras = np.zeros((0, num_envs, extras.size), np.float32)

    def add(self, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Append a member, at the beginning of its episodes or as `read` found it."""
        for name in ("state", "extras"):
            before = getattr(self, name)
            row = np.zeros_like(before, shape=before.shape[1:])
            row = row if arrays is None else arrays[f"memory/{name}"]
            setattr(self, name, np.concatenate([before, row[None].astype(np.float32)]))

    def remove(self, row: int) -> None:
        self.state, self.extras = (np.delete(a, row, 0) for a in (self.state, self.extras))

    def read(self, row: int) -> dict[str, NDArray[Any]]:
        return {"memory/state": self.state[row].copy(), "memory/extras": self.extras[row].copy()}

    def inputs(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """What `Step` takes, for observations `[K, E, D]`."""
        whole = torch.cat([obs, torch.from_numpy(self.extras)], -1) if self.of.size else obs
        return whole, torch.from_numpy(self.state)

    def forget(self, ended: NDArray[np.bool_]) -> None:
        """The episodes that ended `[K, E]` leave nothing behind."""
        self.state[ended], self.extras[ended] = 0.0, 0.0


class Recall(Carried):
    """Also keeps, of the rollout under way, what learning needs.

    `starts` `[K, T, E]` where an episode began, `seen` the extras, `states` `[K, n, E, S]` those at
    the beginning of each sequence of `length` steps, `values` `[K, T, E]`, and `finals`: the value
    of what followed each step (where an episode was cut off, of its last observation). `last`: the
    observation after the last step is one more step of the last sequence.
    """

    def __init__(
        self, extras: Extras, state_size: int, num_envs: int, num_outputs: int, horizon: int,
        max_seq_len: int, *, last: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(extras, state_size, num_envs)
        self.num_outputs = num_outputs
        self.horizon, self.last = horizon, last
        self.length = math.ceil((horizon + last) / math.ceil(horizon / max_seq_len))
        self.sequences = math.ceil((horizon + last) / self.length)
        self.time = 0
        self.records: dict[str, NDArray[Any]] = {}
        self.began = np.zeros((0, num_envs), np.float32)

    def add(self, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        super().add(arrays)
        self.records = {}  # of a rollout that is over

    def remove(self, row: int) -> None:
        super().remove(row)
        if not self.records:
            return
        self.began = np.delete(self.began, row, 0)
        self.records = {name: np.delete(array, row, 0) for name, array in self.records.items()}

    def begin(self, horizon: int | None = None) -> None:
        """A rollout begins; of other than the usual steps, where `horizon` says so."""
        rows, envs = self.state.shape[:2]
        size, extras = self.state.shape[-1], self.extras.shape[-1]
        horizon = horizon or self.horizon
        sequences = math.ceil((horizon + self.last) / self.length)
        self.records = {
            "starts": np.zeros((rows, sequences * self.length, envs), np.float32),
            "values": np.zeros((rows, horizon, envs), np.float32),
            "finals": np.zeros((rows, horizon, envs), np.float32),
            "seen": np.zeros((rows, horizon + self.last, envs, extras), np.float32),
            "states": np.zeros((rows, sequences, envs, size), np.float32),
        }
        self.began = np.zeros((rows, envs), np.float32)
        self.time = 0

    def _note(self, t: int) -> None:
        """With what step t begins."""
        records = self.records
        records["starts"][:, t], records["seen"][:, t] = self.began, self.extras
        if t % self.length == 0:
            records["states"][:, t // self.length] = self.state

    def act(self, step: Step, obs: Tensor) -> Tensor:
        """The distribution's inputs `[K, E, A]`; goes one step on."""
        self._note(self.time)
        found = step(*self.inputs(obs))
        self.records["values"][:, self.time] = found[..., self.num_outputs].numpy()
        self.state = found[..., self.num_outputs + 1 :].numpy().copy()
        return found[..., : self.num_outputs].contiguous()

    def after(self, t: int, rollout: Rollout, batch: StepBatch, step: Step) -> None:
        """After the environments' step: what followed is valued, ended episodes are forgotten."""
        self.extras = self.of(rollout.actions[:, t], batch.reward)
        cut = batch.truncated & ~batch.terminated
        if cut.any():
            final = np.zeros((*cut.shape, rollout.seen.shape[-1]), np.float32)
            for (k, at, e), obs in zip(rollout.final_index, rollout.final_obs, strict=True):
                if at == t:
                    final[k, e] = obs
            values = self.value(step, torch.from_numpy(final))
            self.records["finals"][:, t][cut] = values[cut]
        ended = batch.terminated | batch.truncated | ~batch.valid
        self.forget(ended)
        self.began = ended.astype(np.float32)
        self.time = t + 1

    def value(self, step: Step, obs: Tensor) -> Floats:
        """Values `[K, E]` of observations in the present state."""
        found: Floats = step(*self.inputs(obs))[..., self.num_outputs].numpy()
        return found

    def values(self, step: Step, rollout: Rollout) -> tuple[Floats, Floats]:
        """Values `[K, T, E]` of the observations, and of what followed each step."""
        values, finals = self.records["values"], self.records["finals"]
        with torch.inference_mode():
            last = self.value(step, torch.from_numpy(rollout.at(self.horizon)))
        following = np.concatenate([values[:, 1:], last[:, None]], 1)
        cut = rollout.truncated & ~rollout.terminated
        following[cut] = finals[cut]
        following[rollout.terminated] = 0.0
        return values, following

    def fields(
        self, flat: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_]
    ) -> dict[str, Tensor]:
        """Fields `[K, T, E, ...]` as sequences `[K, n * E, length, ...]`, what makes the last ones
        full with weight 0; and what the network takes beside the observations."""
        obs = np.concatenate([flat["obs"], self.records["seen"]], -1)
        whole = {**flat, "obs": obs, "resets": self.records["starts"]}
        whole["weights"] = valid.astype(np.float32)
        found = {name: torch.from_numpy(self._cut(array)) for name, array in whole.items()}
        states = self.records["states"]
        found["state_in"] = torch.from_numpy(states.reshape(len(states), -1, states.shape[-1]))
        return found

    def told(self) -> dict[str, NDArray[Any]]:
        """What learning needs of a rollout that is over, and the observation `last`: `starts`
        `[K, n * length, E]`, `seen` `[K, T + 1, E, X]`, `states`, `finals`."""
        self._note(self.time)
        return {name: self.records[name] for name in ("starts", "seen", "states", "finals")}

    def _cut(self, array: NDArray[Any]) -> NDArray[Any]:
        rows, horizon, envs = array.shape[:3]
        room = np.zeros((rows, self.sequences * self.length, *array.shape[2:]), array.dtype)
        room[:, :horizon] = array
        apart = room.reshape(rows, self.sequences, self.length, envs, *array.shape[3:])
        together = apart.swapaxes(2, 3).reshape(rows, -1, self.length, *array.shape[3:])
        return np.ascontiguousarray(together)


class Mind:
    """What one member's network says of observations, one step after the other in `num_envs`
    environments of its own; it remembers where the network is recurrent."""

    def __init__(
        self, forward: Callable[..., Tensor], carried: Carried | None = None, num_outputs: int = 0
    ) -> None:
        self.forward, self.carried, self.num_outputs = forward, carried, num_outputs

    def __call__(self, flat: Tensor, obs: Tensor, *more: Tensor) -> Tensor:
        """The distribution's inputs `[1, E, A]`: parameters `[1, P]`, observations `[1, E, D]`."""
        if self.carried is None:
            return self.forward(flat, obs, *more)
        found = self.forward(flat, *self.carried.inputs(obs))
        self.carried.state = found[..., self.num_outputs + 1 :].numpy().copy()
        return found[..., : self.num_outputs].contiguous()

    def after(self, action: NDArray[Any], batch: StepBatch) -> None:
        """What came of the actions `[1, E, ...]`."""
        if self.carried is not None:
            self.carried.extras = self.carried.of(action, batch.reward)
            self.carried.forget(batch.terminated | batch.truncated | ~batch.valid)
