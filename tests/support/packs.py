"""Trainables small enough to reason about, and the cases that every pack contract test runs on.

A new kind of pack adds one line to `CASES`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.support.offline import random_cartpole
from tunerl import registry
from tunerl.author.face import Checkpoint, Trainable, get_checkpoint, get_context, report
from tunerl.trainable import Failure, Pack, State, TrainableSpec, fixed, vector
from tunerl.trial import Metrics, ReplicaId


@dataclass(frozen=True)
class Case:
    """A trainable (registered name, class, function or spec) with a valid configuration.

    `changed`: other values of vector fields, for `configure`. `wrong`: a configuration that is
    refused, where the trainable declares its hyperparameters.
    """

    name: str
    target: Any
    config: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, Any] | None = None
    slow: bool = False

    @property
    def spec(self) -> TrainableSpec:
        return registry.trainable(self.target)

    def open(self) -> Pack:
        return self.spec.open(self.spec.resolve(self.config))

    def join(self, pack: Pack, trial: int, seed: int, **more: Any) -> ReplicaId:
        id = ReplicaId(trial, 0)
        pack.join(id, self.spec.resolve(self.config), seed, **more)
        return id


def timeless(outcome: Metrics | Failure) -> Metrics:
    """Metrics without what depends on the clock. Fails the test for a `Failure`."""
    assert not isinstance(outcome, Failure), outcome.traceback
    clocks = ("time_", "per_second", "throughput")
    return {k: v for k, v in outcome.items() if not any(word in k for word in clocks)}


class Walk(Trainable):
    """A random walk; saves a dict, generator and all."""

    @dataclass(frozen=True)
    class Hyperparameters:
        size: float = vector(1.0, "length of a step", low=0.0, high=10.0)
        start: int = fixed(0, "where it begins", low=-5, high=5)

    def setup(self, config: dict[str, Any]) -> None:
        self.place = float(config.get("start", 0))
        self.size = config.get("size", 1.0)
        self.random = np.random.default_rng(self.seed)

    def step(self) -> dict[str, Any]:
        self.place += self.size * self.random.normal()
        return {"env_runners": {"place": self.place}, "size": self.size}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | None:
        return {"place": np.array([self.place]), "random": self.random.bit_generator.state}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.place = float(checkpoint["place"][0])
        self.random.bit_generator.state = checkpoint["random"]


class ResettableWalk(Walk):
    """One that need not be built anew for another configuration."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True


class FileWalk(Walk):
    """One that saves files."""

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        path = Path(checkpoint_dir, "deep", "walk.json")
        path.parent.mkdir()
        path.write_text(json.dumps([self.place, self.random.bit_generator.state]))

    def load_checkpoint(self, checkpoint: Any) -> None:
        text = Path(checkpoint, "deep", "walk.json").read_text()
        self.place, self.random.bit_generator.state = json.loads(text)


def walk(config: dict[str, Any]) -> None:
    """The same as a function."""
    place, random = 0.0, np.random.default_rng(get_context().get_seed())
    checkpoint = get_checkpoint()
    if checkpoint is not None:
        text = Path(checkpoint.path, "walk.json").read_text()
        place, random.bit_generator.state = json.loads(text)
    while True:
        place += config["size"] * random.normal()
        with TemporaryDirectory() as path:
            Path(path, "walk.json").write_text(json.dumps([place, random.bit_generator.state]))
            report({"place": place}, checkpoint=Checkpoint.from_directory(path))


class Crowd(Pack):
    """Up to four walks in one pack. One whose `size` is 9 raises; 8 breaks the whole pack."""

    capacity = 4

    def __init__(self, spec: TrainableSpec) -> None:
        self.spec = spec
        self.solos: dict[ReplicaId, Pack] = {}

    def join(
        self, id: ReplicaId, config: dict[str, Any], seed: int, state: State | None = None
    ) -> None:
        if id in self.solos or len(self.solos) == self.capacity:
            raise ValueError(f"{id} cannot join")
        solo = registry.trainable(Walk).open(config)
        solo.join(id, self.spec.resolve(config), seed, state)
        self.solos[id] = solo

    def leave(self, id: ReplicaId) -> None:
        self.solos.pop(id).leave(id)

    def step(self) -> dict[ReplicaId, Metrics | Failure]:
        found: dict[ReplicaId, Metrics | Failure] = {}
        for id, solo in list(self.solos.items()):
            outcome = solo.step()[id]
            assert isinstance(outcome, dict)
            if outcome["size"] == 8:
                raise RuntimeError("all of us")
            found[id] = outcome if outcome["size"] != 9 else Failure("RuntimeError: one of us")
            if outcome["size"] == 9:
                self.leave(id)
        return found

    def read(self, id: ReplicaId) -> State:
        return self.solos[id].read(id)

    def write(self, id: ReplicaId, state: State) -> None:
        self.solos[id].write(id, state)

    def configure(self, id: ReplicaId, config: dict[str, Any]) -> None:
        self.solos[id].configure(id, config)


class CrowdSpec(registry.AuthorSpec):
    def __init__(self) -> None:
        super().__init__(Walk, "crowd")

    def capacity(self, config: dict[str, Any]) -> int:
        return Crowd.capacity

    def open(self, config: dict[str, Any]) -> Pack:
        return Crowd(self)


def own_step() -> TrainableSpec:
    """PPO whose class has a training step of its own."""
    from algorithms import PPO

    class Own(PPO):
        def training_step(self) -> Any:
            return {**super().training_step(), "own": True}

    return Own.spec


_WALK = {"size": 1.0, "start": 2}
_PPO = {
    "env": "CartPole-v1",
    "train_batch_size": 128,
    "minibatch_size": 64,
    "num_envs_per_env_runner": 2,
    "num_epochs": 2,
    "model": {"fcnet_hiddens": [8]},
    "max_pack_size": 4,
}

_BC = {
    "env": "CartPole-v1",
    "input_": random_cartpole(),
    "dataset_num_iters_per_learner": 3,
    "train_batch_size": 16,
    "evaluation_interval": 2,
    "evaluation_duration": 2,
    "model": {"fcnet_hiddens": [8]},
    "max_pack_size": 4,
}
_TURNS = {
    "env": "CartPole-v1",
    "num_envs_per_env_runner": 2,
    "rollout_fragment_length": 4,
    "min_sample_timesteps_per_iteration": 64,
    "model": {"fcnet_hiddens": [8]},
    "max_pack_size": 4,
}
_LSTM = {"fcnet_hiddens": [8], "use_lstm": True, "lstm_cell_size": 8, "max_seq_len": 8}
_DQN = {
    "env": "CartPole-v1",
    "min_sample_timesteps_per_iteration": 60,
    "num_steps_sampled_before_learning_starts": 20,
    "train_batch_size": 8,
    "model": {"fcnet_hiddens": [8]},
    "max_pack_size": 4,
}

_SAC = {
    "env": "CartPole-v1",
    "train_batch_size": 8,
    "training_intensity": 2.0,
    "num_steps_sampled_before_learning_starts": 8,
    "min_sample_timesteps_per_iteration": 80,
    "model": {"fcnet_hiddens": [8]},
    "max_pack_size": 4,
}

CASES = [
    Case("dict", Walk, _WALK, {"size": 3.0, "start": 2}, {"size": 11.0}),
    Case("resettable", ResettableWalk, _WALK, {"size": 3.0, "start": 2}, {"sise": 1.0}),
    Case("files", FileWalk, _WALK, {"size": 3.0, "start": 2}, {"size": "1"}),
    Case("crowd", CrowdSpec(), _WALK, {"size": 3.0, "start": 2}, {"start": 0.5}),
    Case("function", walk, {"size": 1.0}, {"size": 3.0}),
    Case("own-step", own_step(), _PPO, {"lr": 1e-2, "gamma": 0.9}, {"lr": -1.0}),
    Case("ppo-lstm", "PPO", _PPO | {"model": _LSTM}, {"lr": 1e-2}, {"lr": -1.0}),
    Case("ppo", "PPO", _PPO, {"lr": 1e-2, "gamma": 0.9}, {"lr": -1.0}),
    Case("dqn", "DQN", _DQN, {"lr": 1e-2, "n_step": [1, 3]}, {"lr": -1.0}),
    Case("a2c", "A2C", _TURNS, {"lr": 1e-2, "gamma": 0.9}, {"lr": -1.0}),
    Case("a3c", "A3C", _TURNS | {"num_env_runners": 2}, {"lr": 1e-2}, {"lr": -1.0}),
    Case("vpg", "VPG", _TURNS | {"rollout_fragment_length": 64}, {"lr": 1e-2}, {"lr": -1.0}),
    Case("impala", "IMPALA", _TURNS, {"lr": 1e-2, "broadcast_interval": 2}, {"lr": -1.0}),
    Case("appo", "APPO", _TURNS, {"lr": 1e-2, "tau": 0.5}, {"lr": -1.0}),
    Case("a2c-lstm", "A2C", _TURNS | {"model": _LSTM}, {"lr": 1e-2}, {"lr": -1.0}, slow=True),
    Case("impala-lstm", "IMPALA", _TURNS | {"model": _LSTM}, {"lr": 1e-2}, {"lr": -1.0}, slow=True),
    Case("iql", "IQL", _BC, {"actor_lr": 1e-1, "beta": 0.5}, {"expectile": 2.0}),
    Case("sac", "SAC", _SAC, {"actor_lr": 1e-2, "gamma": 0.9}, {"critic_lr": -1.0}),
    Case("bc", "BC", _BC, {"lr": 1e-1}, {"lr": -1.0}),
    Case("marwil", "MARWIL", _BC, {"lr": 1e-1, "gamma": 0.9, "beta": 0.5}, {"beta": -1.0}),
]
