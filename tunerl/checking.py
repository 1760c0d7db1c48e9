"""Checks an `ExperimentSpec`: finds everything that is wrong, not only the first.

Invariant: nothing is run; a problem's path is the field that the user has to change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from tunerl import registry, schedulers, searchers, statistics, stoppers
from tunerl.control.objects import Objects
from tunerl.control.stopping import StopRules
from tunerl.errors import (
    InvalidConfig,
    InvalidInput,
    InvalidSpace,
    InvalidSpec,
    NotFound,
    Problem,
    TrainableError,
)
from tunerl.hints import domain_hint
from tunerl.metrics import nearest_metric
from tunerl.probing import probe, structural
from tunerl.reading import split_objectives
from tunerl.space import Space
from tunerl.space import from_json as space_from_json
from tunerl.spec import Custom, ExperimentSpec, Parts
from tunerl.trainable import TrainableSpec
from tunerl.trial import Config

MOST_SEEDS = 10_000  # of a trial; each is an agent of its own


def checked(
    spec: ExperimentSpec, trainable: TrainableSpec | None, custom: Custom | None
) -> ExperimentSpec:
    """See `tunerl.spec.check`."""
    custom, problems = custom or Custom(), list(_values(spec))
    spec = replace(spec, max_concurrent_trials=spec.max_concurrent_trials or None)
    trainable = trainable or _collect(lambda: _trainable(spec.trainable), problems)
    if spec.metric is None and spec.mode is None:
        described = custom.searcher.to_json() if custom.searcher else spec.searcher
        if described.get("metric") and described.get("mode"):
            own = {name: described[name] for name in ("metric", "mode")}
            spec = replace(spec, **split_objectives(own, problems))
    if trainable is not None and spec.metric is None and spec.mode is None:
        metric, mode = trainable.objective_of(spec.param_space) or (None, None)
        spec = replace(spec, metric=metric, mode=mode)
    scheduler = _collect(lambda: _scheduler(spec, custom), problems)
    space = _collect(lambda: _space(spec, custom, scheduler), problems)
    searcher = None
    if space is not None:
        searcher = _collect(lambda: _searcher(spec, custom, space), problems)
        if trainable is not None:
            problems += _configurations(spec, trainable, space, scheduler)
            problems += _endless(spec, custom, trainable, space)
    _collect(lambda: _stopper(spec), problems)
    if scheduler is not None and (trainable is not None or spec.metric is not None):
        # else nobody knows its metric yet
        _collect(lambda: _set_up(scheduler, spec, space, searcher, trainable), problems)
    if searcher is not None and scheduler is not None:
        problems += _pair(searcher, scheduler)
    if problems:
        unique = {(problem.path, problem.message): problem for problem in problems}
        raise InvalidSpec(list(unique.values()))
    return spec


def parts(spec: ExperimentSpec, custom: Custom, trainable: TrainableSpec | None) -> Parts:
    """See `tunerl.spec.build`."""
    scheduler = _scheduler(spec, custom)
    space = _space(spec, custom, scheduler)
    searcher = _searcher(spec, custom, space)
    _set_up(scheduler, spec, space, searcher, trainable)
    return Parts(
        space,
        searcher,
        scheduler,
        StopRules(spec.stop, custom.stop or _stopper(spec)),
        Objects(space),
    )


def _collect(make: Callable[[], Any], problems: list[Problem]) -> Any:
    try:
        return make()
    except InvalidInput as error:
        problems += error.problems
        return None


def _trainable(name: str) -> TrainableSpec:
    try:
        return registry.trainable(name)
    except (NotFound, TrainableError) as error:
        raise InvalidSpec(Problem("trainable", str(error))) from error


def _space(spec: ExperimentSpec, custom: Custom, scheduler: schedulers.Scheduler | None) -> Space:
    try:
        space = custom.space or Space(space_from_json(spec.param_space))
        return space if scheduler is None else scheduler.complete(space)
    except InvalidSpace as error:
        raise InvalidSpace(list(_below("param_space", error.problems))) from error


def _below(root: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    for problem in problems:
        path = problem.path.replace("/", ".")
        if not path.startswith(root):
            path = f"{root}.{path}" if path else root
        yield Problem(path, problem.message)


def _searcher(spec: ExperimentSpec, custom: Custom, space: Space) -> searchers.Searcher:
    searcher = custom.searcher or searchers.create(spec.searcher)
    if spec.more_objectives:
        searcher.pursue(spec.objectives)
    try:
        searcher.setup(space, spec.metric, spec.mode, spec.num_samples, spec.seed)
    except InvalidSpace as error:  # of the space, or of the searcher's own points
        own = [p for p in error.problems if p.path.startswith("points_to_evaluate")]
        rest = [p for p in error.problems if p not in own]
        raise InvalidSpace([*_below("searcher", own), *_below("param_space", rest)]) from error
    if spec.warm_start:
        searcher.learn([])
    return searcher


def _scheduler(spec: ExperimentSpec, custom: Custom) -> schedulers.Scheduler:
    return custom.scheduler or schedulers.create(spec.scheduler)


def _set_up(
    scheduler: schedulers.Scheduler,
    spec: ExperimentSpec,
    space: Space | None,
    searcher: searchers.Searcher | None,
    trainable: TrainableSpec | None,
) -> None:
    scheduler.setup(spec.metric, spec.mode, spec.seed)

    def fixed(asked: Space) -> set[str]:
        return set() if trainable is None else structural(trainable, asked, spec.seed)

    if space is not None and searcher is not None:
        scheduler.introduce(space, searcher.total, fixed)


def _pair(searcher: searchers.Searcher, scheduler: schedulers.Scheduler) -> Iterator[Problem]:
    """Those that need one another have the same plan."""
    while isinstance(searcher, searchers.ConcurrencyLimiter):
        searcher = searcher.searcher
    plans = getattr(searcher, "plan", None), getattr(scheduler, "plan", None)
    if plans[0] != plans[1]:
        what = searcher.name if plans[1] is None else scheduler.name
        yield Problem(
            "scheduler",
            f"{scheduler.name} with the searcher {searcher.name}: {what} is a pair of both, with "
            "the same max_t, grace_period and reduction_factor",
        )


def _stopper(spec: ExperimentSpec) -> stoppers.Stopper | None:
    return None if spec.stopper is None else stoppers.create(spec.stopper)


def _configurations(
    spec: ExperimentSpec,
    trainable: TrainableSpec,
    space: Space,
    scheduler: schedulers.Scheduler | None,
) -> Iterator[Problem]:
    """What the trainable has against the configurations of the space, and its metrics' names."""
    config, problems = probe(trainable, space, spec.seed)
    for problem in _below("param_space", problems):
        yield _where_given(spec, problem)
    names = None if config is None else _names(trainable, config)
    if names is None or spec.metric is None:
        return
    needed = [("metric", name) for name in spec.objectives]
    needed += [(f"stop.{name}", name) for name in spec.stop if not _nested(spec.stop[name])]
    needed += [
        (f"scheduler.{option}", name)
        for option in ("time_attr", "metric")
        if isinstance(name := getattr(scheduler, option, None), str)
        and (option == "time_attr" or name != spec.metric)
    ]
    constraints = spec.searcher.get("constraints")
    if isinstance(constraints, Mapping):
        needed += [(f"searcher.constraints.{name}", str(name)) for name in constraints]
    for path, name in needed:
        if not any(fnmatchcase(name, known) for known in names):
            hint = nearest_metric(name, [known for known in names if "*" not in known])
            yield Problem(path, f"{trainable.name} reports no metric {name!r}; {hint}")


def _names(trainable: TrainableSpec, config: Config) -> Sequence[str] | None:
    """Patterns of the metrics that a trainable reports; None where nobody can know."""
    try:
        return trainable.metrics(trainable.resolve(config))
    except InvalidConfig:
        return None


def _where_given(spec: ExperimentSpec, problem: Problem) -> Problem:
    """A problem of the space under the field in which the user gave the parameter, with how a
    domain is written where one was meant."""
    keys = problem.path.split(".")[1:]
    node: Any = spec.param_space
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    hint = domain_hint(node)
    if hint is not None:
        return Problem(problem.path, f"{problem.message}; {hint}")
    mutations = spec.scheduler.get("hyperparam_mutations")
    if not isinstance(mutations, Mapping) or not keys or keys[0] in spec.param_space:
        return problem
    added = keys[0] in mutations
    path = ".".join(["scheduler.hyperparam_mutations", *keys])
    return Problem(path, problem.message) if added else problem


def _endless(
    spec: ExperimentSpec, custom: Custom, trainable: TrainableSpec, space: Space
) -> Iterator[Problem]:
    """Trials without number that nothing ever ends."""
    ends = spec.stop or spec.stopper or spec.time_budget_s or custom.stop
    if spec.num_samples != -1 or ends or "max_t" in spec.scheduler:
        return
    config, _ = probe(trainable, space, spec.seed)
    names = None if config is None else _names(trainable, config)
    if names is not None and "done" not in names:
        yield Problem(
            "num_samples",
            f"-1 given, and nothing ends a trial: {trainable.name} goes on until it is stopped, so "
            "the first trials would run for good; give stop, such as "
            '{"training_iteration": 100}, or time_budget_s',
        )


def _nested(limit: Any) -> bool:
    return isinstance(limit, Mapping)


def _values(spec: ExperimentSpec) -> Iterator[Problem]:
    """Numbers out of range and words that do not exist."""
    if spec.num_samples < 1 and spec.num_samples != -1:
        yield Problem("num_samples", f"{spec.num_samples} given; at least 1, or -1 for no end")
    if not 1 <= spec.num_seeds <= MOST_SEEDS:
        yield Problem("num_seeds", f"{spec.num_seeds} given; 1 to {MOST_SEEDS:,}")
    try:
        statistics.statistic(spec.aggregate)
    except InvalidSpec as error:
        yield from error.problems
    if not all(isinstance(seed, int) and seed >= 0 for seed in spec.seeds):
        yield Problem("seeds", f"{list(spec.seeds)} given; they must be whole numbers from 0 on")
    if spec.seeds and spec.num_seeds > 0 and len(spec.seeds) % spec.num_seeds:
        what = f"{len(spec.seeds)} seeds given for num_seeds={spec.num_seeds}"
        yield Problem("seeds", f"{what}; give a multiple of it, or none")
    for name, mode in spec.more_objectives.items():
        if mode not in ("min", "max"):
            yield Problem("mode", f"{mode!r} given for {name!r}; allowed: 'min', 'max'")
    if spec.mode not in (None, "min", "max"):
        yield Problem("mode", f"{spec.mode!r} given; allowed: 'min', 'max'")
    if spec.metric is not None and spec.mode is None:
        what = f"say whether {spec.metric!r} is to be large or small"
        yield Problem("mode", f"is missing; {what}: 'max' or 'min'")
    if spec.mode is not None and spec.metric is None:
        yield Problem("metric", f"is missing, while mode is {spec.mode!r}; name the metric")
    if spec.max_concurrent_trials is not None and spec.max_concurrent_trials < 0:
        given = spec.max_concurrent_trials
        yield Problem("max_concurrent_trials", f"{given} given; at least 1, or none for no limit")
    if spec.time_budget_s is not None and not 0 < spec.time_budget_s < math.inf:
        yield Problem("time_budget_s", f"{spec.time_budget_s} given; a number of seconds above 0")
    limits: Mapping[str, Any] = spec.stop
    for name, limit in limits.items():
        if _nested(limit):
            inner = "/".join([str(name), *map(str, list(limit)[:1])])
            yield Problem(f"stop.{name}", f"{limit!r} given; write it flat: {inner!r}")
            continue
        if isinstance(limit, bool) or not isinstance(limit, int | float) or math.isnan(limit):
            yield Problem(f"stop.{name}", f"{limit!r} given; it must be a number")
    yield from _policies(spec)


def _policies(spec: ExperimentSpec) -> Iterator[Problem]:
    checkpoint, failure = spec.checkpoint, spec.failure
    if checkpoint.num_to_keep is not None and checkpoint.num_to_keep < 1:
        given = checkpoint.num_to_keep
        yield Problem("checkpoint.num_to_keep", f"{given} given; at least 1, or none for all")
    if checkpoint.score_order not in ("min", "max"):
        yield Problem(
            "checkpoint.score_order", f"{checkpoint.score_order!r} given; allowed: 'min', 'max'"
        )
    if checkpoint.frequency < 0:
        yield Problem("checkpoint.frequency", f"{checkpoint.frequency} given; it must be 0 or more")
    if failure.max_failures < -1:
        given = failure.max_failures
        yield Problem("failure.max_failures", f"{given} given; 0 or more, or -1 for no limit")
    if failure.hang_timeout_s is not None and not 0 < failure.hang_timeout_s < math.inf:
        limit = failure.hang_timeout_s
        yield Problem("failure.hang_timeout_s", f"{limit} given; seconds, more than 0, or none")
    if failure.memory_limit_bytes is not None and not 0 < failure.memory_limit_bytes < math.inf:
        limit = failure.memory_limit_bytes
        yield Problem("failure.memory_limit_bytes", f"{limit} given; bytes, more than 0, or none")
