"""Evaluation by a function of the user's: ``function(algorithm, env_runner_group) -> metrics``.

Invariant: it is given an agent and environments of evaluation's own; of the agent's training it
changes nothing that it does not change on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from algorithms.core.packs.evaluation import evaluation_environment
from algorithms.core.packs.member import derived_seed
from algorithms.core.specs import names
from tunerl.errors import InvalidConfig, MetricError, Problem, TrainableError
from tunerl.metrics import flatten
from tunerl.trial import Config, Metrics, ReplicaId

if TYPE_CHECKING:
    from algorithms.core.packs.pack import AlgorithmPack
    from algorithms.sampling.group import EnvRunnerGroup

FIELD = "custom_evaluation_function"
APART: Config = {"callbacks": None, "output": None, "evaluation_interval": None, FIELD: None}
"""Settings of training that do not hold for the environments of evaluation."""


def problems(given: Any) -> Iterator[Problem]:
    """What is wrong with a `custom_evaluation_function`."""
    try:
        found = names.shared(FIELD, given)
    except InvalidConfig as error:
        yield from error.problems
        return
    if found is not None and not callable(found):
        yield Problem(FIELD, f"{found!r} is no function; give one of (algorithm, env_runner_group)")


def evaluate_by(pack: AlgorithmPack, id: ReplicaId, function: Any, seed: int) -> Metrics:
    """What a function, or the one shared by that name, makes of a member.

    The function gives metrics, or RLlib's ``(metrics, env_steps, agent_steps)``, whose counts are
    reported as ``env_runners/num_env_steps_sampled`` and ``.../num_agent_steps_sampled``. Raises
    `TrainableError` from it, `MetricError` for what is no metrics.
    """
    from algorithms.building import agent_in

    function = names.shared(FIELD, function)
    algorithm = agent_in(pack, id)
    group = _group(pack, id, algorithm, seed)
    label = names.word(function).split(":")[0]
    try:
        found = function(algorithm, group)
    except Exception as error:
        told = f"{FIELD} ({label}) raised {type(error).__name__}: {error}"
        raise TrainableError(told) from error
    finally:
        group.stop()
    counts: tuple[Any, ...] = ()
    if isinstance(found, tuple) and len(found) == 3:
        found, *rest = found
        counts = tuple(rest)
    if not isinstance(found, Mapping) or any(type(count) is not int for count in counts):
        raise MetricError(
            f"{FIELD} ({label}) gave {found!r}; it is to return a dict of metrics, or that and "
            "two counts: environment and agent steps"
        )
    steps = [f"env_runners/num_{what}_steps_sampled" for what in ("env", "agent")]
    return flatten(found) | dict(zip(steps, counts, strict=False))


def _group(pack: AlgorithmPack, id: ReplicaId, algorithm: Any, seed: int) -> EnvRunnerGroup:
    """Runners in evaluation's environments, which have the agent's weights when they are made."""
    from algorithms.config import AlgorithmConfig
    from algorithms.sampling.group import EnvRunnerGroup

    row = pack.ids.index(id)
    settings = {**pack.members[row].config, **evaluation_environment(pack.members[row].config)}
    own = {name: value for name, value in APART.items() if name in settings}
    config = AlgorithmConfig.of(pack.spec, {**settings, **own})

    def ready(runner: Any) -> None:
        runner.set_weights(algorithm.get_weights())
        runner.set_statistics(pack.obs_stats.read(row))

    seed = derived_seed(seed, "evaluation environments")
    return EnvRunnerGroup(config, num_env_runners=0, seed=seed, on_local_made=ready)
