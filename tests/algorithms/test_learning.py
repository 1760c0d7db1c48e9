"""Every algorithm reaches what was published: the cases of the curves in docs/algorithms.md."""

from __future__ import annotations

import pytest

from benchmarks.learning import CASES, Case, Run, row, train
from tunerl.statistics import iqm


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch imports its own
@pytest.mark.parametrize("name", CASES)
def test_it_reaches_what_is_published(name: str) -> None:
    found = train(CASES[name]).final
    assert iqm(found) >= CASES[name].least, found


def test_a_case_is_trained_to_the_iteration_that_reaches_its_steps() -> None:
    config = {"train_batch_size": 128, "minibatch_size": 64, "model": {"fcnet_hiddens": [8]}}
    case = Case("PPO", "CartPole-v1", 200, 0.0, "nobody", config, seeds=2)
    run = train(case)
    assert [steps for steps, _ in run.curve] == [128, 256]
    assert all(len(each) == 2 for _, each in run.curve)
    assert len(run.final) == 2
    assert row("tiny", case, Run([], [9.0, 11.0]))[:4] == ["tiny", "200", "10.0", "9, 11"]
