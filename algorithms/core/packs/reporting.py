"""What a member of a pack reports after an iteration, in RLlib's names; and whether it is sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.core.collecting.rollout import Rollout
from algorithms.core.packs.member import Member
from tunerl.trainable import Failure
from tunerl.trial import Metrics

LEARNER = "learners/default_policy/"
REPORTED = (
    *(f"env_runners/episode_return_{what}" for what in ("mean", "min", "max")),
    "env_runners/episode_len_mean",
    "env_runners/num_episodes",
    "env_runners/num_episodes_lifetime",
    "env_runners/num_env_steps_sampled",
    "learners/*",
    "replay_buffer/*",
    "num_env_steps_sampled_lifetime",
    "num_env_steps_trained_lifetime",
    "training_iteration",
    "time_this_iter_s",
    "time_total_s",
)
"""What members report beside evaluation and callbacks; with a star: as the algorithm has it."""


def not_finite(member: Member, wrong: Sequence[str]) -> Failure:
    """The failure of a member of which these became NaN or infinite."""
    what = ", ".join(wrong) or "the parameters"
    rate, lower = "", "the learning rates"
    if member.config.get("lr") is not None:
        rate, lower = f" (lr={member.hyperparameter('lr'):g})", "lr"
    return Failure.of(
        FloatingPointError(
            f"{what} became NaN or infinite in iteration {member.iteration + 1}{rate}; "
            f"lower {lower} or set grad_clip"
        )
    )


class Log:
    """Rewards, ends and valid steps of all fragments of an iteration."""

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[Any], ...]] = []

    def add(self, rollout: Rollout) -> None:
        self.parts.append((rollout.raw_rewards, rollout.ends, rollout.valid))

    def drop(self, row: int) -> None:
        self.parts = [tuple(np.delete(part, row, 0) for part in parts) for parts in self.parts]

    def joined(self) -> tuple[NDArray[Any], ...]:
        """Rewards, ends, valid: `[K, T, E]` over the whole iteration."""
        return tuple(np.concatenate(part, 1) for part in zip(*self.parts, strict=True))


def take_in(member: Member, log: tuple[NDArray[Any], ...], row: int, elapsed: float) -> int:
    """Count an iteration: episodes, steps (returned), seconds."""
    rewards, ends, valid = (part[row] for part in log)
    steps = int(valid.sum())
    member.iteration += 1
    member.env_steps += steps
    member.time_total_s += elapsed
    member.episodes.add(rewards, ends, valid)
    return steps


def report(member: Member, learner: Mapping[str, float], steps: int, elapsed: float) -> Metrics:
    """A member's metrics; `learner` are those of its updates, `steps` those of this iteration."""
    return member.episodes.metrics() | {
        **{f"{LEARNER}{name}": value for name, value in learner.items()},
        "training_iteration": member.iteration,
        "num_env_steps_sampled_lifetime": member.env_steps,
        "env_runners/num_env_steps_sampled": steps,
        f"{LEARNER}num_updates_lifetime": member.updates,
        "time_this_iter_s": elapsed,
        "time_total_s": member.time_total_s,
    }
