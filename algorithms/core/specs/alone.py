"""Settings that only a lone agent can have, not one of many that a sweep trains side by side."""

from __future__ import annotations

from collections.abc import Iterator

from tunerl.errors import Problem
from tunerl.trial import Config


def objections(config: Config) -> Iterator[Problem]:
    """What a resolved configuration asks for that no pack of an experiment does."""
    given = config.get("num_learners", 0)
    if given > 1:
        yield Problem(
            "num_learners",
            f"{given} given, but the agents of an experiment learn in packs, each in one process; "
            "leave it at 0 (a lone agent, as of config.build(), takes more)",
        )
    seconds = config.get("min_time_s_per_iteration")
    if seconds:
        yield Problem(
            "min_time_s_per_iteration",
            f"{seconds} given, but the iterations of an experiment are counted in steps, so that "
            "they repeat; use min_sample_timesteps_per_iteration (a lone agent, as of "
            "config.build(), takes a time)",
        )
