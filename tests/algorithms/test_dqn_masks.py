"""DQN with actions that are not always allowed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import tests.algorithms.support  # noqa: F401  (registers probe/allowed)
from algorithms.core.maths.q_learning import ActionValues, among, softly
from algorithms.core.nets import MASKED
from algorithms.dqn import SPEC
from tunerl.trainable import Failure
from tunerl.trial import ReplicaId

VALUES = torch.tensor([MASKED, 0.5, MASKED, 0.1, MASKED])


def test_a_lot_falls_evenly_on_what_is_allowed() -> None:
    lots = torch.arange(1024) / 1024
    drawn = among(VALUES.expand(1024, 5), lots)
    assert torch.bincount(drawn, minlength=5).tolist() == [0, 512, 0, 512, 0]
    assert int(among(VALUES, torch.tensor(1 - 2**-24))) == 3


def test_exploring_keeps_to_the_mask() -> None:
    kind = ActionValues(5, epsilon=0.5)
    torch.testing.assert_close(
        kind.probabilities(VALUES), torch.tensor([0.0, 0.75, 0.0, 0.25, 0.0])
    )
    highest = torch.tensor(1 - 2**-24)
    assert int(softly(VALUES, highest, torch.tensor(1.0))) == 3


@pytest.mark.parametrize("changes", [{}, {"num_atoms": 5}, {"exploration": "SoftQ"}], ids=str)
def test_it_trains_where_a_forbidden_action_raises(changes: dict[str, Any]) -> None:
    config = SPEC.resolve(
        {
            "env": "probe/allowed",
            "num_steps_sampled_before_learning_starts": 50,
            "min_sample_timesteps_per_iteration": 200,
            "model": {"fcnet_hiddens": [8]},
            **changes,
        }
    )
    pack, id = SPEC.open(config), ReplicaId(0, 0)
    pack.join(id, config, 0)
    for _ in range(2):
        found = pack.step()[id]
        assert not isinstance(found, Failure), found.traceback
    pack.close()
