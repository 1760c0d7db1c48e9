"""Datasets of Minari (an extra: ``pip install tunerl[minari]``): ``minari://<dataset id>``.

They must lie on this machine (``minari download <id>``, or made here); nothing is fetched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.core.envs.spaces import ObservationCodec, is_composite
from algorithms.offline.files import MINARI
from algorithms.offline.part import Part
from algorithms.offline.spaces_json import to_json
from tunerl.errors import InvalidInput


def read(url: str) -> Part:
    """All episodes of one dataset. Raises `InvalidInput`."""
    name = url.removeprefix(MINARI)
    dataset = _opened(name)
    spaces = {"observation_space": dataset.observation_space, "action_space": dataset.action_space}
    codec = ObservationCodec(dataset.observation_space)
    pieces: dict[str, list[NDArray[Any]]] = {}
    for number, episode in enumerate(dataset.iterate_episodes()):
        steps = len(episode.rewards)
        obs = episode.observations
        obs = codec.encode(obs) if is_composite(codec.space) else np.asarray(obs)
        if len(obs) != steps + 1:
            raise InvalidInput(
                f"{url}: episode {number} has {steps} steps and {len(obs)} observations, "
                f"not {steps + 1}"
            )
        rows = {
            "obs": obs[:-1],
            "new_obs": obs[1:],
            "actions": np.asarray(episode.actions),
            "rewards": np.asarray(episode.rewards),
            "terminateds": np.asarray(episode.terminations),
            "truncateds": np.asarray(episode.truncations),
            "eps_id": np.full(steps, number),
        }
        for column, array in rows.items():
            pieces.setdefault(column, []).append(array)
    columns = {column: np.concatenate(arrays) for column, arrays in pieces.items()}
    described = {which: to_json(space) for which, space in spaces.items()}
    return Part(url, columns, list(columns), described)


def _opened(name: str) -> Any:
    try:
        import minari
    except ImportError:
        raise InvalidInput(
            f"{MINARI}{name} needs the package minari: pip install 'tunerl[minari]'"
        ) from None
    try:
        return minari.load_dataset(name)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(
            f"{MINARI}{name} cannot be read: {error}; see `minari list local`"
        ) from error
