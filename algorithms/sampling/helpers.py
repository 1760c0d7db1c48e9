"""The steps of an algorithm's own `training_step`, as programs of older generations have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.core.maths.returns import gae
from algorithms.sampling.batch import SampleBatch
from tunerl.errors import InvalidConfig, InvalidInput, Problem

if TYPE_CHECKING:
    from algorithms.algorithm import Algorithm
    from algorithms.sampling.group import EnvRunnerGroup


def synchronous_parallel_sample(
    *,
    worker_set: EnvRunnerGroup,
    max_env_steps: int | None = None,
    max_agent_steps: int | None = None,
    concat: bool = True,
    random_actions: bool = False,
) -> Any:
    """At least `max_env_steps` steps (the same as agent steps here) of all runners at once.

    Those in actors, else the local one; without a number each samples once. One batch of them, or
    with `concat` False the list of episodes.
    """
    wanted = max_env_steps or max_agent_steps
    remote = worker_set.num_remote_env_runners()
    share = None if wanted is None else -(-wanted // max(1, remote))
    asked = {"num_timesteps": share, "random_actions": random_actions}
    found = worker_set.foreach_env_runner(
        lambda runner: runner.sample(**asked), local_env_runner=remote == 0
    )
    episodes = [episode for part in found for episode in part]
    return SampleBatch.concat_samples(episodes) if concat else episodes


def train_one_step(algorithm: Algorithm, train_batch: Any) -> dict[str, Any]:
    """Learn from a batch (or episodes) of the present policy as an iteration does: advantages, then
    all epochs. The metrics of the learner by the policy's name.

    For algorithms that learn like PPO. Raises `InvalidConfig` for others, `InvalidInput` for a
    batch without the columns that sampling gives.
    """
    from algorithms.core.packs.on_policy import OnPolicyPack

    pack: Any = algorithm.pack
    if not isinstance(pack, OnPolicyPack) or pack.recall is not None:
        raise InvalidConfig(
            Problem("", f"{algorithm.name} does not learn from one batch; call train()")
        )
    batch = SampleBatch.concat_samples([train_batch])
    fields = on_policy_fields(pack, batch)
    samples, minibatch = pack.units, pack.minibatch
    pack.units, pack.minibatch = batch.count, min(minibatch, batch.count)
    try:
        (statistics,) = pack.learn_from(fields)
    finally:
        pack.units, pack.minibatch = samples, minibatch
    algorithm.record.env_steps += batch.count
    return {"default_policy": statistics}


def on_policy_fields(pack: Any, batch: SampleBatch) -> dict[str, torch.Tensor]:
    """What the loss of a pack of one takes, `[1, N, ...]`, from columns of sampled steps."""
    needed = ("obs", "new_obs", "actions", "rewards", "terminateds", "truncateds")
    missing = [name for name in (*needed, "action_dist_inputs") if name not in batch]
    if missing:
        raise InvalidInput(f"the batch lacks {', '.join(missing)}; give what sample() returns")
    obs, after = (encoded_observations(pack, batch[name]) for name in ("obs", "new_obs"))
    with torch.inference_mode():
        both = torch.from_numpy(np.concatenate([obs, after]))[None]
        values = pack.value(pack.flat, both)[0].numpy()
    now, following = values[: batch.count], values[batch.count :].copy()
    following[batch["terminateds"]] = 0.0
    member = pack.members[0]
    lambda_ = member.hyperparameter("lambda_") if member.config["use_gae"] else 1.0
    ends = batch["terminateds"] | batch["truncateds"]
    parts, first = batch.split_by_episode(), 0
    advantages = np.empty(batch.count, np.float32)
    for part in parts:
        rows = slice(first, first + part.count)
        advantages[rows] = gae(
            np.asarray(part["rewards"], np.float32)[:, None],
            now[rows, None],
            following[rows, None],
            ends[rows, None],
            np.array([member.hyperparameter("gamma")], np.float32),
            np.array([lambda_], np.float32),
        )[:, 0]
        first += part.count
    flat = {
        "obs": obs,
        "actions": encoded_actions(pack, batch["actions"]),
        "dist_inputs": batch["action_dist_inputs"],
        "values": now,
        "advantages": advantages,
        "targets": advantages + now,
    }
    fields = {n: torch.from_numpy(np.ascontiguousarray(v))[None] for n, v in flat.items()}
    with torch.inference_mode():
        fields["logp"] = pack.distribution.logp(fields["dist_inputs"], fields["actions"])
    return fields


def encoded_observations(pack: Any, observations: Any) -> Any:
    """Observations as the environment gives them, as the network of a pack of one takes them."""
    encoded = np.array(pack.obs_codec.encode(observations), np.float32)
    return pack.obs_stats.normalize_row(0, encoded) if pack.filter else encoded


def encoded_actions(pack: Any, actions: Any) -> Any:
    """Actions as `sample()` gives them (choices as the environment takes them, others as the
    policy puts them out), as a loss takes them."""
    if pack.action_codec.discrete:
        return np.array(pack.action_codec.encode(np.asarray(actions)))
    return np.array(actions, np.float32)
