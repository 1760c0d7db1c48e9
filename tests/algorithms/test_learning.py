"""Every algorithm reaches what was published: the cases of the curves in docs/algorithms.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import learning
from benchmarks.learning import CASES, Case, Data, Run, row, train
from tunerl.statistics import iqm


@pytest.mark.slow
@pytest.mark.timeout(3600)
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


@pytest.mark.parametrize(("kind", "steps"), [("replay", 500), ("random", 2000)])
def test_what_learns_from_data_is_told_apart_by_updates(
    kind: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"num_steps_sampled_before_learning_starts": 900, "model": {"fcnet_hiddens": [8]}}
    tiny = Case("SAC", "Pendulum-v1", 500, 0.0, "nobody", config)
    monkeypatch.setattr(learning, "FOLDER", tmp_path)
    monkeypatch.setitem(CASES, "tiny", tiny)
    own = {"dataset_num_iters_per_learner": 2, "model": {"fcnet_hiddens": [8]}}
    case = Case("IQL", "Pendulum-v1", 4, 0.0, "nobody", own, 2, Data("tiny", kind, steps))
    run = train(case)
    assert [updates for updates, _ in run.curve] == [2, 4]
    assert run.data is not None
    assert -2000 < run.data[0] <= run.data[1] < 0
    cells = row("tiny", case, run)
    assert cells[1] == "4 updates"
    assert cells[-1].startswith("data: -")
    assert next(tmp_path.glob(f"data/tiny/{kind}-{steps}/*"))
