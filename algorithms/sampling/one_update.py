"""`learn_on_batch`: one update of a lone agent on a batch of steps that somebody sampled.

Invariant: it is the update that the agent's own iteration makes on such a batch; nothing else of
the agent changes (no environment, no statistics of observations, no replay buffer).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.core.lifting.optim import AdamState
from algorithms.core.packs.off_policy import OffPolicyPack
from algorithms.core.packs.offline_pack import OfflinePack
from algorithms.core.packs.on_policy import OnPolicyPack
from algorithms.core.packs.rollouts import RolloutPack
from algorithms.core.packs.turns import TurnPack
from algorithms.offline.columns import NAMES, completed, require
from algorithms.sampling.batch import SampleBatch
from algorithms.sampling.helpers import encoded_actions, encoded_observations, on_policy_fields
from tunerl.errors import Conflict, InvalidConfig, InvalidInput, Problem, TrainableError

Array = NDArray[Any]
Statistics = dict[str, float]
NORM = "gradients_default_optimizer_global_norm"


def learn_on_batch(pack: Any, samples: Any) -> Statistics:
    """One update of the one member of `pack`, on the whole batch; the statistics of its loss.

    `samples`: a `SampleBatch`, episodes, or a list of them, with the columns that `sample()` gives:
    ``obs`` and ``actions``, and but for imitation ``rewards``, ``terminateds``, ``truncateds`` (or
    ``dones``) and ``new_obs``. PPO takes ``advantages`` and ``value_targets`` where they are there;
    without ``action_dist_inputs`` the actions count as the present policy's. Off-policy agents take
    each row for a transition, with ``weights`` where they are there. Raises `InvalidInput` for a
    batch without what is needed, `InvalidConfig` for an agent that cannot, `TrainableError` where
    the update came to no numbers.
    """
    if len(pack.members) != 1:
        raise Conflict("this agent is one of a pack; only a lone one learns from a given batch")
    batch = _filled(SampleBatch.concat_samples([samples]))
    before = pack.flat.clone()
    found = _learn(pack, batch)
    wrong = [name for name, value in found.items() if not np.isfinite(value)]
    if wrong or not torch.isfinite(pack.flat).all():
        pack.flat[:] = before
        what = ", ".join(wrong) or "parameters"
        raise TrainableError(f"{what} became NaN or infinite on this batch; nothing was learned")
    return found


def _learn(pack: Any, batch: SampleBatch) -> Statistics:
    if isinstance(pack, RolloutPack) and pack.recall is not None:
        message = "an agent with a memory learns from whole rollouts; train() it"
        raise InvalidConfig(Problem("", message))
    if isinstance(pack, OnPolicyPack):
        return _on_policy(pack, batch)
    if isinstance(pack, TurnPack):
        return _in_a_turn(pack, batch)
    if isinstance(pack, OffPolicyPack):
        return _off_policy(pack, batch)
    assert isinstance(pack, OfflinePack)
    return _offline(pack, batch)


def _filled(batch: SampleBatch) -> SampleBatch:
    """With `terminateds` and `truncateds`, where a batch says only that something is `dones`."""
    if not batch.count:
        raise InvalidInput("the batch is empty; there is nothing to learn from")
    batch = batch.copy(shallow=True)
    if "terminateds" not in batch and "dones" in batch:
        batch["terminateds"] = batch["dones"]
    if "terminateds" in batch and "truncateds" not in batch:
        batch["truncateds"] = np.zeros(batch.count, np.bool_)
    return batch


def _require(batch: SampleBatch, *names: str) -> None:
    missing = [name for name in names if name not in batch]
    if missing:
        raise InvalidInput(f"the batch lacks {', '.join(missing)}; give what sample() returns")


def _with_outputs(pack: Any, batch: SampleBatch) -> SampleBatch:
    """With what the present policy says, where the batch does not tell what its own did."""
    if "action_dist_inputs" in batch:
        return batch
    _require(batch, "obs")
    obs = torch.from_numpy(encoded_observations(pack, batch["obs"]))[None]
    with torch.inference_mode():
        batch["action_dist_inputs"] = pack.policy(pack.flat, obs)[0].numpy().copy()
    return batch


def _on_policy(pack: OnPolicyPack, batch: SampleBatch) -> Statistics:
    fields = on_policy_fields(pack, _with_outputs(pack, batch))
    for column, field in {"advantages": "advantages", "value_targets": "targets"}.items():
        if column in batch:
            fields[field] = torch.from_numpy(np.array(batch[column], np.float32))[None]
    twice = {name: torch.cat([value, value]) for name, value in fields.items()}
    hp = {name: torch.cat([value, value]) for name, value in pack._vectors().items()}
    adam = AdamState(*(torch.cat([part, part]) for part in pack.adam))
    flat, adam, statistics = pack.update(torch.cat([pack.flat, pack.flat]), adam, twice, hp)
    pack.flat, pack.adam = flat[:1].clone(), AdamState(*(part[:1].clone() for part in adam))
    pack.members[0].updates += 1
    return dict(zip((*pack.statistics, NORM), statistics[0].tolist(), strict=True))


def _in_a_turn(pack: TurnPack, batch: SampleBatch) -> Statistics:
    """The rows as one column of steps; a run of one episode that is cut off ends like one that was
    truncated."""
    _require(batch, "obs", "new_obs", "actions", "rewards", "terminateds")
    if pack.parts() > 1:
        message = "learn_on_batch takes a batch as one; leave it out"
        raise InvalidConfig(Problem("microbatch_size", message))
    batch = _with_outputs(pack, batch)
    ends, known = np.zeros(batch.count, np.float32), np.ones(batch.count, np.float32)
    first = 0
    for part in batch.split_by_episode():
        first += part.count
        ends[first - 1] = 1.0
        if not (part["terminateds"][-1] or part["truncateds"][-1]):
            known[first - part.count : first] = 0.0
    obs, after = (encoded_observations(pack, batch[name]) for name in ("obs", "new_obs"))
    with torch.inference_mode():
        bootstrap = pack.value(pack.flat, torch.from_numpy(after)[None])[0].numpy().copy()
    bootstrap[np.asarray(batch["terminateds"], np.bool_) | (ends == 0.0)] = 0.0
    fields = {
        "obs": np.concatenate([obs, after[-1:]]),
        "actions": encoded_actions(pack, batch["actions"]),
        "dist_inputs": batch["action_dist_inputs"],
        "rewards": _rewards(pack, batch),
        "ends": ends,
        "bootstrap": bootstrap,
    }
    columns = {name: torch.from_numpy(np.array(x))[None, :, None] for name, x in fields.items()}
    pack._begin(1)
    pack.hp = pack._vectors()
    try:
        pack.learn_once(columns, torch.from_numpy(known)[None, :, None])
        sums, count = pack.sums[0], float(pack.counts[0, 0])
        if not count:
            raise InvalidInput("no episode ends in this batch, so nothing is known of its returns")
        return dict(zip(pack.names, (sums / count).tolist(), strict=True))
    finally:
        pack._begin(0)


def _off_policy(pack: OffPolicyPack, batch: SampleBatch) -> Statistics:
    _require(batch, "obs", "new_obs", "actions", "rewards", "terminateds")
    member, size = pack.members[0], pack.batch_size
    gamma = member.hyperparameter("gamma")
    alive = 1.0 - np.asarray(batch["terminateds"], np.float32)
    fields = {
        "obs": encoded_observations(pack, batch["obs"]),
        "actions": encoded_actions(pack, batch["actions"]),
        "rewards": _rewards(pack, batch),
        "next_obs": encoded_observations(pack, batch["new_obs"]),
        "discounts": np.float32(gamma) * alive,
    }
    if "weights" in batch:
        fields["weights"] = np.asarray(batch["weights"], np.float32)
    tensors = {name: torch.from_numpy(np.array(value))[None] for name, value in fields.items()}
    rows = np.zeros(1, np.int64)
    pack.batch_size = batch.count
    try:
        pack.begin_learning()
        for name, value in pack.update_inputs(member, 1).items():
            tensors[name] = torch.from_numpy(np.array(value))
        pack.learn(rows, tensors)
        pack.sum_up()
        if "target" in pack.more and member.config["target_network_update_freq"] == 0:
            pack.move_targets(rows)
        member.updates += 1
        return dict(zip(pack.statistics, pack.sums[0].tolist(), strict=True))
    finally:
        pack.batch_size = size


def _offline(pack: OfflinePack, batch: SampleBatch) -> Statistics:
    actions = batch["actions_for_env" if "actions_for_env" in batch else "actions"]
    given = {name: batch[name] for name in NAMES if name in batch} | {"actions": actions}
    require(given, pack.needed, given, "the batch")
    with pack.instead(completed(given)):
        (statistics,) = pack.learn([0], 1)
    pack.members[0].updates += 1
    return statistics


def _rewards(pack: Any, batch: SampleBatch) -> Array:
    """As the learner sees them: their signs, or in units of the returns, if that is asked for."""
    rewards = np.array(batch["rewards"], np.float32)
    if pack.clip_rewards:
        rewards = np.sign(rewards)
    if pack.shared["normalize_rewards"]:
        rewards = np.clip(rewards / pack.return_stats.std[0], -10.0, 10.0).astype(np.float32)
    return rewards


def update_target(pack: Any) -> None:
    """The target network of the one member goes the share `tau` of the way to the network.

    Raises `InvalidConfig` for an agent that has none.
    """
    if not isinstance(pack, OffPolicyPack) or "target" not in pack.more:
        raise InvalidConfig(Problem("", f"{pack.algorithm} moves no target network by itself"))
    pack.begin_learning()
    pack.move_targets(np.zeros(1, np.int64))


class Learning:
    """What has a lone agent in its `pack`, and lets it learn from given batches."""

    pack: Any

    def learn_on_batch(self, samples: Any) -> Statistics:
        """One update on a batch of steps that somebody sampled; see `learn_on_batch`."""
        return learn_on_batch(self.pack, samples)

    def update_target(self) -> None:
        """Bring the target network of an off-policy agent the share `tau` of the way."""
        update_target(self.pack)

    def weights_now(self) -> dict[str, Array]:
        """The agent's parameters by name."""
        views = self.pack.layout.views(self.pack.flat[0])
        return {name: view.numpy().copy() for name, view in views.items()}
