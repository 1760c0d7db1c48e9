"""What the tuner must know of an algorithm that learns from files: the data are looked at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from algorithms.core.envs.spaces import check_spaces
from algorithms.core.lifting import device
from algorithms.core.packs.evaluation import evaluation_environment, evaluation_problems
from algorithms.core.packs.offline_pack import OfflinePack
from algorithms.core.packs.own_evaluation import FIELD
from algorithms.core.specs.pays import COMPILE_SECONDS, saved
from algorithms.core.specs.spec import AlgorithmSpec, spaces_of
from algorithms.offline.dataset import load
from algorithms.offline.files import places
from algorithms.offline.spaces_json import from_json, to_json
from tunerl.errors import InvalidConfig, InvalidInput, Problem
from tunerl.trial import Config

SPACES = ("observation_space", "action_space")


class OfflineSpec(AlgorithmSpec):
    """An algorithm whose packs are `OfflinePack`; judged by its evaluation.

    A resolved configuration names its files by absolute paths, and its spaces.
    """

    objective = ("evaluation/env_runners/episode_return_mean", "max")

    def resolve(self, config: Config) -> Config:
        given = dict(config)
        for name in SPACES:
            if isinstance(given.get(name), gymnasium.Space):
                given[name] = to_json(given[name])
        full = super().resolve(given)
        full["input_"] = places(full["input_"])
        if evaluation_environment(full)["env"] is None and full[FIELD] is None:
            if given.get("evaluation_interval") is not None:
                where = "there is nothing to evaluate in; name an environment: .environment(...)"
                raise InvalidConfig(Problem("evaluation_interval", where))
            full["evaluation_interval"] = None
        spaces = dict(zip(SPACES, self._spaces(full), strict=True))
        return full | {name: to_json(space) for name, space in spaces.items()}

    def objective_of(self, param_space: Mapping[str, Any]) -> tuple[str, str] | None:
        """Without an environment nothing tells how good an agent is."""
        played = param_space.get("env") or param_space.get("evaluation_config")
        return self.objective if played else None

    def problems(self, config: Config) -> list[Problem]:
        if config["input_"] is None:
            where = "name the files to learn from: .offline_data(input_='data/*.parquet')"
            return [Problem("input_", f"missing; {where}")]
        wrong = super().problems(config) if config["env"] is not None else []
        if wrong:
            return wrong
        try:
            self._spaces(config)
        except InvalidInput as error:
            return [Problem(found.path or "input_", found.message) for found in error.problems]
        if config["env"] is not None:
            return []
        return list(evaluation_problems(config, self._spaces_somewhere))

    def _spaces_somewhere(self, config: Config) -> tuple[Any, Any]:
        """Of the data, or of an environment."""
        return self._spaces(config) if "input_" in config else spaces_of(config)

    def spaces(self, config: Config) -> tuple[Any, Any]:
        return self._spaces(config)

    def _spaces(self, config: Config) -> tuple[Any, Any]:
        """The environment's spaces, those given, or those of the data, which are looked at.

        Raises `InvalidInput` for data that are of others, or from which nothing can be learned.
        """
        given = [config[name] and from_json(config[name]) for name in SPACES]
        if config["env"] is not None:
            own = spaces_of(config)
            for name, ours, theirs in zip(SPACES, given, own, strict=True):
                if ours is not None and ours != theirs:
                    raise InvalidConfig(
                        Problem(name, f"{ours} is not the environment's, {theirs}; leave it out")
                    )
            given = list(own)
        data = load(
            config["input_"],
            observation_space=given[0],
            action_space=given[1],
            needed=self._needed(),
            method=config["input_read_method"],
        )
        check_spaces(data.observation_space, data.action_space)
        return data.observation_space, data.action_space

    def _needed(self) -> tuple[str, ...]:
        pack = self.pack
        assert isinstance(pack, type)
        assert issubclass(pack, OfflinePack)
        return pack.needed

    def plan(self, config: Config, *, replicas: int, stop: Mapping[str, Any]) -> Config:
        """Decides `torch_compile_learner` from the number of updates, where it is None."""
        if config["torch_compile_learner"] is not None or config[device.FIELD]:
            return config
        iterations = float(stop.get("training_iteration") or 0)
        updates = iterations * config["dataset_num_iters_per_learner"]
        steps = float(stop.get("num_env_steps_trained_lifetime") or 0)
        updates = max(updates, steps / config["train_batch_size"])
        rows = min(replicas, self.capacity(config))
        pays = updates * saved(config, rows) > 2 * COMPILE_SECONDS
        return config | {"torch_compile_learner": pays}

    def schema(self) -> dict[str, Any]:
        found = super().schema()
        found["required"] = ["input_"]
        return found
