"""Changing resources: who is given how much, and a controller that carries it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Climb, Watched, laboratory
from tunerl import schedulers
from tunerl.author import with_resources
from tunerl.errors import InvalidSpec
from tunerl.schedulers import (
    Allocate,
    DistributeResources,
    DistributeResourcesToTopJob,
    ResourceChangingScheduler,
    Stop,
)
from tunerl.trainable import TrainableSpec
from tunerl.trial import Config, ExperimentStatus


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Makes experiments; closes their stores afterwards."""
    with laboratory(tmp_path) as make:
        yield make


def changing(function: DistributeResources, base: Any = None, trials: int = 0) -> Any:
    scheduler = ResourceChangingScheduler(base, function)
    scheduler.setup("m", "max", 0)
    for trial in range(trials):
        assert scheduler.on_add(trial, {}) == []
    return scheduler


def report(scheduler: Any, trial: int, time: int, value: float = 0.0) -> Any:
    return scheduler.on_result(trial, {"training_iteration": time, "m": value})


def test_what_is_free_is_shared_out_evenly_as_trials_end() -> None:
    scheduler = changing(DistributeResources({"CPU": 4}), trials=4)
    assert [report(scheduler, trial, 1) for trial in range(4)] == [[]] * 4
    scheduler.on_complete(3, None)
    assert report(scheduler, 1, 2) == []
    assert report(scheduler, 0, 2) == [Allocate(0, {"CPU": 2.0})]
    scheduler.on_error(2)
    assert report(scheduler, 1, 3) == [Allocate(1, {"CPU": 2.0})]
    assert report(scheduler, 0, 3) == []
    scheduler.on_complete(1, None)
    assert report(scheduler, 0, 4) == [Allocate(0, {"CPU": 4.0})]
    scheduler.on_add(4, {})
    assert report(scheduler, 0, 5) == [Allocate(0, {"CPU": 2.0})], "it makes room again"


def test_amounts_grow_by_whole_steps_up_to_a_limit() -> None:
    function = DistributeResources(
        {"CPU": 9, "GPU": 2}, {"CPU": 1}, {"CPU": 2, "GPU": 0.5}, increase_by_times=3
    )
    assert function.allocate(0, [0], {}) == {"CPU": 7.0, "GPU": 1.5}
    assert function.allocate(0, [0, 1], {}) == {"CPU": 5.0, "GPU": 1.0}
    assert function.allocate(0, list(range(20)), {}) == {"CPU": 1.0, "GPU": 0.0}


def test_the_top_job_gets_all_that_is_free() -> None:
    scheduler = changing(DistributeResourcesToTopJob({"CPU": 5}), trials=3)
    assert report(scheduler, 0, 1, 1) == [Allocate(0, {"CPU": 3.0})]
    assert report(scheduler, 1, 1, 2) == [Allocate(1, {"CPU": 3.0})]
    assert report(scheduler, 0, 2, 1.5) == [Allocate(0, {"CPU": 1.0})]
    assert report(scheduler, 2, 1, float("nan")) == []


def test_the_base_scheduler_decides_all_else() -> None:
    scheduler = changing(
        DistributeResources({"CPU": 2}), {"type": "asha", "reduction_factor": 2}, trials=2
    )
    assert report(scheduler, 0, 1, 5) == []
    assert report(scheduler, 1, 1, 1) == [Stop(1)]
    assert report(scheduler, 0, 2, 5) == [Allocate(0, {"CPU": 2.0})]


def test_json_describes_it_with_its_base_and_its_function() -> None:
    scheduler = changing(DistributeResourcesToTopJob({"CPU": 2}), {"type": "median"})
    written = scheduler.to_json()
    assert written["base_scheduler"]["type"] == "median"
    assert schedulers.create(written).to_json() == written


class Sized(Watched):
    """Four CPUs; notes what each pack was opened with."""

    def __init__(self) -> None:
        super().__init__(4)
        self.opened: list[Mapping[str, float] | None] = []

    def slots(self, resources: dict[str, float]) -> int:
        return int(4 // resources.get("CPU", 1.0))

    def open(
        self,
        pack: str,
        spec: TrainableSpec,
        config: Config,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self.opened.append(resources)
        super().open(pack, spec, config)


def test_a_trial_goes_on_with_more_where_it_stood(run: Any) -> None:
    options = {
        "type": "resource_changing",
        "base_scheduler": {"type": "asha", "max_t": 6, "reduction_factor": 4},
        "resources_allocation_function": {"name": "distribute", "total": {"CPU": 4}},
    }
    runtime = Sized()
    one = with_resources(Climb, {"CPU": 1})
    experiment = run(one, scheduler=options, stop={},
                     param_space={"lr": {"grid_search": [4.0, 3.0, 2.0, 1.0]}})  # fmt: skip
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    first = experiment.trials[0]
    assert (first.iteration, first.objective) == (6, 24.0)
    assert runtime.opened == [None] * 4 + [{"CPU": 4.0}]
    results = experiment.store.results(experiment.id, trial=0)
    assert [r.objective for r in results] == [4.0 * n for n in range(1, 7)]


def test_what_could_never_run_is_not_tried(run: Any) -> None:
    options = {
        "type": "resource_changing",
        "resources_allocation_function": {"name": "distribute", "total": {"CPU": 64}},
    }
    runtime = Sized()
    experiment = run(with_resources(Climb, {"CPU": 1}), scheduler=options)
    assert experiment.run(runtime) is ExperimentStatus.COMPLETED
    assert runtime.opened == [None] * 3


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, ""),
        ({"resources_allocation_function": {"name": "distribute"}}, ".total"),
        ({"resources_allocation_function": {"name": "distibute", "total": {"CPU": 1}}}, ""),
        ({"resources_allocation_function": {"name": "distribute", "total": {}}}, ".total"),
        (
            {"resources_allocation_function": {
                "name": "distribute", "total": {"CPU": 1}, "base": {"GPU": 1}}},
            ".total",
        ),
        (
            {"resources_allocation_function": {
                "name": "distribute", "total": {"CPU": 1}, "by": 2}},
            ".by",
        ),
    ],
)  # fmt: skip
def test_impossible_options_are_refused_under_their_path(options: Any, path: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        ResourceChangingScheduler(**options)
    paths = [problem.path for problem in error.value.problems]
    assert paths == ["scheduler.resources_allocation_function" + path]
