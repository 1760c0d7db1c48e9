"""Hyperparameter importance of a stored experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunerl.assembly import tree_of
from tunerl.control.earlier import ended
from tunerl.control.objects import Objects
from tunerl.errors import InvalidInput
from tunerl.results.result import check_mode, number
from tunerl.space import Space, from_json

if TYPE_CHECKING:
    from tunerl.searchers.optuna_importance import Importance
    from tunerl.store import Store


def importance_of(
    store: Store,
    experiment_id: str,
    metric: str | None = None,
    evaluator: str = "ped-anova",
    *,
    resamples: int | None = None,
    seed: int = 0,
    param_space: Any = None,
) -> list[Importance]:
    """See `tunerl.searchers.optuna_importance.importance`, which this asks.

    `metric`: of the last results; default the experiment's objective. `param_space`: as given to
    the experiment, needed where it holds functions or classes. Raises `InvalidInput` where trials
    are too few, or nothing is known to compare by.
    """
    from tunerl.searchers.optuna_importance import importance

    spec = store.get_experiment(experiment_id).spec
    if param_space is None and "param_space" in spec.get("python", ()):
        raise InvalidInput("param_space was Python and is not in the store; give it again")
    tree = from_json(spec["param_space"]) if param_space is None else tree_of(param_space)
    space = Space(tree)
    objective = metric or spec.get("metric")
    if objective is None:
        raise InvalidInput("no metric is known: give one")
    modes = {spec.get("metric"): spec.get("mode"), **spec.get("more_objectives", {})}
    mode = check_mode(modes.get(objective, spec.get("mode")))
    trials, objects = ended(store, experiment_id), Objects(space)
    for seen in trials:
        seen.config = objects.thaw(seen.config)
        if objective != spec.get("metric"):
            value = number(seen.last.get(objective), nan=True)
            seen.values = [] if value is None else [(1, value)]
    return importance(
        space, trials, str(objective), mode, evaluator=evaluator, resamples=resamples, seed=seed
    )
