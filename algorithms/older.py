"""Settings that RLlib writes as one dictionary, as the single settings that they are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from algorithms.core.packs.evaluation import with_explore
from tunerl.errors import InvalidConfig, Problem, nearest

BUFFERS = {
    f"{several}{prioritised}{kind}ReplayBuffer": bool(prioritised)
    for several in ("", "MultiAgent")
    for prioritised in ("", "Prioritized")
    for kind in ("", "Episode")
}
"""RLlib's replay buffers: whether they sample by TD error."""
REPLAY = {
    "capacity": "replay_buffer_capacity",
    "alpha": "prioritized_replay_alpha",
    "beta": "prioritized_replay_beta",
    "prioritized_replay_alpha": "prioritized_replay_alpha",
    "prioritized_replay_beta": "prioritized_replay_beta",
    "prioritized_replay_eps": "prioritized_replay_eps",
}


def in_our_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without `replay_buffer_config` and the ``explore`` of `evaluation_config`, which
    become single ones. Raises `InvalidConfig` for what they cannot become."""
    found = with_explore(settings)
    given = found.pop("replay_buffer_config", None)
    if given is None:
        return found
    if not isinstance(given, Mapping):
        raise InvalidConfig(Problem("replay_buffer_config", f"{given!r} is no dict of settings"))
    problems = []
    for name, value in given.items():
        where = f"replay_buffer_config.{name}"
        if name == "type":
            word = value if isinstance(value, str) else getattr(value, "__name__", str(value))
            if word in BUFFERS:
                found["prioritized_replay"] = BUFFERS[word]
            else:
                told = f"{word!r} is no buffer to learn from; {nearest(word, BUFFERS)}"
                problems.append(Problem(where, told))
        elif name in REPLAY:
            found[REPLAY[name]] = value
        else:
            problems.append(Problem(where, f"there is no such setting; {nearest(name, REPLAY)}"))
    if problems:
        raise InvalidConfig(problems)
    return found
