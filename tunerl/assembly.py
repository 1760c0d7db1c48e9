"""From what a program gives `Tuner` to an `ExperimentSpec`, and to the parts that are Python.

Invariant: whatever JSON can say goes into the spec; the rest is named in `spec.python`.
"""

from __future__ import annotations

import copy
import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunerl import schedulers, searchers, stoppers
from tunerl import spec as specs
from tunerl.control.stopping import Rule
from tunerl.errors import InvalidInput, InvalidSpace, InvalidSpec, Problem
from tunerl.metrics import flatten
from tunerl.reading import split_objectives
from tunerl.searchers.foreign import own_or_foreign
from tunerl.space import Space, python_parts, to_json
from tunerl.spec import CheckpointSpec, Custom, ExperimentSpec, FailureSpec
from tunerl.stoppers import Stopper
from tunerl.trainable import TrainableSpec

if TYPE_CHECKING:
    from tunerl.tuner import RunConfig, TuneConfig


def assemble(
    trainable: TrainableSpec, param_space: Any, tune: TuneConfig, run: RunConfig
) -> tuple[ExperimentSpec, Custom]:
    """The checked spec and what of it is Python. Raises `InvalidSpec` with all problems."""
    tree = tree_of(param_space)
    searcher, own_searcher = _part("searcher", tune.search_alg, searchers.Searcher, "random")
    scheduler, own_scheduler = _part("scheduler", tune.scheduler, schedulers.Scheduler, "fifo")
    limits, stopper, own_stop = _stop(run.stop)
    own_space = _space(tree) if python_parts(tree) else None
    python = {
        "param_space": own_space,
        "searcher": own_searcher,
        "scheduler": own_scheduler,
        "stop": own_stop,
    }
    problems: list[Problem] = []
    objectives = split_objectives({"metric": tune.metric, "mode": tune.mode}, problems)
    if problems:
        raise InvalidSpec(problems)
    warm = [tune.warm_start] if isinstance(tune.warm_start, str) else tune.warm_start or ()
    saving, failing = run.checkpoint_config, run.failure_config
    if failing.fail_fast not in (True, False, "raise"):
        given = failing.fail_fast
        raise InvalidSpec(Problem("failure.fail_fast", f"{given!r} given; True, False or 'raise'"))
    spec = ExperimentSpec(
        trainable=trainable.name,
        param_space=to_json(tree),
        name=run.name or f"{trainable.name}-{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}",
        **objectives,
        num_samples=tune.num_samples,
        num_seeds=tune.num_seeds,
        aggregate=tune.aggregate,
        seed=tune.seed,
        warm_start=tuple(warm),
        searcher=searcher,
        scheduler=scheduler,
        stop=limits,
        stopper=stopper,
        max_concurrent_trials=tune.max_concurrent_trials,
        time_budget_s=_seconds(tune.time_budget_s),
        checkpoint=CheckpointSpec(
            num_to_keep=saving.num_to_keep,
            score_attribute=saving.checkpoint_score_attribute,
            score_order=saving.checkpoint_score_order,
            frequency=saving.checkpoint_frequency,
            at_end=saving.checkpoint_at_end,
        ),
        failure=FailureSpec(
            failing.max_failures,
            bool(failing.fail_fast),
            failing.hang_timeout_s,
            failing.memory_limit_bytes,
        ),
        storage=_storage(run.storage_path),
        python=tuple(name for name, part in python.items() if part is not None),
    )
    custom = Custom(own_space, own_searcher, own_scheduler, own_stop)
    return specs.check(spec, trainable, custom), custom


def custom_parts(
    spec: ExperimentSpec, param_space: Any, search_alg: Any, scheduler: Any, stop: Any
) -> Custom:
    """What a restored experiment needs besides its spec. Raises `InvalidSpec` for a lack."""
    own_stop = stop if callable(stop) else None
    given = {
        "param_space": param_space,
        "searcher": search_alg,
        "scheduler": scheduler,
        "stop": own_stop,
    }
    words = {"searcher": "search_alg", "stop": "run_config=RunConfig(stop=...)"}
    missing = [
        Problem(name, f"was Python and is not in the store; give {words.get(name, name)} again")
        for name in spec.python
        if given[name] is None
    ]
    if missing:
        raise InvalidSpec(missing)
    return Custom(
        _space(tree_of(param_space)) if "param_space" in spec.python else None,
        own_or_foreign(search_alg) if "searcher" in spec.python else None,
        scheduler if "scheduler" in spec.python else None,
        own_stop if "stop" in spec.python else None,
    )


def changes_of(
    spec: ExperimentSpec, custom: Custom, given: Mapping[str, Any]
) -> tuple[dict[str, Any], Custom]:
    """What a program wants changed, as fields of a spec, and its parts that are Python."""
    fields: dict[str, Any] = dict(given)
    python = dict.fromkeys(spec.python)
    if "param_space" in given:
        tree = tree_of(given["param_space"])
        custom = replace(custom, space=_space(tree) if python_parts(tree) else None)
        fields["param_space"] = to_json(tree)
        _mark(python, "param_space", custom.space)
    if "stop" in given:
        fields["stop"], fields["stopper"], stop = _stop(given["stop"])
        custom = replace(custom, stop=stop)
        _mark(python, "stop", stop)
    if "time_budget_s" in given:
        fields["time_budget_s"] = _seconds(given["time_budget_s"])
    return {**fields, "python": tuple(python)}, custom


def _mark(python: dict[str, None], name: str, part: Any) -> None:
    python.pop(name, None)
    if part is not None:
        python[name] = None


def tree_of(param_space: Any) -> Mapping[str, Any]:
    """A search space as a dict: given as one, as a `Space`, or as something with ``to_dict()``."""
    if param_space is None:
        return {}
    if isinstance(param_space, Space):
        return param_space.tree
    to_dict = getattr(param_space, "to_dict", None)
    tree = to_dict() if callable(to_dict) else param_space
    if not isinstance(tree, Mapping):
        raise InvalidSpace(
            Problem(
                "param_space",
                f"{param_space!r} given; it must be a dict of parameters, or an algorithm's config",
            )
        )
    return tree


def _space(tree: Mapping[str, Any]) -> Space:
    try:
        return Space(tree)
    except InvalidSpace as error:
        raise InvalidSpace(
            [Problem(f"param_space.{p.path}".rstrip("."), p.message) for p in error.problems]
        ) from error


def _part(name: str, given: Any, base: type[Any], default: str) -> tuple[dict[str, Any], Any]:
    """JSON of a searcher or scheduler, and the object itself where JSON cannot say what it is."""
    module: Any = searchers if name == "searcher" else schedulers
    if given is None:
        return {"type": default}, None
    if isinstance(given, str):
        return module.create({"type": given}).to_json(), None
    if isinstance(given, Mapping):
        return module.create(given).to_json(), None
    if name == "searcher":
        given = own_or_foreign(given)
    if not isinstance(given, base):
        origin = type(given).__module__.split(".")[0]
        whose = "Ray Tune's" if origin == "ray" else f"a {type(given).__name__}"
        if isinstance(given, type) and issubclass(given, base):
            whose = f"a class: call it, as in {given.__name__}()"
        allowed = ", ".join(module.names())
        raise InvalidSpec(
            Problem(
                name,
                f"{given!r} is {whose}; give one of tunerl.{name}s ({allowed}), or an object of a "
                f"class derived from tunerl.{name}s.{base.__name__}",
            )
        )
    described = given.to_json()
    try:
        text = json.dumps(described, allow_nan=False)
        if module.create(json.loads(text)).to_json() == described:
            return json.loads(text), None
    except (TypeError, ValueError, InvalidInput):
        pass
    label = {"type": str(described.get("type")), "python": type(given).__qualname__}
    return label, copy.deepcopy(given)


def _stop(given: Any) -> tuple[dict[str, float], dict[str, Any] | None, Rule | None]:
    """Limits, a stopper as JSON, and what is neither."""
    if given is None:
        return {}, None, None
    if isinstance(given, Mapping):
        return flatten(given), None, None
    if isinstance(given, Stopper) and type(given) in stoppers.REGISTRY.values():
        described = given.to_json()
        return {}, described, None if described else given
    if callable(given):
        return {}, None, given
    raise InvalidSpec(
        Problem(
            "stop",
            f"{given!r} given; it must be a dict of metric: value, a function of trial id and "
            "result, or a Stopper",
        )
    )


def _seconds(budget: float | datetime.timedelta | None) -> float | None:
    return budget.total_seconds() if isinstance(budget, datetime.timedelta) else budget


def _storage(path: str | os.PathLike[str] | None) -> str:
    """An absolute directory or a URL."""
    if path is None:
        path = Path(os.environ.get("TUNERL_HOME") or "~/.tunerl") / "checkpoints"
    text = os.fspath(path)
    return text if "://" in text else str(Path(text).expanduser().absolute())
