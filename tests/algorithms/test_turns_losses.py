"""Losses and lags of those that learn in turns, by hand and against one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.core.maths.returns import rewards_to_go
from algorithms.core.packs.lagged import LaggedPack
from tests.algorithms.turns import open_pack, tiny
from tunerl.trial import ReplicaId

LATE = "learners/default_policy/diff_num_grad_updates_vs_sampler_policy"
T, M = 3, 2
HP = {
    name: torch.tensor(value)
    for name, value in {
        "gamma": 0.5, "lambda_": 1.0, "use_gae": 1.0, "use_critic": 1.0,
        "normalize_advantages": 0.0, "vf_loss_coeff": 0.25, "entropy_coeff": 0.1,
        "vtrace_clip_rho_threshold": 1.0, "vtrace_clip_pg_rho_threshold": 1.0, "clip_param": 0.2,
        "target_worker_clipping": 2.0, "use_kl_loss": 0.0, "kl_coeff": 1.0,
    }.items()
}  # fmt: skip


def call(obs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (0, 0) and the observation as the value."""
    return torch.zeros(len(obs), 2) * obs, obs[:, 0]


def batch(**changes: Tensor) -> dict[str, Tensor]:
    """Rewards 1 everywhere, values 2, the second column's episode over after the second step."""
    ends = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    return {
        "obs": torch.full((T + 1, M, 1), 2.0),
        "actions": torch.zeros(T, M, dtype=torch.int64),
        "dist_inputs": torch.zeros(T, M, 2),
        "target_inputs": torch.zeros(T, M, 2),
        "rewards": torch.ones(T, M),
        "ends": ends,
        "bootstrap": torch.zeros(T, M),
    } | changes


def figures(name: str, fields: dict[str, Tensor], **hp: float) -> dict[str, float]:
    pack = open_pack(name, tiny())
    given = HP | {key: torch.tensor(value) for key, value in hp.items()}
    found = pack.loss(call, fields, given)[1].tolist()
    pack.close()
    return dict(zip(pack.statistics, found, strict=True))


# returns: 1 + 2/2 = 2 everywhere in the first column; 1.5, 1, 2 in the second: advantages
# 0, 0, 0, -0.5, -1, 0; their mean -1/4, that of their squares 1.25/6
LOGP = float(np.log(0.5))


def test_a2c_by_hand() -> None:
    found = figures("A2C", batch())
    assert found["policy_loss"] == pytest.approx(LOGP * 0.25)
    assert found["vf_loss"] == pytest.approx(1.25 / 6)
    assert found["entropy"] == pytest.approx(-LOGP)
    total = LOGP * 0.25 + 0.25 * 1.25 / 6 + 0.1 * LOGP
    assert found["total_loss"] == pytest.approx(total)
    assert figures("A2C", batch(), use_critic=0.0)["policy_loss"] == pytest.approx(-LOGP * 10.5 / 6)


def test_a_truncated_episode_goes_on_with_what_its_last_observation_is_worth() -> None:
    bootstrap = torch.zeros(T, M)
    bootstrap[1, 1] = 2.0
    assert figures("A2C", batch(bootstrap=bootstrap))["vf_loss"] == pytest.approx(0.0)


def test_steps_that_only_reset_do_not_count() -> None:
    weights = torch.ones(T, M)
    weights[1, 1] = 0.0
    found = figures("A2C", batch(weights=weights))
    assert found["vf_loss"] == pytest.approx(0.25 / 5)
    assert found["policy_loss"] == pytest.approx(LOGP * 0.5 / 5)


def test_on_policy_impala_is_a2c_and_appo_has_its_advantages() -> None:
    plain, impala, appo = (figures(name, batch()) for name in ("A2C", "IMPALA", "APPO"))
    for part in ("total_loss", "policy_loss", "vf_loss", "entropy"):
        assert impala[part] == pytest.approx(plain[part])
    assert impala["mean_IS"] == pytest.approx(1.0)
    assert appo["policy_loss"] == pytest.approx(0.25)  # minus the mean advantage: all ratios are 1
    assert appo["vf_loss"] == pytest.approx(plain["vf_loss"])
    assert (appo["mean_IS"], appo["var_IS"], appo["mean_kl_loss"]) == (1.0, 0.0, 0.0)


def test_appo_clips_both_ratios() -> None:
    # the behaviour had 0.9 for the actions, the target has 0.3, the network 0.5: to the target
    # 5/3, but the correction 0.9/0.3 = 3 is cut to 2, so 2 * 5/9 = 10/9 counts
    def logits(p: float) -> Tensor:
        return torch.tensor([p, 1 - p]).log().expand(T, M, 2)

    fields = batch(dist_inputs=logits(0.9), target_inputs=logits(0.3))
    found = figures("APPO", fields, vtrace_clip_pg_rho_threshold=float("inf"))
    assert found["mean_IS"] == pytest.approx(2.0)
    kl = 0.3 * np.log(0.3 / 0.5) + 0.7 * np.log(0.7 / 0.5)
    assert found["mean_kl_loss"] == pytest.approx(kl, rel=1e-5)
    whole = figures("APPO", fields, clip_param=0.001)
    assert found["policy_loss"] == pytest.approx(whole["policy_loss"])  # losses are not clipped
    gains = fields | {"rewards": torch.full((T, M), 3.0)}
    clipped, free = (figures("APPO", gains, clip_param=c)["policy_loss"] for c in (0.05, 0.5))
    assert free < clipped < 0.0


@pytest.mark.parametrize(
    ("name", "changes", "late"),
    [
        ("A2C", {}, 0.0),
        ("IMPALA", {"learner_queue_size": 0}, 0.0),
        ("IMPALA", {"learner_queue_size": 3}, 3.0),
        # acting weights 0 or 1 updates old, each half of the time, and the batch one turn
        ("IMPALA", {"learner_queue_size": 1, "broadcast_interval": 2}, 1.5),
        ("A3C", {"num_env_runners": 3, "num_envs_per_env_runner": 1}, 2.0),
    ],
    ids=str,
)
def test_the_lag_is_what_was_asked_for(name: str, changes: dict[str, Any], late: float) -> None:
    config = tiny(**changes)
    pack, id = open_pack(name, config), ReplicaId(0, 0)
    pack.join(id, config, 0)
    pack.step()
    metrics = pack.step()[id]
    assert isinstance(metrics, dict)
    assert metrics[LATE] == pytest.approx(late)
    pack.close()


def test_the_circular_buffer_uses_each_batch_as_often_as_asked_evenly_spread() -> None:
    for kept, uses, ages in ((8, 2, (0, 4)), (4, 3, (0, 1, 2)), (1, 2, (0, 0))):
        config = tiny(circular_buffer_num_batches=kept, circular_buffer_iterations_per_batch=uses)
        pack = open_pack("APPO", config)
        assert isinstance(pack, LaggedPack)
        assert pack.ages == ages
        pack.join(ReplicaId(0, 0), config, 0)
        pack.step()
        late = sum(ages)  # updates that the first turns had to do without
        assert pack.members[0].updates == pack.turns * uses - late
        pack.close()


def test_rewards_to_go_are_known_up_to_the_last_end() -> None:
    rewards = np.array([[1, 1], [2, 2], [4, 4]], np.float32)
    ends = np.array([[0, 0], [1, 0], [0, 0]])
    found, known = rewards_to_go(rewards, ends, 0.5)
    assert found[:2, 0].tolist() == [2.0, 2.0]
    assert known.tolist() == [[True, False], [True, False], [False, False]]
