"""A member's environments in shares: the states of runs of sub-environments, and the whole again.

Invariant: `merged` is the inverse of `split`, so a state does not tell in how many places its
sub-environments lived.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from algorithms.core.envs.base import Array, EnvState

_AXES = {"state": 1, "steps": 0, "obs": 0, "generators": 0}  # of a batched environment


def can_split(state: EnvState) -> bool:
    """Whether the sub-environments of a state can be told apart (those of an EnvPool cannot)."""
    arrays, values = state
    return "lanes" in values or (not values and set(arrays) == set(_AXES))


def split(state: EnvState, parts: int) -> list[EnvState]:
    """The states of `parts` runs of equally many sub-environments. See `can_split`."""
    arrays, values = state
    size = len(arrays["obs"]) // parts
    found: list[EnvState] = []
    for first in range(0, size * parts, size):
        run = slice(first, first + size)
        if "lanes" in values:
            own: dict[str, Array] = {"obs": arrays["obs"][run]}
            for i in range(size):
                own[f"actions.{i}"] = arrays[f"actions.{first + i}"]
            found.append((own, {"lanes": values["lanes"][run]}))
        else:
            cut = {n: np.moveaxis(arrays[n], axis, 0)[run] for n, axis in _AXES.items()}
            found.append(({n: np.moveaxis(cut[n], 0, axis) for n, axis in _AXES.items()}, {}))
    return found


def merged(states: Sequence[EnvState]) -> EnvState:
    """The state of all of these runs together."""
    if "lanes" not in states[0][1]:
        whole = {
            name: np.concatenate([arrays[name] for arrays, _ in states], axis)
            for name, axis in _AXES.items()
        }
        return whole, {}
    lanes = [lane for _, values in states for lane in values["lanes"]]
    arrays = {"obs": np.concatenate([own["obs"] for own, _ in states])}
    actions = [own[f"actions.{i}"] for own, values in states for i in range(len(values["lanes"]))]
    return arrays | {f"actions.{i}": played for i, played in enumerate(actions)}, {"lanes": lanes}
