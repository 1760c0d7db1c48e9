"""The arithmetic of the benchmarks: what becomes of the measured times."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import sweep, sweep_zoo
from benchmarks.job import (
    ENVS,
    FIXED,
    SWEEP_SPACE,
    ZOO_SPACE,
    configurations,
    flops_per_step,
    zoo_configurations,
)
from benchmarks.ours import steady
from benchmarks.process import Run
from benchmarks.table import markdown, verdict
from benchmarks.window import Window
from tunerl.space import Space, from_json


def test_configurations_are_a_function_of_seed_and_number() -> None:
    few, many = configurations(SWEEP_SPACE, 3, 1), configurations(SWEEP_SPACE, 6, 1)
    assert many[:3] == few
    assert configurations(SWEEP_SPACE, 3, 2) != few
    assert all(sweep.covers(config, FIXED) for config in many)


def test_zoo_configurations_fit_their_space_and_no_minibatch_exceeds_its_rollout() -> None:
    space = Space(from_json(ZOO_SPACE))
    drawn = zoo_configurations(200, 0)
    for config in json.loads(json.dumps(drawn)):
        assert space.fix(config).sample(np.random.default_rng(0)) == config
        assert config["minibatch_size"] <= config["train_batch_size"]
    assert min(config["train_batch_size"] for config in drawn) == 32 * ENVS


def test_matrix_arithmetic_of_one_step_is_that_of_the_networks() -> None:
    config = FIXED | {"model": {"fcnet_hiddens": [3]}, "num_epochs": 2}
    multiply_adds = (4 * 3 + 3 * 2) + (4 * 3 + 3 * 1)
    assert flops_per_step(config) == 2 * multiply_adds * (1 + 3 * 2)


def test_steady_state_leaves_out_a_slow_start_and_a_slow_end() -> None:
    marks = [(100.0, trial, 10.0) for trial in range(2)]  # 100 s of compilation
    marks += [(100.0 + step, trial, 10.0 + 10 * step) for step in range(1, 10) for trial in (0, 1)]
    marks += [(500.0, 0, 110.0)]
    found = steady(marks)
    assert found["steps"] == 210
    assert found["steady_steps"] / found["steady_s"] == pytest.approx(20.0)


def test_a_peers_wall_clock_counts_its_start_up_once() -> None:
    run = Run(wall=30.0, outcome={"span": 20.0, "trials": []})
    assert sweep.whole(run, trained=4, wanted=64) == 10.0 + 20.0 * 16


def test_a_peers_rate_is_that_of_all_trials_that_run_at_once() -> None:
    trials = [{"steady_steps": 100, "steady_s": 10.0}, {"steady_steps": 100, "steady_s": 30.0}]
    assert sweep.rate(Run(0.0, {"trials": trials}), concurrent=2) == 10.0


def test_the_pools_wall_clock_weighs_each_configuration_with_its_own_rate() -> None:
    configs = [{"train_batch_size": 64}, {"train_batch_size": 100}]
    trials = [{"steady_steps": 10, "steady_s": 1.0}, {"steady_steps": 10, "steady_s": 2.0}]
    run = Run(wall=12.0, outcome={"span": 5.0, "trials": trials})
    # 128 steps at 10/s and 100 steps at 5/s, on 2 seeds each, by 2 processes
    assert sweep_zoo.pool_wall(run, configs, steps=100, seeds=2) == pytest.approx(7 + 12.8 + 20)


def test_the_table_shows_ratios_against_each_peer() -> None:
    rows = {
        sweep.OURS: sweep.Row(64, 1000.0, 10.0, 10.0, 50.0),
        sweep.RLLIB: sweep.Row(4, 40.0, 250.0, 20.0, 10.0),
    }
    ours = sweep.table(rows).splitlines()[2]
    assert [cell.strip() for cell in ours.split("|")[2:-1]] == [
        *("64", "1,000", "25.0 x", "", "10", "25.0 x", "", "50", "5.0 x", ""),
    ]
    assert [line.rsplit(" ", 1)[1] for line in sweep.verdicts(rows)] == ["reached"] * 3


@pytest.mark.parametrize(("lost", "share"), [(0, 1.0), (3, 0.85)])
def test_a_trial_on_time_has_all_results_of_the_window_and_none_of_more(
    lost: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("benchmarks.window.time.perf_counter", lambda: now)
    open_ = Window(trials=2, rate=10.0, seconds=2.0)
    ends = []
    for tick in range(30):
        for trial, phase in (("a", 0.0), ("b", 0.03)):
            now = tick / 10 + phase + 0.002 * (tick % 3)  # a tremble
            if trial == "a" or tick not in range(5, 5 + lost):
                ends.append(open_.result(trial))
    found = open_.outcome()
    assert found["slowest"] == share
    assert found["per_second"] == (40 - lost) / 2
    assert ends[-1]


def test_a_target_that_was_not_reached_is_said_so() -> None:
    assert verdict("speed", 2.9, 3.0, " x").endswith("MISSED")
    assert verdict("speed", 3.0, 3.0, " x").endswith("reached")


def test_a_markdown_table_has_equally_long_lines() -> None:
    lines = markdown(["a", "b"], [["one", "1"], ["two", "1,000"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| --- | ----: |"
