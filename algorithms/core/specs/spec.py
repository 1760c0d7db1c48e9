"""What the tuner must know of an algorithm: checks, pack key, whether compiling pays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from algorithms import callbacks, older, synonyms
from algorithms.core import envs, nets
from algorithms.core.dists.custom_dists import distribution_for
from algorithms.core.envs import connecting
from algorithms.core.envs.spaces import ACTIONS, SpaceTypes, check_spaces
from algorithms.core.lifting import device, warming
from algorithms.core.nets.preprocessors import custom_preprocessor
from algorithms.core.packs import own_evaluation
from algorithms.core.packs.evaluation import evaluation_problems
from algorithms.core.packs.reporting import REPORTED
from algorithms.core.specs import alone, names
from algorithms.core.specs.pays import COMPILE_SECONDS, saved
from tunerl.errors import InvalidConfig, Problem
from tunerl.hyperparameters import resolve_fields, schema
from tunerl.registry import importable, trainable
from tunerl.trainable import Pack, TrainableSpec, hyperparameters
from tunerl.trial import Config, Metrics

if TYPE_CHECKING:
    from algorithms.algorithm import Algorithm

ALIASES = {
    "lambda": "lambda_",
    "n_steps": "rollout_fragment_length",
    "num_sgd_iter": "num_epochs",
    "sgd_minibatch_size": "minibatch_size",
    "train_batch_size_per_learner": "train_batch_size",
    "num_envs_per_worker": "num_envs_per_env_runner",
    "num_rollout_workers": "num_env_runners",
}
ENVIRONMENT = (
    "env",
    "env_config",
    "gym_env_vectorize_mode",
    "framestack",
    "is_atari",
    "action_mask_key",
    *connecting.CONNECTORS,
)


class AlgorithmSpec(TrainableSpec):
    """An algorithm as a trainable. `parameters` is its dataclass, `pack` makes its packs.

    The dataclass may have a static method ``problems(config)``: what is wrong with values that
    are each in range. `actions`: the kinds of action spaces that the algorithm takes.
    """

    objective = ("env_runners/episode_return_mean", "max")

    def __init__(
        self,
        name: str,
        parameters: type,
        pack: Callable[..., Pack],
        *,
        actions: SpaceTypes = ACTIONS,
    ) -> None:
        self.actions = actions
        self.name, self.parameters, self.pack = name, parameters, pack
        self.kind: type[Algorithm] | None = None  # a class with a training_step of its own
        self.fixed = [n for n, info in hyperparameters(parameters).items() if not info.vector]

    def __reduce__(self) -> tuple[Any, ...]:
        if self.kind is not None and not importable(self):
            return _rebuilt, (type(self), dict(vars(self)))
        return _registered, (self.name,)

    def named(self, name: str) -> AlgorithmSpec:
        """The same under another name."""
        return _rebuilt(type(self), vars(self) | {"name": name})

    def resolve(self, config: Config) -> Config:
        config, problems = own_settings(config, self.parameters)
        full: Config = {}
        try:
            full = resolve_fields(self.parameters, config)
        except InvalidConfig as error:
            problems += error.problems
        try:
            model = nets.resolve_model(config.get("model"))
        except InvalidConfig as error:
            problems += error.problems
        problems += callbacks.problems(full.get("callbacks"))
        problems += own_evaluation.problems(full.get(own_evaluation.FIELD))
        if not problems:
            full["model"] = model
            problems += [*self.problems(full), *device.problems(full)]
        if not problems:
            try:
                full["model"] = self.settled(full, config.get("model"))
            except InvalidConfig as error:
                problems += error.problems
        if problems:
            raise InvalidConfig(problems)
        names.remember(full)
        return full

    def problems(self, config: Config) -> list[Problem]:
        """What is wrong with a configuration whose values are each in range."""
        if config["env"] is None:
            return [Problem("env", "missing; name an environment, such as 'CartPole-v1'")]
        if wrong := list(connecting.problems(config)):
            return wrong
        try:
            check_spaces(*spaces_of(config), actions=self.actions)
        except InvalidConfig as error:
            return [Problem(problem.path or "env", problem.message) for problem in error.problems]
        problems = list(evaluation_problems(config, spaces_of))
        check = getattr(self.parameters, "problems", None)
        return problems + (check(config) if check is not None else [])

    def objections(self, config: Config) -> list[Problem]:
        return list(alone.objections(config))

    def spaces(self, config: Config) -> tuple[Any, Any]:
        """Observation and action space that an agent of this configuration has."""
        return spaces_of(config)

    def settled(self, config: Config, model: Mapping[str, Any] | None) -> Config:
        """The settings of the network as they are for this environment's observations.

        Raises `InvalidConfig` for what does not go with them, or with this algorithm.
        """
        found = nets.resolve_model(model)
        observations, actions = self.spaces(config)
        _, features = custom_preprocessor(found, observations)
        distribution_for(actions, found)
        features = nets.without_key(features, config.get("action_mask_key", nets.MASK_KEY))
        found = nets.resolve_model(model, features)
        if not getattr(self.pack, "recurrent", False):
            nets.check_no_memory(found, self.name)
        if found["custom_model"] is None:
            with torch.device("meta"):
                nets.encoder(features, found)
        return found

    def pack_key(self, config: Config) -> str:
        return json.dumps({n: config[n] for n in self.fixed}, sort_keys=True, default=names.word)

    def capacity(self, config: Config) -> int:
        return 1 if self.kind is not None else int(config["max_pack_size"])

    def resources(self, config: Config) -> Mapping[str, float]:
        """A processor, and what is asked for of GPUs."""
        gpus = config[device.FIELD]
        return {"CPU": 1.0, "GPU": gpus} if gpus else {"CPU": 1.0}

    def plan(self, config: Config, *, replicas: int, stop: Mapping[str, Any]) -> Config:
        """Decides `torch_compile_learner` from the size of the experiment, where it is None."""
        if config["torch_compile_learner"] is not None or config[device.FIELD]:
            return config
        iteration = config.get("min_sample_timesteps_per_iteration") or config["train_batch_size"]
        steps = float(stop.get("num_env_steps_sampled_lifetime") or 0) or iteration * float(
            stop.get("training_iteration") or 0
        )
        updates = steps * self.updates_per_step(config)
        rows = min(replicas, self.capacity(config))
        pays = updates * saved(config, rows) > COMPILE_SECONDS
        return config | {"torch_compile_learner": pays}

    def warm(self, config: Config, *, replicas: int) -> None:
        """Compile the update in a process of its own, while clusters and workers start."""
        if (
            config["torch_compile_learner"]
            and self.kind is None
            and getattr(self.pack, "warms", False)
        ):
            rows = -(-replicas // (os.cpu_count() or 1))
            warming.begin(self.name, config, min(rows, self.capacity(config)))

    def updates_per_step(self, config: Config) -> float:
        """Updates of an agent for each environment step that it takes."""
        return updates_per_step(config)

    def open(self, config: Config) -> Pack:
        if self.kind is not None:
            from algorithms.lone import LonePack

            return LonePack(self.kind)
        return self.open_pack(config)

    def open_pack(self, config: Config) -> Pack:
        """A pack of the algorithm's own making, whoever drives it."""
        made: Any = self.pack(config, self.resolve, self.pack_key)
        made.spec = self
        opened: Pack = made
        return opened

    def schema(self) -> dict[str, Any]:
        found = schema(self.parameters)
        found["properties"]["env"] |= {"type": "string"}
        found["required"] = ["env"]
        return found

    def metrics(self, config: Config) -> Sequence[str] | None:
        """Functions of the user's, and iterations of one's own, may report what they like."""
        if self.kind is not None or config["callbacks"] or config[own_evaluation.FIELD]:
            return None
        return (*REPORTED, "evaluation/*") if config["evaluation_interval"] else REPORTED

    def record(self, path: str, output: str, **settings: Any) -> dict[str, Any]:
        """Write what the agent of a checkpoint does; see `algorithms.offline.recording.record`."""
        from algorithms.offline.recording import record

        return record(path, output, **settings)

    def evaluate(self, path: str, episodes: int = 10, seed: int = 0) -> Metrics:
        """Play whole episodes with the agent of a checkpoint, likeliest actions."""
        from algorithms.algorithm import Algorithm

        algorithm = Algorithm.from_checkpoint(path)
        try:
            found: Metrics = algorithm.evaluate(duration=episodes, unit="episodes", seed=seed)
            return found
        finally:
            algorithm.stop()

    def rollout(self, path: str, **how: Any) -> dict[str, Any]:
        """Let the agent of a checkpoint play; `how`: arguments of `algorithms.playing.play`."""
        from algorithms.playing import play

        return play(path, **how)


def updates_per_step(config: Mapping[str, Any]) -> float:
    """Updates of an agent for each environment step that it takes."""
    batch = config["train_batch_size"]
    if "rollout_fragment_length" in config:  # off-policy: every update takes a batch of its own
        intensity = config["training_intensity"]
        natural = 1.0 / (config["rollout_fragment_length"] * config["num_envs_per_env_runner"])
        return natural if intensity is None else float(intensity / batch)
    minibatch = min(config.get("minibatch_size") or batch, batch)
    return float(config.get("num_epochs", 1) / minibatch)


def own_settings(config: Mapping[str, Any], parameters: type) -> tuple[Config, list[Problem]]:
    """The configuration with older names replaced, and without those settings of RLlib's that ask
    for nothing else than what happens anyhow; and what is wrong with the others of them."""
    from algorithms import keywords

    fields, elsewhere = hyperparameters(parameters), keywords.foreign_to(parameters)
    found: Config = {}
    foreign: list[tuple[str, Any, keywords.Foreign]] = []
    problems: list[Problem] = []
    try:
        config = older.in_our_words(config)
    except InvalidConfig as error:
        problems += error.problems
    for name, value in config.items():
        new = keywords.canonical(name)
        if new != name and new in config:
            problems.append(Problem(name, f"is the older name of {new!r}, which is given too"))
        elif new in elsewhere and new not in fields:
            foreign.append((name, value, elsewhere[new]))
        elif new in fields:
            found[new] = value
        else:
            told = f"unknown hyperparameter {name!r}; {synonyms.hint(str(name), fields)}"
            problems.append(Problem(str(name), told))
    if isinstance(found.get("model"), Mapping):
        model = found["model"] = dict(found["model"])
        for name in keywords.MODEL.keys() & model.keys():
            foreign.append((f"model.{name}", model.pop(name), keywords.MODEL[name]))
    for name, value, setting in foreign:
        try:
            setting.check(name, value)
        except InvalidConfig as error:
            problems += error.problems
    return found, problems


def _registered(name: str) -> TrainableSpec:
    return trainable(name)


def _rebuilt(kind: type[AlgorithmSpec], attributes: dict[str, Any]) -> AlgorithmSpec:
    made = kind.__new__(kind)
    vars(made).update(attributes)
    return made


class _Box:
    """Carries a configuration past the cache's key."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Box)

    def __hash__(self) -> int:
        return 0


def spaces_of(config: Config) -> tuple[Any, Any]:
    """Observation and action space of a configuration's environment, which is made once.

    Raises `InvalidConfig` where it cannot be made, or has spaces that no algorithm takes.
    """
    about = {name: config.get(name) for name in ENVIRONMENT}
    return _probe(json.dumps(about, default=names.word), _Box(config))


@lru_cache(maxsize=256)
def _probe(key: str, box: _Box) -> tuple[Any, Any]:
    """Make the environment once: its spaces. Raises `InvalidConfig`."""
    config = box.config
    mode = config.get("gym_env_vectorize_mode", "auto")
    made = envs.of(config, 1, "auto" if mode == "async" else mode)
    try:
        check_spaces(made.single_observation_space, made.single_action_space)
        return made.single_observation_space, made.single_action_space
    finally:
        made.close()
